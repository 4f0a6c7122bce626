import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import DataError, ImageError, UsageError, WeightsError
from cnnkit.images import as_picture, to_uint8
from cnnkit.tasks.caption.files import find_captioner_file, read_vocabulary
from cnnkit.tasks.caption.network import build
from cnnkit.tasks.caption.predict import Captioner, caption
from cnnkit.tasks.caption.results import Caption, CaptionCandidate
from cnnkit.tasks.caption.settings import CaptionSettings


@pytest.fixture(scope="module")
def captioner(color_captioner):
    return Captioner(color_captioner)


def test_pictures_are_told_apart(color_captioner, color_pictures):
    paths = [color_pictures / name / "2.png" for name in ("green", "red", "blue")]
    found = caption(paths, model=color_captioner)
    assert [one.sentence for one in found] == [f"a {c} picture" for c in ("green", "red", "blue")]
    first = found[0]
    assert (first.source, first.size, first.model) == (str(paths[0]), (20, 30), "colors")
    assert cnnkit.caption is caption


def test_candidates_are_ranked_by_their_scores(captioner, color_pictures):
    path = str(color_pictures / "red" / "2.png")
    settings = CaptionSettings(beams=4, candidates=3, length_penalty=1.0)
    [found] = captioner.caption([path], settings)
    sentences = [one.sentence for one in found.candidates]
    assert sentences[0] == "a red picture"
    assert set(sentences[1:]) == {"a green picture", "a blue picture"}
    scores = [one.score for one in found.candidates]
    assert 1 > scores[0] > scores[1] >= scores[2] > 0
    # The geometric mean of three words and the end.
    for one in found.candidates:
        assert one.score == pytest.approx(np.exp(one.log_probability / 4))


def test_a_sentence_has_as_many_words_as_are_allowed(captioner, color_pictures):
    path = str(color_pictures / "red" / "2.png")
    [found] = captioner.caption([path], CaptionSettings(max_words=2, length_penalty=0.0))
    assert len(found.sentence.split()) <= 2


def test_what_is_said_does_not_hang_on_the_batch(captioner, color_pictures):
    paths = sorted(map(str, color_pictures.glob("*/*.png")))
    together = [one.candidates for one in captioner.caption_each(paths, batch=5)]
    alone = [one.candidates for one in captioner.caption_each(paths, batch=1)]
    for first, second in zip(together, alone, strict=True):
        assert [one.sentence for one in first] == [one.sentence for one in second]
        assert first[0].score == pytest.approx(second[0].score, abs=1e-5)


def test_a_picture_that_cannot_be_read_is_said_so_in_its_place(
    captioner, color_captioner, color_pictures, tmp_path
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    good = str(color_pictures / "blue" / "0.png")
    error, found = captioner.caption_each([str(broken), good])
    assert isinstance(error, ImageError)
    assert (found.source, found.sentence) == (good, "a blue picture")
    with pytest.raises(ImageError, match=r"broken\.png"):
        caption(broken, model=color_captioner)


def test_pictures_from_stdin_are_read_like_others(captioner, color_pictures):
    path = color_pictures / "green" / "1.png"
    [found] = captioner.caption_each(["-"], stdin=path.read_bytes)
    assert (found.source, found.sentence, found.size) == ("-", "a green picture", (20, 30))


def test_the_loss_of_true_sentences(captioner, color_pictures):
    encodings = captioner.encode([np.full((16, 16, 3), (0.8, 0.2, 0.2), np.float32)])
    total, count, unknown = captioner.word_losses(encodings, [["A red picture!", "a cat"]])
    # a, red, picture, end; a, unknown, end.
    assert (count, unknown) == (7, 1)
    likely, _, _ = captioner.word_losses(encodings, [["a red picture"]])
    unlikely, _, _ = captioner.word_losses(encodings, [["a blue picture"]])
    assert 0 < likely < unlikely < total


def test_other_files_are_refused(color_captioner, color_run, tmp_path):
    with pytest.raises(UsageError, match="there is no captioner named 'none'"):
        find_captioner_file("none")
    with pytest.raises(WeightsError, match="does not exist"):
        find_captioner_file("runs/none")
    with pytest.raises(UsageError, match="colors is no captioner"):
        find_captioner_file(color_run)
    path = tmp_path / "model.keras"
    for content, message in [
        (None, "is missing"),
        (b"\xff", "is damaged"),
        (b"[word]\n[UNK]\na\n", r"has no \[START\] and \[END\]"),
    ]:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("settings.json", '{"kind": "captions"}')
            if content is not None:
                archive.writestr("vocabulary.txt", content)
        with pytest.raises(DataError, match=message):
            read_vocabulary(find_captioner_file(str(path)))


def test_captions_show_themselves(color_captioner, color_pictures, tmp_path):
    path = color_pictures / "red" / "2.png"
    with Image.open(path) as image:
        from_file, from_memory = caption([path, image], CaptionSettings(2), model=color_captioner)
    assert repr(from_file) == f"Caption({path}: a red picture)"
    assert (from_file.picture, from_file.encoding) == (None, None)
    assert from_memory.source == "picture 2"
    drawn = from_file.plot()
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(from_memory.plot()))
    assert (drawn.width, drawn.height) > (30, 20)
    from_file.save(tmp_path / "red.png")
    assert from_file.to_dict()["items"][0]["sentence"] == "a red picture"
    candidates = [CaptionCandidate(word, 0.5, -1.0, 0.5, is_sure=False) for word in ("a", "b")]
    several = Caption("x.jpg", tuple(candidates), (2, 3), "captions", from_file.ms)
    assert several.lines() == ["x.jpg: not sure", "   50.00%  a", "   50.00%  b"]


def test_threads_may_use_one_captioner(captioner, color_pictures):
    paths = [color_pictures / name / "2.png" for name in ("green", "red", "blue")]
    expected = [captioner.caption(path)[0].sentence for path in paths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: captioner.caption(path)[0].sentence, paths * 4))
    assert found == expected * 4


def test_more_candidates_than_beams_are_refused():
    with pytest.raises(UsageError, match="use --beams 6"):
        CaptionSettings(beams=4, candidates=6)


def test_grey_pictures_and_alpha_are_read(captioner, tmp_path):
    path = tmp_path / "clear.png"
    Image.fromarray(np.full((9, 9, 4), (20, 220, 20, 255), np.uint8)).save(path)
    [found] = captioner.caption([str(path)])
    assert found.sentence == "a green picture"


def test_what_the_classifier_is_sure_of_is_said_where_the_sentence_is_not_probable():
    coffee = to_uint8(load_sample(find_sample("coffee")).pixels)
    [found] = caption(coffee, candidates=2)
    assert found.sentence == "a close up of a cup of coffee"
    assert found.is_sure
    named, plain = found.candidates
    assert named.name_probability > 0.7
    assert plain.name_probability is None
    assert plain.likelihood < 0.36
    # -log P of the seven tokens, the end included, as they are told word by word.
    captioner = Captioner()
    encoding = captioner.encode([captioner.read("it", as_picture(coffee, "it")).pixels])
    total, count, _ = captioner.word_losses(encoding, [["a close up of [NAME]"]])
    assert count == 6
    assert named.log_probability == pytest.approx(-total, rel=1e-3)


def test_a_cat_is_a_cat():
    [found] = caption(to_uint8(load_sample(find_sample("chelsea")).pixels))
    assert "cat" in found.sentence.split()
    assert "a picture of a close up of" not in found.sentence
    assert found.is_sure


def test_a_network_of_other_words_than_the_vocabulary_is_refused(color_captioner):
    path = find_captioner_file(color_captioner).path
    with pytest.raises(UsageError, match="expected a model of 3 words"):
        build(path, words=3)

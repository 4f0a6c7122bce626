import numpy as np
import pytest

from cnnkit import FaceSettings
from cnnkit.data.pairs import Pair
from cnnkit.errors import DataError
from cnnkit.tasks.faces.evaluate import FaceJudge, draw_distances, draw_roc


@pytest.fixture
def pairs(portraits):
    ada, mirrored, bob = (portraits / n for n in ("ada.png", "ada-mirrored.jpg", "bob.png"))
    return [
        Pair(ada, mirrored, True),
        Pair(ada, bob, False),
        Pair(mirrored, bob, False),
        Pair(bob, bob, True),
    ]


def test_pairs_are_told_apart_and_each_picture_is_looked_at_once(pairs):
    seen = []
    judge = FaceJudge(on_progress=lambda done, total: seen.append((done, total)))
    evaluation = judge.evaluate(pairs)
    assert seen == [(3, 3)]
    assert (evaluation.pairs, evaluation.pictures, evaluation.missed) == (4, 3, 0)
    assert evaluation.accuracy.value == 1.0
    assert evaluation.area_under_curve == 1.0
    assert evaluation.equal_error_rate == 0.0
    assert evaluation.threshold_origin == "the model's"
    assert evaluation.distances[3] == 0.0
    assert evaluation.folded is None
    judge.evaluate(pairs)
    assert seen == [(3, 3)]


def test_a_missed_face_makes_its_pair_wrong(pairs, portraits, tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    wrong = [
        Pair(portraits / "coffee.jpg", portraits / "ada.png", True),
        Pair(empty, portraits / "ada.png", False),
    ]
    judge = FaceJudge()
    evaluation = judge.evaluate(pairs + wrong)
    assert evaluation.missed == 2
    assert judge.missed == [portraits / "coffee.jpg"]
    assert [path for path, _ in judge.unreadable] == [empty]
    assert np.isnan(evaluation.distances[4:]).all()
    # Four of six are right; of those with faces, four of four.
    assert evaluation.accuracy.value == pytest.approx(4 / 6)
    assert evaluation.accuracy.without_missed == 1.0


def test_the_threshold_may_be_given_or_come_from_other_pairs(pairs):
    judge = FaceJudge(FaceSettings(threshold=0.01))
    given = judge.evaluate(pairs)
    assert given.threshold_origin == "given"
    # Only the picture beside itself is below 0.01.
    assert given.accuracy.value == 0.75
    chosen = judge.evaluate(pairs, pairs)
    assert chosen.threshold_origin == "chosen on other pairs"
    assert chosen.accuracy.value == 1.0


def test_folds_choose_their_thresholds_on_the_others(pairs):
    folded = [Pair(p.first, p.second, p.same, fold) for fold in (0, 1) for p in pairs]
    evaluation = FaceJudge().evaluate(folded)
    assert len(evaluation.folded.folds) == 2
    assert evaluation.folded.mean == 1.0


def test_pairs_of_one_kind_are_refused(pairs):
    with pytest.raises(DataError, match="all of one kind"):
        FaceJudge().evaluate(pairs[:1])


@pytest.mark.parametrize(("choose", "name"), [("largest", "ada"), ("main", "bob")])
def test_the_face_that_counts_can_be_chosen(portraits, tmp_path, choose, name):
    from PIL import Image

    with Image.open(portraits / "both.png") as both:
        # Bob in the middle, Ada larger beside him.
        cut = both.crop((440, 0, 1024, 300))
        ada = both.crop((120, 30, 320, 200)).resize((240, 204))
        cut.paste(ada, (0, 0))
        cut.save(tmp_path / "cut.png")
    judge = FaceJudge(choose=choose)
    distances = judge.distances(
        [Pair(tmp_path / "cut.png", portraits / f"{who}.png", True) for who in ("ada", "bob")]
    )
    assert ["ada", "bob"][int(np.argmin(distances))] == name
    assert distances.min() < 0.6 < distances.max()


def test_other_choices_are_refused():
    with pytest.raises(ValueError, match="choose must be one of"):
        FaceJudge(choose="left")


def test_figures_are_drawn(pairs):
    evaluation = FaceJudge().evaluate(pairs)
    assert "AUC 1.0000" in draw_roc(evaluation).axes[0].get_legend().get_texts()[0].get_text()
    assert draw_distances(evaluation).axes


def test_the_strangers_are_all_pairs_of_different_folders(portraits, tmp_path):
    for person, names in (("Ada", ("ada.png", "ada-mirrored.jpg")), ("Bob", ("bob.png",))):
        (tmp_path / person).mkdir()
        for name in names:
            (tmp_path / person / name).write_bytes((portraits / name).read_bytes())
    judge = FaceJudge()
    judge.look(sorted(tmp_path.glob("*/*")))
    strangers = judge._strangers()
    assert len(strangers) == 2
    assert (strangers > 0.6).all()

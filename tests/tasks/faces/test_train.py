"""Training models of similarity, on people who are coloured patterns."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.data.pairs import Pair
from cnnkit.data.people import find_people
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import read_results
from cnnkit.errors import CnnkitError, DataError, DivergenceError
from cnnkit.models.face_similarity import load_face_similarity
from cnnkit.ops.inference import compiles_training
from cnnkit.options import FACE_FORMS
from cnnkit.tasks.faces import data as face_data
from cnnkit.tasks.faces import train as module
from cnnkit.tasks.faces.data import (
    LabelledFaces,
    PeopleBatches,
    augment_chip,
    draw_pairs,
    prepare_faces,
)
from cnnkit.tasks.faces.settings import TrainSettings
from cnnkit.tasks.faces.train import PairTrainer, TripletTrainer, train_faces

TRIPLETS = TrainSettings(people=4, pictures=2, steps=6, steps_per_epoch=3, val_share=0.4)
BINARY = TrainSettings("binary", people=4, pictures=3, steps=60, steps_per_epoch=30, val_share=0.4)


class Patterns:
    """Pictures of one pixel say who it is; the chip is that person's pattern, a little changed."""

    settings = "patterns"

    def __init__(self):
        self.cuts = 0

    def cut(self, pixels):
        self.cuts += 1
        person, picture, visible = (int(value) for value in pixels[0, 0])
        if not visible:
            return None
        pattern = np.random.default_rng(person).integers(0, 256, (5, 5, 3))
        noise = np.random.default_rng([person, picture]).normal(0, 20, (150, 150, 3))
        chip = np.kron(pattern, np.ones((30, 30, 1))) + noise
        return np.clip(chip, 0, 255).astype(np.uint8)

    def embed(self, chips):
        means = chips.reshape(len(chips), 5, 30, 5, 30, 3).mean(axis=(2, 4)) / 1000.0
        return np.tile(means.reshape(len(chips), -1), 2)[:, :128].astype(np.float32)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twelve people with four pictures and three with one; one picture shows nobody."""
    root = tmp_path_factory.mktemp("people")
    for person in range(15):
        folder = root / f"person{person:02d}"
        folder.mkdir()
        for picture in range(4 if person < 12 else 1):
            visible = 0 if (person, picture) == (0, 3) else 255
            pixels = np.full((2, 2, 3), (person, picture, visible), np.uint8)
            Image.fromarray(pixels).save(folder / f"{picture}.png")
    (root / "notes.txt").write_text("nobody")
    return root


@pytest.fixture
def tiny_trunk(monkeypatch):
    """A small trunk, small enough for a moment."""
    build = module.build_face_trunk

    def build_tiny(seed=None):
        return build((4, 6), 8, dropout=0.0, seed=seed)

    monkeypatch.setattr(module, "build_face_trunk", build_tiny)


def train(people, output, options=TRIPLETS, **arguments):
    return train_faces(
        [people],
        output,
        options,
        **{"source": Patterns(), **arguments},
    )


# Faces ---------------------------------------------------------------------------------------


def test_faces_are_found_once_and_known_by_their_content(people, tmp_path):
    paths = [path for pictures in find_people([people]).values() for path in pictures]
    source, cache = Patterns(), tmp_path / "chips.npz"
    found = prepare_faces(paths, source, cache, False)
    assert source.cuts == len(paths)
    assert sum(value is None for _, value in found.values()) == 1
    # A copy under another name is the same picture.
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    again = prepare_faces([*paths, copy], source, cache, False)
    assert source.cuts == len(paths)
    np.testing.assert_array_equal(again[copy][1], found[paths[0]][1])


def test_faces_of_other_settings_and_damaged_files_are_found_again(people, tmp_path):
    paths = find_people([people])["person01"]
    source, cache = Patterns(), tmp_path / "chips.npz"
    prepare_faces(paths, source, cache, False)
    source.settings = "others"
    prepare_faces(paths, source, cache, False)
    assert source.cuts == 8
    cache.write_bytes(cache.read_bytes()[:5000])
    prepare_faces(paths, source, cache, False)
    assert source.cuts == 12


def test_what_was_found_before_an_interruption_is_kept(people, tmp_path, monkeypatch):
    monkeypatch.setattr(face_data, "_CHUNK", 4)
    paths = [path for pictures in find_people([people]).values() for path in pictures]
    source = Patterns()

    def stop(done, total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_faces(paths, source, tmp_path / "chips.npz", False, stop)
    prepare_faces(paths, source, tmp_path / "chips.npz", False)
    assert source.cuts == len(paths)


def test_a_file_that_is_no_picture_has_no_face(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    found = prepare_faces([tmp_path / "a.jpg"], Patterns(), tmp_path / "chips.npz", True)
    assert found[tmp_path / "a.jpg"][1] is None


# Batches -------------------------------------------------------------------------------------


def labelled(counts):
    owners = np.repeat(np.arange(len(counts)), counts)
    return LabelledFaces(np.arange(len(owners)), owners)


def test_batches_have_people_with_several_pictures_and_are_filled_with_single_ones():
    # Four people with 3, two of them in a batch with 2 pictures each; 4 of the 10 single ones
    # would be too many for 2 x 2, so nothing is left to fill.
    faces_of = labelled([3] * 4 + [1] * 10)
    options = TrainSettings(people=2, pictures=2)
    rows, owners = PeopleBatches(faces_of, options)[0]
    assert len(set(rows.tolist())) == 4
    assert sorted(np.bincount(owners)[np.unique(owners)].tolist()) == [2, 2]
    # With 2 x 5 places, 2 x 3 are people's and 4 are others'.
    rows, owners = PeopleBatches(faces_of, TrainSettings(people=2, pictures=5))[0]
    assert len(set(rows.tolist())) == 10
    assert sorted(np.bincount(owners)[np.unique(owners)].tolist()) == [1, 1, 1, 1, 3, 3]


def test_batches_keep_their_size_without_single_pictures():
    batches = PeopleBatches(labelled([2] * 8), TrainSettings(people=2, pictures=4))
    _, owners = batches[0]
    assert len(owners) == 8
    assert sorted(np.bincount(owners)[np.unique(owners)].tolist()) == [1, 1, 1, 1, 2, 2]


def test_batches_are_the_same_in_every_run_and_differ_between_epochs():
    faces_of = labelled([4] * 10)
    options = TrainSettings(people=3, pictures=2, steps=20, steps_per_epoch=5)
    first, again = (PeopleBatches(faces_of, options) for _ in range(2))
    np.testing.assert_array_equal(first[3][0], again[3][0])
    later = PeopleBatches(faces_of, options, epoch=1)
    assert not np.array_equal(first[0][0], later[0][0])
    first.on_epoch_end()
    np.testing.assert_array_equal(first[0][0], later[0][0])


def test_changed_chips_stay_pictures():
    chip = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    changed = np.stack([augment_chip(chip, np.random.default_rng(seed)) for seed in range(40)])
    assert changed.shape == (40, 64, 64, 3)
    assert changed.dtype == np.float32
    assert changed.min() >= 0.0
    assert changed.max() <= 255.0
    assert changed.std(axis=0).min() > 1.0


# Models in training --------------------------------------------------------------------------


def test_the_pair_trainers_loss_is_that_of_numpy():
    random = np.random.default_rng(0)
    embeddings = random.random((6, 4)).astype(np.float32)
    labels = np.array([0, 0, 1, 1, 2, 3])
    head = module.build_pair_head(4)
    kernel, bias = random.random((4, 1)), np.array([-1.0])
    head.set_weights([kernel, bias])
    trainer = PairTrainer(head, "absolute", 2.0)
    loss = trainer.compute_loss(embeddings, labels, trainer(embeddings))
    same, other = [], []
    for i in range(6):
        for j in range(i):
            logit = 2.0 * abs(embeddings[i] - embeddings[j]) @ kernel[:, 0] - 1.0
            if labels[i] == labels[j]:
                same.append(np.logaddexp(0, logit))
            else:
                other.append(np.logaddexp(0, -logit))
    penalty = 0.3 * np.sum((kernel - kernel.mean()) ** 2)
    expected = 0.5 * np.mean(same) + 0.5 * np.mean(other) + penalty
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_triplet_trainer_reports_what_it_sees(tiny_trunk):
    trainer = TripletTrainer(module.build_face_trunk(seed=0), 0.2, "batch-hard")
    trainer.compile(keras.optimizers.SGD(0.0), jit_compile=compiles_training())
    chips = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3)).astype(np.float32)
    logs = trainer.train_on_batch(chips, np.array([0, 0, 1, 1, 2, 3]), return_dict=True)
    assert set(logs) == {"loss", "active", "distance", "variance"}
    assert 0.0 <= logs["active"] <= 1.0


# Validation ----------------------------------------------------------------------------------


def test_pairs_are_all_same_ones_and_as_many_different_ones():
    pairs = draw_pairs(labelled([4, 4, 4]))
    # 3 people with 4 * 3 / 2 = 6 pairs each; 3 * 4 * 4 pairs of strangers.
    assert pairs.same.sum() == 18
    assert len(pairs.same) == 36
    assert len(pairs.strangers) == 48
    owners = pairs.faces.people
    np.testing.assert_array_equal(owners[pairs.first] == owners[pairs.second], pairs.same)
    assert (owners[pairs.strangers[:, 0]] != owners[pairs.strangers[:, 1]]).all()


def test_too_few_pairs_for_a_threshold_are_one_clear_line():
    with pytest.raises(DataError, match=r"3 pairs of one person and .* too few for validation"):
        draw_pairs(labelled([2, 2, 2]))


# The whole run -------------------------------------------------------------------------------


def test_triplets_give_an_encoder_that_can_be_loaded(people, tmp_path, tiny_trunk):
    notes, rows = [], []
    result = train(
        people,
        tmp_path,
        observer=Observer(on_note=notes.append, on_epoch=lambda epoch, row: rows.append(row)),
    )
    # Twelve people with four and three with one.
    assert notes == ["1 of 51 pictures show no face or cannot be read; left out"]
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    assert {"loss", "active", "distance", "variance", "val_accuracy", "val_auc"} <= set(rows[0])
    assert result.finished
    assert result.missed == 1
    similarity = load_face_similarity(str(result.model))
    assert similarity.hash == result.similarity.hash
    assert similarity.calibration["model_hash"] == similarity.hash
    assert similarity.encoder is not None
    for name in ("results.csv", "curves.png", "args.json", "report.json", "chips.npz"):
        assert (tmp_path / name).stat().st_size > 0
    # Nobody is on both sides.
    assert sum(result.people) == 15


@pytest.mark.parametrize("form", FACE_FORMS)
def test_a_head_learns_what_tells_people_apart(people, tmp_path, form):
    options = TrainSettings(**{**BINARY.__dict__, "form": form})
    result = train(people, tmp_path, options)
    assert result.accuracy > 0.95
    similarity = load_face_similarity(str(result.model))
    assert not similarity.is_euclidean
    assert similarity.distance.weights.min() >= 0.0
    losses = [row["loss"] for row in read_results(tmp_path)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_triplets_learn_to_tell_patterns_apart(people, tmp_path, monkeypatch):
    build = module.build_face_trunk
    monkeypatch.setattr(
        module, "build_face_trunk", lambda seed: build((8, 8, 16, 16), 16, 0.0, seed)
    )
    options = TrainSettings(people=6, pictures=3, steps=150, steps_per_epoch=50, val_share=0.4)
    result = train(people, tmp_path, options)
    assert result.accuracy > 0.9


def test_a_finished_run_given_again_only_reads_what_it_made(people, tmp_path):
    first = train(people, tmp_path, BINARY)
    source = Patterns()
    again = train(people, tmp_path, BINARY, source=source)
    assert source.cuts == 0
    assert again.similarity.hash == first.similarity.hash
    assert len(read_results(tmp_path)) == 2


@pytest.mark.parametrize("options", [BINARY, pytest.param(TRIPLETS, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(people, tmp_path, tiny_trunk, options):
    class Stopped(Exception):
        pass

    def stop(epoch, row):
        raise Stopped

    whole = train(people, tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train(people, tmp_path / "broken", options, observer=Observer(on_epoch=stop))
    broken = train(people, tmp_path / "broken", options)
    assert broken.auc == pytest.approx(whole.auc, abs=0.02)
    rows = [read_results(tmp_path / name) for name in ("whole", "broken")]
    assert [row["loss"] for row in rows[1]] == pytest.approx(
        [row["loss"] for row in rows[0]], rel=1e-3, abs=1e-4
    )


def test_ctrl_c_keeps_the_best_so_far(people, tmp_path):
    def interrupt(epoch, row):
        if epoch == 1:
            raise KeyboardInterrupt

    notes = []
    with pytest.raises(KeyboardInterrupt):
        train(people, tmp_path, BINARY, observer=Observer(on_epoch=interrupt, on_note=notes.append))
    assert "the best so far is in" in notes[-1]
    assert load_face_similarity(str(tmp_path / "faces.keras")).calibration is not None
    assert json.loads((tmp_path / "report.json").read_text())["finished"] is False


@pytest.mark.slow
def test_a_collapse_is_noticed_explained_and_survived(people, tmp_path, monkeypatch, tiny_trunk):
    # An encoder that gives everybody the same embedding but for a trace, until the second attempt.
    steps = []
    real = module.triplet_loss

    def collapsing(embeddings, labels, margin, mining, seed):
        steps.append(mining)
        if mining == "batch-hard":
            embeddings = embeddings * 1e-4
        return real(embeddings, labels, margin, mining, seed)

    real_spread = module.embedding_spread

    def no_spread(embeddings):
        spread = real_spread(embeddings)
        shrunk = 1e-4 if steps[-1] == "batch-hard" else 1.0
        return type(spread)(spread.distance * shrunk, spread.variance * shrunk)

    monkeypatch.setattr(module, "triplet_loss", collapsing)
    monkeypatch.setattr(module, "embedding_spread", no_spread)
    options = TrainSettings(
        **{**TRIPLETS.__dict__, "mining": "batch-hard", "patience": 4, "steps_per_epoch": 6}
    )
    notes = []
    result = train(people, tmp_path, options, observer=Observer(on_note=notes.append))
    assert result.restarts == 1
    assert set(steps) == {"batch-hard", "semi-hard"}
    explained = next(note for note in notes if "stuck at the margin" in note)
    assert "stuck at the margin for 4 steps" in explained
    assert "puts everybody in one place" in explained
    assert "taken up from the beginning with semi-hard mining and half the" in explained
    attempts = json.loads((tmp_path / "attempts.json").read_text())
    assert [attempt["rate"] for attempt in attempts] == [1.0, 0.5]
    assert load_face_similarity(str(result.model)).encoder is not None


@pytest.mark.slow
def test_a_real_collapse_is_noticed(people, tmp_path, tiny_trunk):
    # So fast that the first steps throw all embeddings into one corner.
    options = TrainSettings(
        people=4,
        pictures=2,
        mining="batch-hard",
        margin=0.5,
        learning_rate=3.0,
        steps=60,
        steps_per_epoch=20,
        patience=5,
        val_share=0.4,
        restarts=2,
    )
    notes = []
    result = train(people, tmp_path, options, observer=Observer(on_note=notes.append))
    assert result.restarts >= 1
    assert any("stuck at the margin" in note for note in notes)


@pytest.mark.slow
def test_without_restarts_a_collapse_is_only_said(people, tmp_path, monkeypatch, tiny_trunk):
    real = module.embedding_spread
    monkeypatch.setattr(
        module, "embedding_spread", lambda e: type(real(e))(0.0 * real(e).distance, 0.0)
    )
    monkeypatch.setattr(module, "_STUCK_LOSS", 0.0)
    notes = []
    options = TrainSettings(**{**TRIPLETS.__dict__, "restarts": 0, "patience": 2})
    result = train(people, tmp_path, options, observer=Observer(on_note=notes.append))
    assert result.restarts == 0
    assert "a lower --learning-rate or an easier --mining may help" in notes[-1]
    assert len(read_results(tmp_path)) == 2


# People and pairs that are given -------------------------------------------------------------


def test_lists_say_who_is_trained_on_and_who_validates(people, tmp_path):
    training = [f"person{i:02d}" for i in range(6)]
    validation = [f"person{i:02d}" for i in range(6, 12)]
    notes = []
    result = train(
        people,
        tmp_path,
        BINARY,
        train_people=[*training, "stranger"],
        val_people=validation,
        observer=Observer(on_note=notes.append),
    )
    assert result.people == (6, 6)
    assert "1 of the train people have no pictures here, such as stranger" in notes


def test_a_person_in_both_lists_is_refused(people, tmp_path):
    names = ["person01", "person02"]
    with pytest.raises(DataError, match="person02 is among the people to train on and"):
        train(people, tmp_path, BINARY, train_people=names, val_people=names[1:])


def test_nobody_in_the_pairs_for_validation_is_trained_on(people, tmp_path):
    def path(person, picture):
        return people / f"person{person:02d}" / f"{picture}.png"

    pairs = [
        Pair(path(i, a), path(i, b), True)
        for i in (1, 2, 3, 4)
        for a, b in ((0, 1), (1, 2), (2, 3))
    ]
    pairs += [Pair(path(i, k), path(i + 1, k), False) for i in (1, 2, 3) for k in range(4)]
    notes = []
    result = train(
        people, tmp_path, BINARY, val_pairs=pairs, observer=Observer(on_note=notes.append)
    )
    assert result.people == (11, 4)
    assert "4 people are in the pairs for validation: not trained on" in notes


def test_too_few_people_are_one_clear_line(people, tmp_path):
    names = ["person00", "person12"]
    validation = [f"person{i:02d}" for i in range(1, 6)]
    with pytest.raises(DataError, match="1 people to train on have two pictures"):
        train(people, tmp_path, BINARY, train_people=names, val_people=validation)


def test_a_folder_with_another_run_is_refused(people, tmp_path):
    train(people, tmp_path, BINARY)
    with pytest.raises(CnnkitError, match=r"holds a run with other settings \(steps\)"):
        train(people, tmp_path, TrainSettings(**{**BINARY.__dict__, "steps": 61}))
    names = [f"person{i:02d}" for i in range(11)]
    with pytest.raises(CnnkitError, match=r"other settings \(people_hash\)"):
        train(people, tmp_path, BINARY, train_people=names)


def test_a_loss_that_is_not_finite_is_one_clear_line_after_the_restarts(people, tmp_path):
    options = TrainSettings(**{**BINARY.__dict__, "learning_rate": 1e38, "restarts": 1})
    notes = []
    with pytest.raises(DivergenceError, match="not a finite number, after 1 restarts; give a low"):
        train(people, tmp_path, options, observer=Observer(on_note=notes.append))
    assert any("taken up from" in note for note in notes)

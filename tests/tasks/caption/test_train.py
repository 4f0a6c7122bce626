import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.data.imagenet import imagenet_groups, imagenet_names, with_article
from cnnkit.data.text import NAME
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import read_run_settings
from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.caption.settings import TrainSettings
from cnnkit.tasks.caption.train import train_captioner

COLORS = {"red": 0, "green": 1, "blue": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of 32 x 32 pixels whose one half has a colour, and sentences that say which."""
    folder = tmp_path_factory.mktemp("halves")
    random = np.random.default_rng(0)
    lines = []
    for number in range(48):
        name, side = list(COLORS)[number % 3], ("left", "right")[number // 3 % 2]
        pixels = random.integers(0, 60, (32, 32, 3)).astype(np.uint8)
        half = slice(0, 16) if side == "left" else slice(16, 32)
        pixels[:, half, COLORS[name]] += 180
        path = folder / f"{number:02}.png"
        Image.fromarray(pixels).save(path)
        lines.append((path.name, f"A {name} half on the {side}."))
        lines.append((path.name, f"The {side} half is {name}"))
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "sentence"), *lines])
    return folder / "captions.csv"


def options(**settings):
    small = {
        "backbone": "compact",
        "size": 32,
        "units": 24,
        "embedding": 8,
        "batch_size": 16,
        "min_count": 1,
    }
    return TrainSettings(**{**small, "epochs": 2, "dropout": 0.1, "beams": 2, **settings})


@pytest.mark.slow
def test_a_captioner_learns_colours_and_sides(data, tmp_path):
    notes, epochs = [], []
    result = train_captioner(
        data,
        tmp_path / "run",
        options(epochs=35, patience=0, learning_rate=0.01, cell="gru"),
        observer=Observer(notes.append, on_epoch=lambda epoch, row: epochs.append(row)),
    )
    assert (result.counts, result.sentences, result.epochs) == ((41, 7), 82, 35)
    # The sentence is one of two: log 2 over about seven words, and the rest is sure.
    assert result.perplexity < 1.6
    assert result.bleu[3] > 0.7
    assert not result.collapsed
    assert "82 sentences about 41 pictures" in notes[-1]
    assert epochs[-1]["val_perplexity"] < epochs[0]["val_perplexity"]
    folder = tmp_path / "run"
    names = {"model.keras", "curves.png", "samples.png", "captions.csv", "report.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "report.json").read_text())["bleu"] == list(result.bleu)
    with zipfile.ZipFile(folder / "model.keras") as archive:
        words = archive.read("vocabulary.txt").decode().split()
    assert {"[START]", "[END]", "red", "left", "right"} <= set(words)
    with (folder / "captions.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [set(row["sentence"].split()) >= {color, side}
             for row in rows for color in COLORS for side in ("left", "right")
             if color in row["true"] and side in row["true"]]  # fmt: skip
    # By chance it would be one in six.
    assert np.mean(right) > 0.7


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(data, tmp_path):
    settings = [
        "--backbone",
        "compact",
        "--epochs",
        "4",
        "--size",
        "32",
        "--units",
        "16",
        "--batch",
        "16",
        "--quiet",
    ]
    command = [sys.executable, "-m", "cnnkit", "train", "caption"]
    folder = tmp_path / "killed"
    process = subprocess.Popen([*command, str(data), "-o", str(folder), *settings])
    deadline = time.monotonic() + 100
    while not (folder / "state.npz").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--resume", "-o", str(folder), "--quiet"], check=True)
    subprocess.run([*command, str(data), "-o", str(tmp_path / "whole"), *settings], check=True)

    def rows(name):
        with (tmp_path / name / "results.csv").open() as file:
            return [[row["epoch"], row["loss"], row["val_loss"]] for row in csv.DictReader(file)]

    killed, whole = rows("killed"), rows("whole")
    assert [row[0] for row in killed] == [str(epoch) for epoch in range(4)]
    for first, second in zip(killed, whole, strict=True):
        assert [float(one) for one in first] == pytest.approx(
            [float(one) for one in second], rel=1e-4
        )


@pytest.mark.slow
def test_the_encoder_may_be_trained_too(data, tmp_path):
    result = train_captioner(data, tmp_path / "run", options(transfer="last:2", epochs=1))
    head = train_captioner(data, tmp_path / "head", options(epochs=1))
    assert result.weights[1] == head.weights[1]
    # Two convolutions: 128 x 128 x 9 + 128, twice.
    assert result.weights[0] - head.weights[0] == 2 * (128 * 128 * 9 + 128)


@pytest.mark.slow
def test_a_captioner_on_lite0_leaves_its_weights_where_they_are(data, tmp_path, capsys):
    """Sentences with the name of what is seen, and a file that is refused for other weights."""
    lines = data.read_text().splitlines()
    table = data.with_name("named.csv")
    rows = [f"{line.split(',')[0]},{NAME} on a floor" for line in lines[1:]]
    table.write_text("\n".join([lines[0], *rows]) + "\n")
    settings = options(backbone="efficientnet-lite0", size=64, epochs=15, patience=0, cell="gru")
    settings = replace(settings, learning_rate=0.01, batch_size=4, max_words=6)
    result = train_captioner(table, tmp_path / "run", settings)
    # The decoder alone: Lite0 has 4.7 million weights.
    assert result.weights[1] < 500_000
    assert result.model.stat().st_size < 3e6
    captioner = Captioner(str(tmp_path / "run"))
    [found] = captioner.caption([str(data.parent / "00.png")])
    [best] = found.candidates
    assert best.sentence.endswith(" on a floor")
    name = best.sentence.removesuffix(" on a floor")
    assert name in {*map(with_article, [*imagenet_names(), *imagenet_groups()])}
    assert 0 < best.name_probability < 1
    assert best.likelihood == pytest.approx(np.exp(best.log_probability / 5))
    # It was not calibrated.
    assert best.is_sure is None

    with zipfile.ZipFile(result.model) as archive:
        content = {one: archive.read(one) for one in archive.namelist()}
    settings = json.loads(content["settings.json"])
    assert (settings["backbone"], settings["side"]) == ("efficientnet-lite0", 64)

    def with_settings(**values):
        path = tmp_path / "other.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for one, data in content.items():
                is_it = one == "settings.json"
                archive.writestr(one, json.dumps({**settings, **values}) if is_it else data)
        return str(path)

    with pytest.raises(WeightsError, match=r"other\.keras was trained on other weights of effi"):
        Captioner(with_settings(backbone_hash="0" * 64))
    with pytest.raises(DataError, match=r"settings\.json is damaged, or of a later version"):
        Captioner(with_settings(backbone="vgg99"))
    for least, is_sure in ((0.0, True), (1.0, False)):
        path = with_settings(least_likelihood=least, least_name_probability=0.0)
        [found] = Captioner(path).caption([str(data.parent / "00.png")])
        assert found.is_sure is is_sure
    assert run(["caption", str(data.parent / "00.png"), "--model", path]) == 0
    assert f": not sure: {best.sentence}?" in capsys.readouterr().out


@pytest.mark.slow
def test_lite0_may_be_trained_too(data, tmp_path):
    settings = options(backbone="efficientnet-lite0", size=64, epochs=1)
    head = train_captioner(data, tmp_path / "head", settings)
    result = train_captioner(data, tmp_path / "run", replace(settings, transfer="last:2"))
    # Everything up to the classifier's 1,280 x 1,000 + 1,000 weights is in the file.
    assert result.weights[1] > head.weights[1] + 4_600_000
    # The classifier, and the last convolution, 320 x 1,280.
    assert result.weights[0] - head.weights[0] == 1280 * 1000 + 1000 + 320 * 1280
    [found] = Captioner(str(tmp_path / "run")).caption([str(data.parent / "00.png")])
    assert len(found.candidates) == 1


@pytest.mark.slow
def test_one_sentence_for_all_is_told(data, tmp_path, capsys):
    """A learning rate of next to nothing, so that nothing is learnt."""
    arguments = [
        "--backbone",
        "compact",
        "--size",
        "32",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-9",
        "--beams",
        "1",
    ]
    output = ["-o", str(tmp_path / "run"), *arguments, "--units", "16"]
    assert run(["train", "caption", str(data), *output, "--max-words", "3"]) == 0
    out, err = capsys.readouterr()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["collapsed"] == ("has not learnt to look" in " ".join(err.split()))
    assert "BLEU-1 to 4" in out
    # A run goes on with its own settings, and with no others.
    assert run(["train", "caption", str(data), *output[:2]]) == 2
    assert run(["train", "caption", "--resume", *output[:2], "--size", "64"]) == 2
    assert "holds a run with another size" in capsys.readouterr().err
    assert read_run_settings(tmp_path / "run", TrainSettings)[1].max_words == 3


def test_data_that_cannot_be_used_is_refused_before_anything_is_built(data, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    good = data.parent / "00.png"
    path = tmp_path / "captions.csv"
    other = tmp_path / "other.png"
    other.write_bytes(b"no picture")
    path.write_text(f"file,sentence\n{broken},a cat\n{good},a dog\n{other},x\n")
    with pytest.raises(DataError, match=r"has 2 of 3 files that cannot be used .*--skip-bad"):
        train_captioner(path, tmp_path / "run", options())
    path.write_text(f"file,sentence\n{good},a dog\n")
    with pytest.raises(DataError, match="no pictures to validate with"):
        train_captioner(path, tmp_path / "one", options())
    with pytest.raises(DataError, match="holds no training run"):
        train_captioner(data, tmp_path / "none", options(), resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "vgg99"}, "backbone must be one of efficientnet-lite0, compact"),
        ({"size": 16}, "size must be a whole number from 32"),
        ({"cell": "transformer"}, "cell must be one of lstm, gru, rnn"),
        ({"transfer": "some"}, "transfer must be head, last:N or all"),
        ({"dropout": 1.5}, "dropout must be between 0 and 0.9"),
        ({"max_words": 0}, "max-words must be a whole number from 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainSettings(**settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data is given"),
        (["none.csv"], "none.csv does not exist; check the path"),
        ([".", "--cell", "x"], "cell must be one of"),
        (["--resume", "-o", "nothing"], "nothing holds no training run"),
    ],
)
def test_bad_usage_answers_with_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "caption", *arguments]) in (2, 3)
    assert message in capsys.readouterr().err

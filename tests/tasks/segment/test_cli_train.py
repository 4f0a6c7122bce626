import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number in range(4):
        pixels = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{number}.png")
        mask = (np.arange(32)[:, None] < 16).repeat(32, axis=1).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "labels" / f"{number}.png")
    (tmp_path / "data" / "classes.txt").write_text("ground\nsky\n")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data is given"),
        (["nothing"], "nothing does not exist; check the path"),
        (["--scale", "big"], "--scale takes numbers such as 0.5,1.5"),
        (["--crop", "50"], "crop must be a multiple of 32"),
        (["--start", "nothing"], "there is no segmenter named 'nothing'"),
        (["--teacher", "nothing"], "--teacher takes a run folder or a .keras file"),
        (["--resume", "-o", "nothing"], "nothing holds no training run"),
    ],
)
def test_bad_usage_answers_with_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "segment", *arguments]) in (2, 3)
    assert message in capsys.readouterr().err


def test_deeplab_is_a_teacher_and_nothing_to_start_from(tmp_path, monkeypatch, capsys):
    from cnnkit.tasks.segment import files

    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    assert run(["train", "segment", "--teacher", "deeplab"]) == 5
    assert "run: cnnkit weights fetch deeplab" in capsys.readouterr().err
    monkeypatch.setattr(files, "locate", lambda name: tmp_path / f"{name}.tflite")
    assert run(["train", "segment", "--start", "deeplab"]) == 2
    assert "--start takes an FCN, which deeplab is not" in capsys.readouterr().err
    assert run(["train", "segment", "--teacher", "deeplab"]) == 2
    assert "no data is given" in capsys.readouterr().err


@pytest.mark.parametrize("backbone", ["vgg16", "mobilenet-v2"])
def test_weights_are_looked_for_before_a_run_is_begun(
    data, tmp_path, monkeypatch, capsys, backbone
):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    folder = tmp_path / "run"
    command = ["train", "segment", str(data), "--backbone", backbone, "-o", str(folder)]
    assert run([*command, "--val-share", "0.25"]) == 5
    assert f"run: cnnkit weights fetch {backbone}," in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_settings(data, tmp_path, capsys):
    folder = str(tmp_path / "run")
    common = ["--crop", "32", "--epochs", "2", "--no-staged", "--variant", "16s", "--val-share"]
    assert run(["train", "segment", str(data), "-o", folder, *common, "0.25", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["variant"], report["epochs"], report["counts"]) == ("16s", 2, [3, 1])
    assert run(["train", "segment", "--resume", "-o", folder]) == 0
    assert "epoch" in capsys.readouterr().out
    assert run(["train", "segment", str(data), "-o", folder]) == 2
    assert run(["train", "segment", "--resume", "-o", folder, "--crop", "64"]) == 2
    assert "holds a run with another crop" in capsys.readouterr().err
    picture = str(data / "images" / "0.png")
    assert run(["segment", picture, "--model", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "run"

"""``cnnkit train detect`` as the user meets it."""

import pytest

from cnnkit.cli.app import run


@pytest.mark.slow
def test_a_run_says_what_trains_and_how_good_it_is(dotted_pictures, tmp_path, capsys):
    command = ["train", "detect", str(dotted_pictures), "--size", "64", "--val-share", "0.4"]
    assert run([*command, "--epochs", "1", "--batch", "2", "-o", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "pictures: 2 to train on" in err
    assert "2 classes with their objects" in err
    assert "the network below frozen" in err
    assert "epoch 1 of 1: loss" in err
    assert out.splitlines()[0].startswith("validation  AP50 ")
    assert out.splitlines()[-1].startswith(f"{tmp_path}/run/model.keras: 2 classes, epoch 1 of 1")
    # What was trained can be used at once.
    picture = str(dotted_pictures / "two.png")
    assert run(["detect", picture, "--model", str(tmp_path / "run"), "--json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data is given"),
        (["nowhere"], "nowhere does not exist"),
        (["--model", "yolov9", "."], "model must be coco80, efficientnet-lite0, anchors"),
        (["--size", "100", "."], "size must be a multiple of 32"),
        (["--pretrained", "nothing", "--model", "yolov1", "."], "--pretrained takes a run folder"),
        (["--pretrained", "nothing", "--model", "anchors", "."], "no detector named 'nothing'"),
        (["--resume", "-o", "nowhere"], "holds no training run"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "detect", *arguments]) in (2, 3)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1

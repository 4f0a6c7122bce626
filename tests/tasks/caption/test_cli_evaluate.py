import json

import pytest

from cnnkit.cli.app import run


@pytest.fixture
def data(color_pictures, tmp_path):
    """Of twelve pictures the red one that is blue is said to be red."""
    lines = ["file,sentence,split"]
    for name in ("red", "green", "blue"):
        for number in range(4):
            split = "val" if number == 3 else "train"
            path = color_pictures / name / f"{number}.png"
            lines.append(f"{path},A {name} picture.,{split}")
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_is_said_is_compared(color_captioner, data, tmp_path, capsys):
    report = tmp_path / "report"
    arguments = ["evaluate", "caption", str(data), "--model", color_captioner]
    assert run([*arguments, "--split", "all", "-o", str(report), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # 35 of 36 words and 22 of 24 pairs of words are right.
    assert found["bleu"][:2] == pytest.approx([35 / 36, (35 / 36 * 22 / 24) ** 0.5])
    assert (found["pictures"], found["distinct"], found["collapsed"]) == (12, 3, False)
    assert found["most_common"]["share"] == pytest.approx(5 / 12)
    assert found["perplexity"] > 1.0
    # "a" and "picture", which are said of every picture, count nothing. A sentence with the right
    # colour has all of n = 1 to 3 and, without a run of four words, nothing of n = 4.
    assert found["cider"] == pytest.approx(7.5 * 11 / 12)
    assert sorted(path.name for path in report.iterdir()) == [
        "captions.csv",
        "captions.png",
        "report.json",
    ]
    assert "a blue picture" in (report / "captions.csv").read_text()
    assert run([*arguments, "-o", str(report)]) == 2
    assert "has a report already" in capsys.readouterr().err


def test_by_default_the_part_for_validation_counts(color_captioner, data, capsys):
    assert run(["evaluate", "caption", str(data), "--model", color_captioner]) == 0
    out = capsys.readouterr().out
    assert "pictures     3 of val" in out
    assert "67%: a blue picture" in out
    assert "CIDEr-D" in out


def test_one_sentence_for_all_pictures_is_told(color_captioner, color_pictures, tmp_path, capsys):
    lines = ["file,sentence"]
    for number in range(4):
        lines.append(f"{color_pictures / 'green' / f'{number}.png'},number {number}")
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(lines) + "\n")
    assert run(["evaluate", "caption", str(path), "--model", color_captioner]) == 0
    err = capsys.readouterr().err
    assert "says 'a green picture' of 100% of the pictures: it does not look at them" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv does not exist; check the path"),
        ([".", "--split", "test"], "--split must be one of train, val, all"),
        ([".", "--model", "none"], "there is no captioner named"),
    ],
)
def test_bad_usage_answers_at_once(color_captioner, arguments, message, capsys):
    assert run(["evaluate", "caption", "--model", color_captioner, *arguments]) in (2, 3)
    assert message in capsys.readouterr().err

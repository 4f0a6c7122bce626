"""The way of sources to results and files, whatever the task."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnkit.engine.batch import Batch, BatchSettings
from cnnkit.engine.command import PrintSettings
from cnnkit.errors import ImageError, NothingFoundError, UsageError
from cnnkit.results import Record


@dataclass(frozen=True)
class Length:
    """A result: how long a name is."""

    source: str
    length: int

    def to_record(self):
        items = ({"length": self.length},) if self.length else ()
        return Record(self.source, items=items)

    def lines(self):
        return [f"{self.source}: {self.length}", "  more"]


class Rows:
    """An output of one file for all sources, which a file cannot show to be done."""

    planned = ()

    def __init__(self):
        self.rows, self.begun = [], []

    def is_done(self, source):
        return None

    def begin(self, sources):
        self.begun = [source.path for source in sources]

    def write(self, source, result):
        self.rows.append(result.length)

    def finish(self):
        return f"{len(self.rows)} rows"


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "bb.png", "ccc.png"):
        Path(name).write_bytes(b"x")
    return ["a.png", "bb.png", "ccc.png"]


def make(arguments, settings=None, names_output=False, **printing):
    printing = PrintSettings(**printing)
    settings = settings or BatchSettings()
    return Batch("measure", arguments, settings, printing, printing.console(), names_output)


def measure(sources):
    for source in sources:
        stem = Path(source.path).stem
        yield (
            ImageError(f"{source.path} is bad") if stem == "bb" else Length(source.path, len(stem))
        )


def texts(job, output=None):
    return job.files(
        output, ".txt", lambda result, suffix: f"{result.length}{suffix}".encode(), is_named=True
    )


def test_what_fails_is_one_line_and_the_others_go_on(pictures, capsys):
    job, rows = make(pictures), Rows()
    assert job.run(measure, [texts(job), rows]) == 3
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "a.png: 1 -> a-measure.txt",
        "  more",
        "ccc.png: 3 -> ccc-measure.txt",
        "  more",
    ]
    assert captured.err.splitlines() == ["error: bb.png is bad", "2 rows"]
    assert Path("ccc-measure.txt").read_text() == "3.txt"
    assert rows.rows == [1, 3]


def test_each_result_is_an_object_of_the_json(pictures, capsys):
    assert make(pictures, json=True).run(measure) == 3
    records = json.loads(capsys.readouterr().out)
    assert [one["items"] for one in records] == [[{"length": 1}], [], [{"length": 3}]]
    assert records[1]["error"] == {"code": "ImageError", "message": "bb.png is bad"}


def test_the_exit_code_of_one_picture_is_that_of_its_error(pictures):
    def fail(sources):
        yield UsageError("no")

    assert make(pictures[:1]).run(fail) == 2
    assert make(pictures).run(lambda sources: [UsageError("no")] * 3) == 3


def test_nothing_is_predicted_where_a_file_is_there(pictures):
    Path("a-measure.txt").write_text("mine")
    settings = BatchSettings(overwrite=True)
    job = make(pictures, settings)
    output = texts(job)
    with pytest.raises(UsageError, match=r"a-measure\.txt exists; use --overwrite"):
        make(pictures).run(pytest.fail, [output])
    assert job.run(measure, [output]) == 3
    assert Path("a-measure.txt").read_text() == "1.txt"


def test_only_what_is_left_is_predicted(pictures, capsys):
    Path("a-measure.txt").write_text("mine")
    settings = BatchSettings(skip_existing=True)
    job, rows = make(pictures, settings), Rows()
    assert job.run(measure, [texts(job), rows]) == 3
    assert rows.begun == ["bb.png", "ccc.png"]
    assert "1 pictures are done already\n" in capsys.readouterr().err
    assert Path("a-measure.txt").read_text() == "mine"


def test_nothing_is_loaded_where_nothing_is_left_to_be_done(pictures):
    Path("a-measure.txt").write_text("mine")
    settings = BatchSettings(skip_existing=True)
    job = make(pictures[:1], settings)
    assert job.run(pytest.fail, [texts(job)]) == 0
    assert make(["missing.png"]).run(pytest.fail) == 3


def test_a_stopped_batch_finishes_its_outputs(pictures, capsys):
    def stop(sources):
        yield Length("a.png", 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(pictures).run(stop, [Rows()])
    assert "1 rows" in capsys.readouterr().err


def test_empty_results_can_be_a_failure(pictures):
    def find_nothing(sources):
        return [Length(source.path, 0) for source in sources]

    assert make(pictures).run(find_nothing) == 0
    assert make(pictures).run(find_nothing, fail_if_empty=True) == 4


def test_one_result_goes_to_stdout_and_nothing_else(pictures, capfdbinary):
    job = make(pictures[:1])
    assert job.run(measure, [texts(job, "-")]) == 0
    assert capfdbinary.readouterr().out == b"1.txt"
    with pytest.raises(UsageError, match="-o - takes one picture, not 3"):
        texts(make(pictures), "-")
    with pytest.raises(UsageError, match="both want stdout"):
        texts(make(pictures[:1], json=True), "-")


def test_a_picture_that_does_not_show_what_was_wanted_is_exit_code_4(pictures, capsys):
    def encode(result, suffix):
        if result.length < 3:
            raise NothingFoundError(f"{result.source} is short; nothing is written")
        return b""

    job = make(["a.png", "ccc.png"], json=True, names_output=True)
    assert job.run(measure, [job.files(None, ".txt", encode, is_named=True)]) == 4
    printed = capsys.readouterr()
    assert printed.err == "error: a.png is short; nothing is written\n"
    records = json.loads(printed.out)
    assert [one["output"] for one in records] == [None, "ccc-measure.txt"]
    assert [one["error"] for one in records] == [None, None]


def test_files_of_formats_that_cannot_be_written_are_refused_at_once(pictures):
    with pytest.raises(ImageError, match=r"cannot write pictures as '\.txt'"):
        make(pictures[:1]).pictures("a.txt", ".png", pytest.fail)


def test_settings_that_exclude_each_other_are_refused(pictures):
    with pytest.raises(UsageError, match="--overwrite and --skip-existing exclude each other"):
        BatchSettings(overwrite=True, skip_existing=True)
    with pytest.raises(UsageError, match="--json and --jsonl exclude each other"):
        make(pictures, BatchSettings(jsonl=True), json=True)

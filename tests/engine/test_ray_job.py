"""One command in parts: what is recorded, resumed and refused; on Ray itself in the slow test."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.engine import ray_job
from cnnkit.engine.ray_job import PartWorker, decode, encode

pytest.importorskip("ray")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def here(monkeypatch):
    """Parts are done by this process; gives those that were, and how many may be."""
    done, budget = [], [100]

    def run_parts(job, missing, settings, processes):
        worker = PartWorker()
        for part in missing[: budget[0]]:
            rows = job.sources()[part * job.part_size : (part + 1) * job.part_size]
            sources = json.dumps([[one.path, str(one.relative)] for one in rows])
            row = {"part": part, "sources": sources, "job": pickle.dumps((job, 1, "run"))}
            done.append(part)
            yield worker(row)
        if len(missing) > budget[0]:
            raise KeyboardInterrupt

    class Cluster:
        def __enter__(self):
            return 2

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(ray_job, "_run_parts", run_parts)
    monkeypatch.setattr(ray_job, "_cluster", lambda address: Cluster())
    return done, budget


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    output: str


@pytest.fixture
def call(capsys):
    def call(*arguments):
        capsys.readouterr()
        code = run([str(one) for one in arguments])
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.out + printed.err)

    return call


def records(folder, pattern="parts/*.jsonl"):
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob(pattern))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def without_times(found):
    return [{name: value for name, value in one.items() if name != "ms"} for one in found]


DETECT = ("detect", "photos", "--size", "64", "--ray", "--part-size", "2")


def test_parts_have_the_records_of_the_plain_command_and_a_bad_picture_is_one_of_them(
    pictures, here, call
):
    ended = call(*DETECT, "--results", "out")
    assert ended.exit_code == 3
    assert "5 pictures, 1 failed" in ended.output
    plain = call("detect", "photos", "--size", "64", "--jsonl")
    expected = [json.loads(line) for line in plain.stdout.splitlines()]
    assert without_times(records("out")) == without_times(expected)
    assert [one["error"] is None for one in records("out")] == [True, True, True, False, True]
    assert json.loads(Path("out/summary.json").read_text())["failed"] == 1


def test_a_stopped_job_goes_on_with_the_parts_that_are_missing(pictures, here, call):
    done, budget = here
    budget[0] = 1
    call(*DETECT, "--results", "out")
    assert done == [0]
    # A picture that comes later is none of the job.
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(pictures / "new.png")
    budget[0] = 100
    refused = call(*DETECT, "--results", "out")
    assert refused.exit_code == 2
    ended = call(*DETECT, "--results", "out", "--resume", "--jsonl")
    assert done == [0, 1, 2]
    assert [Path(one["source"]).name for one in records("out")] == [f"{n}.png" for n in range(5)]
    printed = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert printed == records("out")


def test_a_job_goes_on_from_another_folder(pictures, here, call, monkeypatch):
    here[1][0] = 1
    call(*DETECT, "--results", "out", "-o", "drawn")
    other = pictures.parent / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    here[1][0] = 100
    call(*DETECT, "--results", "../out", "-o", "drawn", "--resume")
    assert [one["source"] for one in records(pictures.parent / "out")] == [
        f"photos/{n}.png" for n in range(5)
    ]
    assert sorted(path.name for path in (pictures.parent / "drawn").iterdir()) == [
        "0.jpg", "1.jpg", "2.jpg", "4.jpg",
    ]  # fmt: skip


def test_pictures_lie_in_the_tree_that_the_plain_command_makes(pictures, here, call):
    (pictures / "deep").mkdir()
    (pictures / "0.png").rename(pictures / "deep/0.png")
    call(*DETECT, "-r", "--results", "out", "-o", "drawn")
    names = sorted(str(path.relative_to("drawn")) for path in Path("drawn").rglob("*.jpg"))
    assert names == ["1.jpg", "2.jpg", "4.jpg", "deep/0.jpg"]


def test_pictures_of_a_bucket_are_named_by_their_addresses(pictures, here, call):
    pytest.importorskip("pyarrow")
    place = f"file://{pictures.parent}"
    call(
        *("detect", f"{place}/photos", "--size", "64", "--ray", "--part-size", "2"),
        *("--results", f"{place}/out", "-o", f"{place}/drawn"),
    )
    found = records("out")
    assert [one["source"] for one in found] == [f"{place}/photos/{n}.png" for n in range(5)]
    assert f"{place}/photos/3.png" in found[3]["error"]["message"]
    assert sorted(path.name for path in Path("drawn").iterdir()) == [
        "0.jpg", "1.jpg", "2.jpg", "4.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--json",), "--json is one document about all pictures"),
        (("--coco", "a.json"), "--coco is one document about all pictures"),
        (("-",), "--ray takes no stdin"),
        (("clip.mp4",), "clip.mp4 is a video"),
        (("-o", "a.jpg"), "a.jpg is one file; with --ray give -o a folder"),
        (("--resume",), "holds no job to go on with"),
        (("--ray-address", "127.0.0.1:9"), "is the cluster up"),
    ],
)
def test_what_cannot_be_done_in_parts_is_refused(arguments, said, pictures, here, call):
    ended = call(*DETECT, "--results", "out", *arguments)
    assert ended.exit_code == 2
    assert said in ended.output


def test_options_that_need_each_other_are_told(pictures, call):
    for arguments, said in (
        (("--ray",), "give --results DIR"),
        (("--results", "out"), "--results is for --ray"),
    ):
        ended = call("detect", "photos", *arguments)
        assert ended.exit_code == 2
        assert said in ended.output
    ended = call("classify", "photos", "--resume")
    assert ended.exit_code == 2
    assert "--resume is for --ray" in ended.output


def test_a_job_goes_on_with_the_options_that_it_began_with(pictures, here, call):
    here[1][0] = 1
    call(*DETECT, "--results", "out")
    ended = call(*DETECT, "--results", "out", "--resume", "--conf", "0.5")
    assert ended.exit_code == 2
    assert "has --conf 0.25, not 0.5" in ended.output
    ended = call("classify", "photos", "--ray", "--results", "out", "--resume")
    assert ended.exit_code == 2
    assert "holds a job of detect" in ended.output


def test_a_part_that_fails_as_a_whole_is_named_and_is_not_recorded(
    pictures, here, monkeypatch, call
):
    monkeypatch.setattr(ray_job, "encode", _full)
    ended = call(*DETECT, "--results", "out")
    assert ended.exit_code == 3
    assert "part 0: the disk is full" in ended.output
    assert "3 of 3 parts failed" in ended.output
    assert records("out") == []


def test_a_part_whose_process_dies_again_and_again_is_left_and_its_pictures_are_named(
    pictures, here, call
):
    Path("out/begun").mkdir(parents=True)
    for number in range(5):
        Path(f"out/begun/000001-run-{number}").touch()
    ended = call(*DETECT, "--results", "out")
    assert ended.exit_code == 3
    assert "part 1: the process died 5 times" in ended.output
    assert "lines 3 to 4 of sources.jsonl" in ended.output
    assert here[0] == [0, 1, 2]
    assert len(records("out")) == 3


def _full(*arguments):
    from cnnkit.errors import ImageError

    raise ImageError("the disk is full")


def test_records_come_back_from_both_formats():
    some = [
        {"source": "a.jpg", "width": 3, "height": 2, "model": "m", "items": [{"x": 1}]},
        {"source": "ß.jpg", "width": None, "error": {"code": "ImageError", "message": "bad"}},
    ]
    for suffix in ("jsonl", "parquet"):
        assert list(decode(encode(some, suffix), suffix)) == some


def test_parquet_has_a_column_for_what_is_asked_for_often():
    import io

    from pyarrow import parquet

    some = [{"source": "a.jpg", "width": 3, "error": {"code": "ImageError", "message": "bad"}}]
    table = parquet.read_table(io.BytesIO(encode(some, "parquet")))
    assert table.column_names == ["source", "width", "height", "model", "error", "record"]
    row = table.to_pylist()[0]
    assert (row["source"], row["width"], row["height"], row["error"]) == ("a.jpg", 3, None, "bad")


@pytest.mark.slow
def test_ray_gives_the_records_of_the_plain_command(pictures):
    command = [sys.executable, "-m", "cnnkit"]
    on_ray = subprocess.run(
        [*command, *DETECT, "--results", "out"], capture_output=True, text=True, check=False
    )
    assert on_ray.returncode == 3, on_ray.stderr
    plain = subprocess.run(
        [*command, "detect", "photos", "--size", "64", "--jsonl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = [json.loads(line) for line in plain.stdout.splitlines()]
    assert without_times(records("out")) == without_times(expected)

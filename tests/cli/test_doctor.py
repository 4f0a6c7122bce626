import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit.cli.app import run
from cnnkit.pipelines import doctor

DIAGNOSIS = doctor.Diagnosis(
    cnnkit="1.2.3",
    python="3.11.0",
    system="Linux x86_64",
    keras="3.8.0",
    engine="openvino",
    engine_version="2026.4",
    backend="jax",
    backend_version="0.5",
    numpy="2.0",
    pillow="11.0",
    devices=("cpu:0", "gpu:0"),
    threads=4,
    memory_bytes=16_000_000_000,
    memory_available_bytes=7_940_000_000,
    cache="/cache",
    disk_free_bytes=2_500_000_000,
    networks=tuple(f"network {number}" for number in range(6)),
    networks_bytes=52_400_000,
    weights={"compact": "here", "vgg19": "missing"},
)


def test_doctor_prints_one_line_a_fact(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "diagnose", lambda: DIAGNOSIS)
    assert run(["doctor"]) == 0
    assert capsys.readouterr() == (
        "cnnkit   1.2.3\n"
        "python   3.11.0 on Linux x86_64\n"
        "keras    3.8.0\n"
        "engine   openvino 2026.4, for trained networks\n"
        "backend  jax 0.5\n"
        "numpy    2.0\n"
        "pillow   11.0\n"
        "devices  cpu:0, gpu:0\n"
        "threads  4\n"
        "memory   7.9 GB available of 16.0 GB\n"
        "cache    /cache (2.5 GB free)\n"
        "compiled 6 networks, 52 MB in the cache\n"
        "weights  here: compact; missing: vgg19\n",
        "",
    )


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"networks": ()}, "quicker after: cnnkit weights warm"),
        ({"engine": "tensorflow"}, "a fifth of the time with: pip install openvino"),
        (
            {"devices": ("cpu:0",), "has_nvidia": True, "backend": "tensorflow"},
            "the NVIDIA GPU is not used: pip install 'tensorflow[and-cuda]'",
        ),
        ({"memory_available_bytes": 2e9}, "--backbone compact"),
        ({"disk_free_bytes": 1e9}, "move it with CNNKIT_HOME=FOLDER"),
        ({"weights": {"vgg19": "damaged"}}, "vgg19 is damaged: cnnkit weights check vgg19"),
        ({"extras": {"heif": "HEIC pictures"}}, 'HEIC pictures: pip install ".[heif]"'),
    ],
)
def test_doctor_says_what_could_be_better_and_how(monkeypatch, capsys, state, line):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    found = dataclasses.replace(DIAGNOSIS, **state)
    monkeypatch.setattr(doctor, "diagnose", lambda: found)
    assert run(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "could be better:\n" in printed
    assert line in printed.splitlines()[-1]
    assert run(["doctor", "--json"]) == 0
    [advice] = json.loads(capsys.readouterr().out)["advice"]
    assert line in advice


def test_no_openvino_is_advised_where_there_is_none(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    found = dataclasses.replace(DIAGNOSIS, engine="tensorflow", system="Linux aarch64")
    assert found.advice() == ()
    # A network that is there in several versions counts once.
    found = dataclasses.replace(DIAGNOSIS, networks=("detector coco80",) * 9)
    assert "cnnkit weights warm" in found.advice()[0]


def test_a_report_has_no_name_of_the_home_folder(monkeypatch, capsys, tmp_path):
    cache = Path.home() / "a folder" / "weights"
    monkeypatch.setattr(doctor, "diagnose", lambda: dataclasses.replace(DIAGNOSIS, cache=cache))
    report = tmp_path / "report.txt"
    assert run(["doctor", "--report", str(report)]) == 0
    assert "cache    ~/a folder/weights" in report.read_text()
    assert str(Path.home()) not in report.read_text()
    assert run(["doctor", "--report", str(report)]) == 2
    assert "report.txt exists" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_doctor_is_quiet_on_stderr_with_any_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = subprocess.run(
        [sys.executable, "-m", "cnnkit", "doctor", "--json"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(found.stdout)
    assert document["schema"] == "cnnkit/1"
    assert document["backend"] == backend
    assert document["backend_version"] != "unknown"
    assert document["devices"][0].startswith(("cpu", "gpu", "cuda"))
    assert found.stderr == ""


def test_a_backend_that_is_not_there_is_one_line():
    found = subprocess.run(
        [sys.executable, "-m", "cnnkit", "doctor"],
        env={**os.environ, "KERAS_BACKEND": "abacus"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 3
    assert found.stderr.startswith("error: Keras cannot use the backend 'abacus' (")
    assert found.stderr.count("\n") == 1

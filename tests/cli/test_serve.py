import importlib.util
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from cnnkit.cli.app import run
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import ExitCode
from cnnkit.images import encode_image


def fail_when_loaded(monkeypatch):
    def refuse(**settings):
        raise AssertionError("an engine is loaded")

    monkeypatch.setattr("cnnkit.engine.choice.configure_inference", refuse)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "0.0.0.0 can be reached by other machines: give --token"),
        (["--token", "abc"], 2, "a token has 16 letters at least"),
        (["--queue", "0"], 2, "queue must be a whole number from 1"),
        (["--detector", "runs/nothing"], 5, "runs/nothing does not exist"),
        (["--classifier", "nothing"], 2, "there is no classifier named 'nothing'"),
    ],
)
def test_what_cannot_be_served_is_said_before_an_engine_is_loaded(
    capsys, monkeypatch, arguments, code, message
):
    fail_when_loaded(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["serve", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_at_once(capsys, monkeypatch):
    fail_when_loaded(monkeypatch)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == ExitCode.USAGE
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err


def test_what_is_not_installed_is_named(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    assert run(["serve"]) == ExitCode.USAGE
    assert 'uvicorn is missing: pip install ".[serve]"' in capsys.readouterr().err


def test_the_studio_needs_gradio(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["studio"]) == ExitCode.USAGE
    assert 'pip install ".[studio]"' in capsys.readouterr().err


def test_a_server_answers_until_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "cnnkit", "serve", "--port", "0", "--no-page"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = re.fullmatch(r"(http://localhost:\d+)/docs\n", process.stdout.readline())[1]
            assert requests.get(f"{address}/healthz", timeout=30).json()["loaded"] == []
            answer = requests.post(f"{address}/v1/segment", data=b"no picture", timeout=30)
            assert answer.status_code == 422
            coffee = encode_image(load_sample(find_sample("coffee")), ".png")
            answer = requests.post(f"{address}/v1/detect", data=coffee, timeout=60)
            assert "cup" in [one["label"] for one in answer.json()["items"]]
        finally:
            process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert error.splitlines()[0] == "Ctrl-C ends it"
    assert "Traceback" not in error

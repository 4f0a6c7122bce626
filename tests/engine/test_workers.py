"""Threads and processes that make examples."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cnnkit.engine.workers import Workers
from cnnkit.errors import DataError


def where(text):
    """What is called: it must be found by other processes."""
    if text == "bad":
        raise DataError("bad.jpg is damaged; mend it")
    return text, os.getpid()


def test_threads_work_in_this_process():
    workers = Workers(where, 0, "test")
    assert [workers.submit(text).result() for text in "ab"] == [
        ("a", os.getpid()),
        ("b", os.getpid()),
    ]


def test_processes_work_beside_this_one_and_give_its_errors_back():
    workers = Workers(where, 1, "test")
    text, process = workers.submit("a").result(60)
    assert text == "a"
    assert process != os.getpid()
    with pytest.raises(DataError, match=r"bad.jpg is damaged; mend it"):
        workers.submit("bad").result(60)


def test_processes_end_when_this_one_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "from cnnkit.engine.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    print(Workers(os.getpid, 1, 'test').submit().result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as program:
        worker = int(program.stdout.readline())
        program.send_signal(signal.SIGKILL)
    for _ in range(200):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker lives on")

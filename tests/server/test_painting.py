import time

import numpy as np
import pytest

from cnnkit.images import Picture, read_image
from cnnkit.server.models import BusyError
from cnnkit.server.painting import Painter
from cnnkit.tasks.stylize.settings import StylizeSettings

PICTURE = Picture(np.full((8, 8, 3), 0.5, np.float32))
# A child that says a step, leaves a preview, waits for a file "go" and copies the content.
CHILD = """
import json, pathlib, shutil, time
folder = pathlib.Path(sys.argv[1])
options = json.load(sys.stdin)
(folder / "preview.jpg").write_bytes(b"so far")
print(json.dumps({"step": 1, "steps": options["steps"], "seconds_left": 2.5}), flush=True)
while not (folder.parent / "go").exists():
    time.sleep(0.01)
shutil.copy(folder / "content.png", folder / "result.png")
"""


def wait_until(condition):
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < 30
        time.sleep(0.01)


@pytest.fixture
def painter():
    one = Painter(2, CHILD)
    yield one
    one.close()


def begin(painter):
    return painter.begin(PICTURE, PICTURE, StylizeSettings(steps=7))


def let_go(job):
    (job.folder.parent / "go").touch()


def test_a_job_says_how_far_it_is_and_leaves_a_picture(painter):
    job = begin(painter)
    assert painter.find(job.name) is job
    assert job.result() is None
    wait_until(lambda: job.step == 1)
    said = job.to_dict()
    assert said == {
        "job": job.name,
        "status": "painting",
        "step": 1,
        "steps": 7,
        "seconds_left": 2.5,
        "error": None,
    }
    assert job.preview() == b"so far"
    let_go(job)
    wait_until(lambda: job.is_over)
    assert (job.status, job.seconds_left) == ("done", None)
    np.testing.assert_allclose(read_image(job.result()).pixels, 0.5, atol=1 / 255)


def test_one_is_painted_at_a_time_and_too_many_are_refused(painter):
    first, second = begin(painter), begin(painter)
    wait_until(lambda: first.step == 1)
    assert second.status == "waiting"
    with pytest.raises(BusyError, match="try again in 60 s") as refused:
        begin(painter)
    assert refused.value.seconds == 60
    let_go(first)
    wait_until(lambda: second.is_over)
    assert [first.status, second.status] == ["done", "done"]


def test_jobs_can_be_cancelled_while_they_wait_and_while_they_are_painted(painter):
    first, second = begin(painter), begin(painter)
    wait_until(lambda: first.step == 1)
    painter.cancel(second)
    painter.cancel(first)
    painter.cancel(first)
    assert [first.status, second.status] == ["cancelled", "cancelled"]
    assert first.preview() == b"so far"
    third = begin(painter)
    let_go(third)
    wait_until(lambda: third.status == "done")


def test_a_child_that_fails_is_told():
    painter = Painter(2, 'print(\'{"error": "no room"}\'); sys.exit(3)')
    silent = Painter(2, "sys.exit(9)")
    try:
        job, other = begin(painter), begin(silent)
        wait_until(lambda: job.is_over and other.is_over)
        assert (job.status, job.error) == ("failed", "no room")
        assert other.error == "the painting process ended with exit code 9"
    finally:
        painter.close()
        silent.close()


def test_closing_stops_the_child_and_removes_the_pictures():
    painter = Painter(2, CHILD)
    job = begin(painter)
    wait_until(lambda: job.step == 1)
    painter.close()
    assert job.status == "cancelled"
    assert not job.folder.parent.exists()

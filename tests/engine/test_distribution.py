"""Several devices and processes: the same loss curve, own files, and the end of a lost process.

They run in processes of their own: what a backend has of devices is settled when it is imported.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.data.shapes import write_shapes
from cnnkit.engine.distribution import CommonStop, LostProcessError, Team
from cnnkit.engine.run import read_results
from cnnkit.errors import UsageError

# What differs between the two is only the order of sums.
SAME = {"rtol": 1e-4, "atol": 1e-6}
# Steps of SGD go with the gradient. Those of Adam are as long where it is zero but for rounding.
SETTINGS = {
    "transfer": "all",
    "epochs": 3,
    "head_epochs": 1,
    "batch_size": 8,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "clip_norm": 0.0,
}
# A learning rate that is the same however many epochs there are.
STEADY = ("--schedule", "constant", "--warmup", "0")
# In several lines for those who read it; run with `python -c`.
SCRIPT = """
import json, os, sys
job = json.loads(sys.argv[1])
if job.get("mirrors"):
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * job["mirrors"]
    tf.config.set_logical_device_configuration(cpu, parts)
from cnnkit.runtime import configure
configure(device="cpu")
from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.tasks.classify.train import train_classifier
for devices, output in job["runs"]:
    train_classifier(job["data"], output, TrainSettings(**job["options"]), devices=devices)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Noisy pictures of three colours, 8 of each to train on and 3 to validate, and a network."""
    import keras

    root = tmp_path_factory.mktemp("several")
    random = np.random.default_rng(0)
    for name, color in {
        "red": (200, 90, 90),
        "green": (90, 180, 90),
        "blue": (90, 90, 200),
    }.items():
        for split, count in (("train", 8), ("val", 3)):
            (root / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(color + random.normal(0, 60, (20, 20, 3)), 0, 255)
                path = root / "data" / split / name / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    keras.utils.set_random_seed(0)
    for name, is_normalised in (("plain", False), ("normalised", True)):
        x = inputs = keras.Input((16, 16, 3))
        x = keras.layers.Conv2D(6, 3, use_bias=False)(x)
        if is_normalised:
            # All that differs between a batch and its parts: the statistics, the dropout.
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.SpatialDropout2D(0.2)(x)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
        x = keras.layers.Dense(5, activation="softmax")(x)
        keras.Model(inputs, x).save(root / f"{name}.keras")
    return root


def environment(backend, devices=1):
    # A worker must find the checkout, and nothing of a job that these tests run in.
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SLURM_", "CNNKIT_", "KERAS_", "XLA_", "JOB_COMPLETION"))
    }
    flags = f"--xla_force_host_platform_device_count={devices}"
    return {**kept, "KERAS_BACKEND": backend, "XLA_FLAGS": flags}


def run_script(folder, backend, runs, devices=1, network="plain", mirrors=0, **settings):
    """Trains in one new process, once for each `(devices, output)`."""
    options = {**SETTINGS, **settings, "model": str(folder / f"{network}.keras")}
    job = {"data": str(folder / "data"), "runs": runs, "options": options, "mirrors": mirrors}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(job)],
        env=environment(backend, devices),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert found.returncode == 0, found.stderr[-3000:]


def curve(run):
    """Rows of a run without their seconds."""
    rows = np.loadtxt(Path(run) / "results.csv", delimiter=",", skiprows=1, ndmin=2)
    return np.delete(rows, 1, axis=1)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder, output, process_id, port, *more, processes=2, network="normalised"):
    """One of several processes of `cnnkit train classify`."""
    arguments = [
        *("classify", str(folder / "data"), "-o", str(output)),
        *("--model", str(folder / f"{network}.keras"), "--transfer", "all", "--head-epochs", "1"),
        *("--batch", "8", "--optimizer", "sgd", "--learning-rate", "0.05"),
        *more,
    ]
    return start_training(arguments, output, process_id, port, processes)


def start_training(arguments, output, process_id, port, processes=2):
    """One of several processes of `cnnkit train`."""
    arguments = ["train", *arguments, "--device", "cpu"]
    if processes > 1:
        arguments += ["--coordinator", f"127.0.0.1:{port}", "--processes", str(processes)]
        arguments += ["--process-id", str(process_id)]
    # Each process says which files it reads to train on; `labelled` reads the others.
    code = (
        "import sys, os\n"
        "from cnnkit import images\n"
        "from cnnkit.data import labelled\n"
        "read = images.read_pixels\n"
        "def noted(path, *more):\n"
        "    with open(os.environ['READ'], 'a') as file: file.write(path + '\\n')\n"
        "    return read(path, *more)\n"
        "images.read_pixels = noted\n"
        "from cnnkit.__main__ import main\n"
        "sys.argv = ['cnnkit', *sys.argv[1:]]\n"
        "main()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**environment("jax"), "READ": f"{output}-read-{process_id}.txt"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    """`(code, stdout, stderr)` of each."""
    ends = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=240)
            ends.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return ends


def wait_for(path, text, process, seconds=180):
    """Waits until a file of a run holds something."""
    end = time.monotonic() + seconds
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_process_alone_shares_nothing():
    team = Team(devices=1)
    assert (team.shard, team.is_first, team.is_several) == ((0, 1), True, False)
    part = np.arange(6).reshape(3, 2)
    assert (team.gather(part, 3) == part).all()
    assert [list(range(7)[team.own_part(7)])] == [list(range(7))]


def test_more_devices_than_there_are_is_one_line():
    with pytest.raises(UsageError, match=r"--devices 99: the backend sees \d+ \w+ here; use"):
        Team(devices=99)


def test_a_batch_that_cannot_be_shared_equally_is_one_line():
    team = Team(devices=1)
    team.devices = 3
    team.check_batch(33)
    with pytest.raises(UsageError, match="cannot be shared by 3 devices; give --batch 30 or 33"):
        team.check_batch(32)
    with pytest.raises(UsageError, match=r"give --batch 3$"):
        team.check_batch(2)


def test_what_other_processes_did_is_told_from_other_errors():
    team = Team(devices=1)
    with pytest.raises(ValueError, match="Gloo"), team.watched():
        raise ValueError("Gloo all-reduce failed: Connection closed by peer")
    team.processes = 2
    with pytest.raises(LostProcessError, match="command with --resume"), team.watched():
        raise ValueError("Gloo all-reduce failed: Connection closed by peer")
    with pytest.raises(ValueError, match="shape"), team.watched():
        raise ValueError("a shape is wrong")


def test_who_is_gone_after_a_common_stop_was_interrupted_too(monkeypatch):
    multihost = pytest.importorskip("jax.experimental.multihost_utils")
    monkeypatch.setattr(multihost, "reached_preemption_sync_point", lambda step: step == 2)
    team = Team(devices=1)
    team.processes = 2
    team.check_stop(1)
    with pytest.raises(CommonStop):
        team.check_stop(2)
    with pytest.raises(CommonStop), team.watched():
        raise ValueError("Gloo all-reduce failed: Connection closed by peer")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("transfer", ["all", "head"])
def test_two_devices_of_one_process_learn_as_one_on_jax(folder, tmp_path, transfer):
    pytest.importorskip("jax")
    runs = [[1, str(tmp_path / "one")], [2, str(tmp_path / "two")]]
    run_script(folder, "jax", runs, devices=2, network="normalised", transfer=transfer)
    np.testing.assert_allclose(curve(tmp_path / "one"), curve(tmp_path / "two"), **SAME)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("transfer", ["all", "head"])
def test_two_devices_of_one_process_learn_as_one_on_tensorflow(folder, tmp_path, transfer):
    runs = [[1, str(tmp_path / "one")], [2, str(tmp_path / "two")]]
    # Mirrors normalise their own part of a batch and draw their own dropout.
    run_script(folder, "tensorflow", runs, mirrors=2, transfer=transfer, dropout=0.0)
    np.testing.assert_allclose(curve(tmp_path / "one"), curve(tmp_path / "two"), **SAME)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_learn_as_one_each_from_its_own_files(folder, tmp_path):
    pytest.importorskip("jax")
    port, epochs = free_port(), ("--epochs", "2", "--json")
    finish(start(folder, tmp_path / "one", 0, port, *epochs, processes=1))
    ends = finish(*(start(folder, tmp_path / "two", k, port, *epochs) for k in (0, 1)))
    assert [code for code, _, _ in ends] == [0, 0], ends
    np.testing.assert_allclose(curve(tmp_path / "one"), curve(tmp_path / "two"), **SAME)
    # Process 0 alone speaks, and what the engines say to the same place is not among it.
    assert json.loads(ends[0][1])["epochs"] == 2
    assert "epoch 2 of 2" in ends[0][2]
    assert ends[1][1:] == ("", "")
    whole = (tmp_path / "one-read-0.txt").read_text().split()
    parts = [(tmp_path / f"two-read-{k}.txt").read_text().split() for k in (0, 1)]
    # In the first epoch each reads its half of the 24 files.
    assert sorted(parts[0][:12] + parts[1][:12]) == sorted(whole[:24])
    # Then the others: half of each batch, of which one or two more are read ahead.
    for part in parts:
        assert abs(len(part) - len(whole) / 2) <= 16


def write_scenes(folder):
    write_shapes(folder, "train", 8, seed=0, side=64)
    write_shapes(folder, "val", 3, seed=1, side=64)


def write_masks(folder):
    """Pictures with a red or a blue square, and their masks."""
    for part, count in (("train", 8), ("val", 3)):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True)
        for number in range(count):
            pixels = (
                np.random.default_rng([count, number]).integers(0, 60, (32, 40, 3)).astype(np.uint8)
            )
            mask = np.zeros((32, 40), np.uint8)
            pixels[4:28, 6:30, 2 * (number % 2)], mask[4:28, 6:30] = 250, 1 + number % 2
            Image.fromarray(pixels).save(folder / part / "images" / f"{number}.png")
            Image.fromarray(mask).save(folder / part / "labels" / f"{number}.png")
    (folder / "classes.txt").write_text("background\nred\nblue\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("task", "write", "options"),
    [
        ("detect", write_scenes, ("--model", "compact", "--size", "64")),
        ("segment", write_masks, ("--variant", "16s", "--crop", "32")),
        ("segment", write_masks, ("--no-staged", "--crop", "32", "--views", "2")),
    ],
    ids=["detect", "segment", "views"],
)
def test_detectors_and_segmenters_learn_of_two_processes_as_of_one(tmp_path, task, write, options):
    pytest.importorskip("jax")
    write(tmp_path / "data")
    arguments = [task, str(tmp_path / "data"), *options, "--epochs", "2", "--batch", "4"]
    arguments += ["--optimizer", "sgd", "--learning-rate", "0.01", "--clip-norm", "0"]

    def begin(output, process_id, port, processes):
        output = tmp_path / output
        return start_training(
            [*arguments, "-o", str(output), "--json"], output, process_id, port, processes
        )

    port = free_port()
    ends = finish(begin("one", 0, port, 1))
    ends += finish(*(begin("two", process_id, port, 2) for process_id in (0, 1)))
    assert [code for code, _, _ in ends] == [0, 0, 0], ends
    rows = [read_results(tmp_path / name) for name in ("one", "two")]
    for one, two in zip(*rows, strict=True):
        assert one.pop("seconds") > 0
        assert two.pop("seconds") > 0
        stages = one.pop("stage", ""), two.pop("stage", "")
        assert stages[0] == stages[1]
        np.testing.assert_allclose([*one.values()], [*two.values()], **SAME)
    reports = [json.loads(out) for _, out, _ in ends[:2]]
    assert reports[0]["epochs"] == reports[1]["epochs"] == 2
    assert ends[2][1:] == ("", "")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_the_run_resumes(folder, tmp_path, victim):
    pytest.importorskip("jax")
    output, port = tmp_path / "run", free_port()
    workers = [start(folder, output, k, port, *STEADY, "--epochs", "4000") for k in (0, 1)]
    wait_for(output / "results.csv", "\n2,", workers[0])
    workers[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    code, out, err = finish(workers[1 - victim])[0]
    assert time.monotonic() - killed < 30
    workers[victim].communicate()
    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("error: another process of this training ended")
    assert "run the same command with --resume" in err
    assert "Traceback" not in err
    done = len(curve(output))
    more, port = ("--resume", "--epochs", str(done + 2)), free_port()
    ends = finish(*(start(folder, output, k, port, *more) for k in (0, 1)))
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert len(curve(output)) == done + 2
    # As if nothing had happened, and as in one process.
    more = (*STEADY, "--epochs", str(done + 2))
    finish(start(folder, tmp_path / "whole", 0, port, *more, processes=1))
    np.testing.assert_allclose(curve(output), curve(tmp_path / "whole"), rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("interrupted", [(0, 1), (0,), (1,)])
def test_ctrl_c_in_some_processes_stops_all_and_keeps_the_best_so_far(
    folder, tmp_path, interrupted
):
    pytest.importorskip("jax")
    output, port = tmp_path / "run", free_port()
    workers = [start(folder, output, k, port, "--epochs", "4000") for k in (0, 1)]
    wait_for(output / "results.csv", "\n2,", workers[0])
    for number in interrupted:
        workers[number].send_signal(signal.SIGINT)
    ends = finish(*workers)
    assert [code for code, _, _ in ends] == [130, 130], ends
    assert "go on with --resume" in ends[0][2]
    assert (output / "model.keras").exists()

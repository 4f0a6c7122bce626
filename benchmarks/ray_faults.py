"""A job on two Ray nodes whose processes are killed at random against an unbroken plain command.

    python benchmarks/ray_faults.py [--pictures 5000] [--runs 10] [--seed 0]

Both nodes are processes of this machine with one core each. In each run, at random moments, a
process that does parts is killed, then one of the nodes (another is added), then the process that
started the job, which is started again with `--resume`. The records, without the times in them,
must be those of the plain command: none twice, none missing. Pictures are drawn here.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from _measure import cnnkit, machine
from PIL import Image

OPTIONS = ("--size", "64")


def main() -> None:
    # Processes of the nodes would yield to everything else on the machine.
    os.environ.update(RAY_worker_niceness="0")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "pictures", arguments.pictures)
        command = cnnkit("detect", str(folder / "pictures"), *OPTIONS, "-q")
        plain = subprocess.run([*command, "--jsonl"], check=False, stdout=subprocess.PIPE)
        expected = Counter(map(without_times, plain.stdout.decode().splitlines()))
        print(f"plain: {expected.total()} records")
        for run in range(arguments.runs):
            random = np.random.default_rng([arguments.seed, run])
            begin = time.monotonic()
            killed = broken_job(command, folder / f"run{run}", random)
            lines = [
                line
                for path in (folder / f"run{run}/parts").iterdir()
                for line in path.read_text().splitlines()
            ]
            found = Counter(map(without_times, lines))
            print(
                f"run {run}: {found.total()} records, {(expected - found).total()} missing, "
                f"{(found - expected).total()} too many; killed {killed}, "
                f"{time.monotonic() - begin:.0f} s",
                flush=True,
            )


def draw(folder: Path, count: int) -> None:
    """Small pictures of coloured blocks; every hundredth is no picture."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number % 100 == 99:
            path.write_bytes(b"no picture")
            continue
        blocks = random.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(blocks).resize((96, 96), Image.Resampling.NEAREST).save(path)


def without_times(line: str) -> str:
    record = json.loads(line)
    return json.dumps({name: one for name, one in record.items() if name != "ms"}, sort_keys=True)


def broken_job(command: list[str], results: Path, random: np.random.Generator) -> str:
    """Runs a job to its end through what is killed; says what that was."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    job = [*command, "--ray", "--ray-address", cluster.address, "--results", str(results)]
    job += ["--part-size", "100"]
    killed = Counter[str]()
    try:
        driver = subprocess.Popen(job, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        plan = list(random.permutation(["worker", "worker", "node", "driver"]))
        while plan and wait(driver, random.uniform(6, 14)):
            what = plan.pop()
            if what == "worker":
                workers = processes_called("ray::")
                if not workers:
                    continue
                os.kill(int(random.choice(workers)), signal.SIGKILL)
            elif what == "node":
                cluster.remove_node(node, allow_graceful=False)
                node = cluster.add_node(num_cpus=1)
            else:
                driver.kill()
                driver.wait()
                driver = subprocess.Popen(
                    [*job, "--resume"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            killed[what] += 1
        driver.wait()
        # What was stopped before its end goes on, as a user would have it.
        for _ in range(3):
            if (results / "summary.json").exists():
                break
            subprocess.run([*job, "--resume"], check=False, stderr=subprocess.DEVNULL)
    finally:
        cluster.shutdown()
    return ", ".join(f"{count} {what}" for what, count in sorted(killed.items()))


def wait(process: subprocess.Popen, seconds: float) -> bool:
    """Waits; whether the process goes on."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def processes_called(begin: str) -> list[int]:
    """Numbers of the processes that do parts."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if name.startswith(begin) and "Map" in name:
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    main()

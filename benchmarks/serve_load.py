"""How quickly `cnnkit serve` answers, alone and to many clients, and whether its memory is flat.

    python benchmarks/serve_load.py [--requests 2000] [--clients 20]

A server of its own is started. First each task is asked for one picture at a time, then many
clients ask at once for detections; those that are sent away ask again after as long as they are
told. Then one client asks for everything in turn, while the server's memory is looked at. At last
the server is killed, and started again on the same gallery of people.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from _measure import cnnkit, machine, sample

from cnnkit.images import Picture, encode_image

TASKS = ("detect", "segment", "cutout", "classify", "caption", "embed", "stylize?style=waves")
ALONE = 15


@contextmanager
def server(gallery: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server's address, and its process."""
    command = cnnkit("serve", "--no-page", "--port", "0", "--gallery", str(gallery), "-q")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = re.match(r"(http://localhost:\d+)/", process.stdout.readline())
            yield found[1], process
        finally:
            process.kill()


def timed(ask: Callable[[], requests.Response]) -> float:
    """Seconds until an answer, which must be a good one."""
    begin = time.perf_counter()
    answer = ask()
    assert answer.ok, answer.text
    return time.perf_counter() - begin


def ask_until_answered(address: str, content: bytes, times: list[float], waits: list[int]) -> None:
    """A client that asks again when it is told to."""
    begin = time.perf_counter()
    while True:
        answer = requests.post(f"{address}/v1/detect", data=content, timeout=120)
        if answer.status_code != 429:
            break
        waits.append(int(answer.headers["retry-after"]))
        time.sleep(waits[-1])
    assert answer.json()["items"], answer.text
    times.append(time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=20)
    arguments = parser.parse_args()
    content = encode_image(Picture(sample("astronaut")), ".jpg")
    gallery = Path(tempfile.mkdtemp()) / "people.db"
    print(machine())
    with server(gallery) as (address, process):
        print("| task | seconds, median | min-max |")
        print("| --- | --- | --- |")
        for task in TASKS:
            url = f"{address}/v1/{task}"
            ask = lambda url=url: requests.post(url, data=content, timeout=120)  # noqa: E731
            ask()
            times = [timed(ask) for _ in range(ALONE)]
            print(
                f"| {task} | {statistics.median(times):.3f} | {min(times):.3f}-{max(times):.3f} |",
                flush=True,
            )
        times, waits = [], []
        clients = [
            threading.Thread(
                target=lambda: [
                    ask_until_answered(address, content, times, waits) for _ in range(10)
                ]
            )
            for _ in range(arguments.clients)
        ]
        begin = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        seconds = time.perf_counter() - begin
        lost = 10 * arguments.clients - len(times)
        times.sort()
        print(
            f"{arguments.clients} clients, {len(times)} detections: p50 "
            f"{times[len(times) // 2]:.2f} s, p95 {times[int(0.95 * len(times))]:.2f} s, "
            f"{len(times) / seconds:.1f} a second, {len(waits)} sent away, {lost} lost"
        )
        memory = psutil.Process(process.pid)
        peaks = []
        for number in range(arguments.requests):
            requests.post(f"{address}/v1/{TASKS[number % len(TASKS)]}", data=content, timeout=120)
            if number % (arguments.requests // 10) == 0:
                peaks.append(memory.memory_info().rss / 1e6)
        print(
            f"{arguments.requests} requests, memory in MB at each tenth: "
            + ", ".join(f"{one:.0f}" for one in peaks)
        )
        assert requests.post(f"{address}/v1/people/Eileen", data=content, timeout=60).ok
    # It was killed.
    with server(gallery) as (address, _):
        begin = time.perf_counter()
        people = requests.get(f"{address}/v1/people", timeout=60).json()["items"]
        print(f"after kill -9 and a new start: {people}")


if __name__ == "__main__":
    main()

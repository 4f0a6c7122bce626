"""Damaged files of every kind that is read: an answer, or one line for the user, and in what time.

    python benchmarks/fuzz.py [--count 10000] [--seed 0] [--only "Pascal VOC"]

Each parser runs in a process of its own, which may have 4 GB more of memory than it has when it
begins. An input of more than 20 seconds of processor time counts as too slow. Needs the package and
its tests.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_MOST_SECONDS, _MOST_BYTES = 20, 4 << 30
_SHOWN_FAULTS = 5


class _TooSlow(BaseException):
    pass


def _stop(*_: object) -> None:
    raise _TooSlow


def try_parser(name: str, count: int, seed: int) -> dict:
    """Outcomes of one parser."""
    from cnnkit.errors import CnnkitError, ExitCode
    from tests._fuzz import build_parser

    signal.signal(signal.SIGPROF, _stop)
    outcomes: Counter[str] = Counter()
    faults: dict[str, str] = {}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parser = build_parser(name, Path(made))
        parser.write(folder)
        parser.read(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (mapped + _MOST_BYTES, mapped + _MOST_BYTES))
        for number in range(count):
            begin = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)
            try:
                parser.try_one(folder, Random(f"{seed}/{name}/{number}"))
                outcome = "answer"
            except CnnkitError as error:
                outcome = "one line"
                is_one = len(str(error).splitlines()) == 1 and len(str(error)) < 2000
                if not is_one or error.exit_code not in set(ExitCode) - {ExitCode.BUG}:
                    outcome = "more than a line"
                    faults.setdefault(f"{type(error).__name__}: {str(error)[:500]}", str(number))
            except _TooSlow:
                outcome = "too slow"
                faults.setdefault("too slow", f"{number}")
            except Exception as error:
                outcome = "traceback"
                last = traceback.extract_tb(error.__traceback__)
                where = next((one for one in reversed(last) if "cnnkit" in one.filename), last[-1])
                at = f"{Path(where.filename).name}:{where.lineno}"
                faults.setdefault(f"{at} {type(error).__name__}: {str(error)[:200]}", f"{number}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            outcomes[outcome] += 1
            slowest = max(slowest, time.process_time() - begin)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "name": name,
        "outcomes": outcomes,
        "slowest": slowest,
        "memory": (after - before) / 1024,
        "faults": faults,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs of each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="names of parsers; all by default")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.inside:
        print(json.dumps(try_parser(arguments.inside, arguments.count, arguments.seed)))
        return
    from tests._fuzz import NAMES

    print("| files | inputs | an answer | one line | anything else | slowest | memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    has_fault = False
    for name in arguments.only or NAMES:
        command = [sys.executable, __file__, "--inside", name]
        command += ["--count", str(arguments.count), "--seed", str(arguments.seed)]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            print(f"| {name} | the process ended with {ended.returncode}: {ended.stderr[-500:]}")
            has_fault = True
            continue
        found = json.loads(ended.stdout.splitlines()[-1])
        outcomes = Counter(found["outcomes"])
        good = outcomes["answer"], outcomes["one line"]
        bad = sum(outcomes.values()) - sum(good)
        has_fault = has_fault or bad > 0
        print(
            f"| {name} | {sum(outcomes.values()):,} | {good[0]:,} | {good[1]:,} | {bad:,} | "
            f"{found['slowest']:.2f} s | {found['memory']:.0f} MB |",
            flush=True,
        )
        for fault, number in list(found["faults"].items())[:_SHOWN_FAULTS]:
            print(f"{name}, input {number}: {fault}", file=sys.stderr, flush=True)
    sys.exit(has_fault)


if __name__ == "__main__":
    main()

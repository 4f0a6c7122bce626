"""The gallery with made-up embeddings: time to enroll, size, cold and warm search, recall, removal.

python benchmarks/gallery.py [--rows 1000 10000 100000 1000000] [--folder DIR]
python benchmarks/gallery.py --approximate usearch

People have 5 faces each. Distances are like those of the dlib face network: about 0.4 between two
faces of one person, about 0.85 between two people. Half of the queries are new faces of known
people, half are strangers. A cold search is a new process, with the file in the system's cache.
`--approximate` measures instead what usearch or faiss would do, where it is installed (not both
in one process: they crash).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnkit.data.gallery import FaceRow, Gallery

MODEL = "made up"
DIMENSIONS, FACES, QUERIES = 128, 5, 40
# Distances of normal vectors: sqrt(2 * 128) times the standard deviation.
WITHIN, BETWEEN = 0.4 / 256**0.5, 0.75 / 256**0.5

COLD = """
import json, re, sys, time
from pathlib import Path
begin = time.perf_counter()
import numpy as np
from cnnkit.data.gallery import Gallery
imported = time.perf_counter()
query = np.load(sys.argv[2])[:1]
with Gallery(sys.argv[1], read_only=True) as gallery:
    gallery.search(query, sys.argv[3])
done = time.perf_counter()
# Not getrusage: a child begins with the peak of its parent there.
status = Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print(json.dumps([imported - begin, done - imported, int(peak[1]) / 1024 if peak else 0]))
"""


def make(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings `(rows, D)`, person after person, and queries `(QUERIES, D)`."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    centers = normal(rows // FACES, DIMENSIONS) * BETWEEN
    embeddings = np.repeat(centers, FACES, axis=0)
    embeddings += normal(*embeddings.shape) * WITHIN
    known = centers[: QUERIES // 2] + normal(QUERIES // 2, DIMENSIONS) * WITHIN
    return embeddings, np.concatenate([known, normal(QUERIES // 2, DIMENSIONS) * BETWEEN])


def enroll(gallery: Gallery, embeddings: np.ndarray, first: int = 0) -> None:
    with gallery.transaction():
        for begin in range(0, len(embeddings), FACES):
            person = first + begin // FACES
            faces = [
                FaceRow(row, MODEL, f"{person * FACES + i:064x}", (0, 0, 99, 99), f"{person}/{i}")
                for i, row in enumerate(embeddings[begin : begin + FACES])
            ]
            gallery.enroll(f"person {person}", faces)


def cold(path: Path, queries: Path) -> tuple[float, float, float]:
    """Seconds of the import and of opening and searching, and the peak in MB; the best of three."""
    runs = []
    for _ in range(3):
        command = [sys.executable, "-c", COLD, str(path), str(queries), MODEL]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append(json.loads(output))
    return min(runs, key=lambda run: run[1])


def measure(rows: int, folder: Path) -> dict[str, float]:
    path = folder / f"{rows}.sqlite"
    embeddings, queries = make(rows)
    np.save(folder / "queries.npy", queries)
    begin = time.perf_counter()
    with Gallery(path) as gallery:
        # One transaction for a thousand people, as a batch of photographs might be.
        for start in range(0, rows, 1000 * FACES):
            enroll(gallery, embeddings[start : start + 1000 * FACES], start // FACES)
        result = {"rows": rows, "enroll a face us": (time.perf_counter() - begin) / rows * 1e6}
        result["database MB"] = gallery.statistics().bytes / 1e6
    # The first search makes the index file.
    begin = time.perf_counter()
    with Gallery(path, read_only=True) as gallery:
        gallery.search(queries[:1], MODEL)
        result["first search s"] = time.perf_counter() - begin
        result["with index MB"] = gallery.statistics().bytes / 1e6
    imported, searched, peak = cold(path, folder / "queries.npy")
    result["cold: import ms"] = imported * 1e3
    result["cold: open+search ms"] = searched * 1e3
    result["cold: peak MB"] = peak
    with Gallery(path) as gallery:
        gallery.search(queries[:1], MODEL)
        times, found = [], []
        for query in queries:
            begin = time.perf_counter()
            found += gallery.search(query[None], MODEL)
            times.append(time.perf_counter() - begin)
        result["warm query ms"] = float(np.median(times)) * 1e3
        begin = time.perf_counter()
        gallery.search(queries, MODEL)
        result["warm, 40 at once, each ms"] = (time.perf_counter() - begin) / QUERIES * 1e3
        right = right_next = 0
        for query, matches in zip(queries.astype(np.float64), found, strict=True):
            # In blocks, as float64 differences of a million rows are a gigabyte.
            distances = np.concatenate(
                [
                    np.linalg.norm(embeddings[i : i + 50_000] - query, axis=1)
                    for i in range(0, rows, 50_000)
                ]
            )
            nearest = distances.reshape(-1, FACES).min(axis=1)
            first, second = np.argsort(nearest)[:2]
            right += matches[0].name == f"person {first}"
            right_next += matches[1].name == f"person {second}"
        result["recall@1"] = right / QUERIES
        result["next best right"] = right_next / QUERIES
        begin = time.perf_counter()
        gallery.enroll("one more", [FaceRow(queries[0], MODEL, "f" * 64, (0, 0, 99, 99))])
        result["enroll one more ms"] = (time.perf_counter() - begin) * 1e3
        begin = time.perf_counter()
        [matches] = gallery.search(queries[:1], MODEL)
        assert matches[0].name == "one more"
        result["search after it ms"] = (time.perf_counter() - begin) * 1e3
        begin = time.perf_counter()
        assert gallery.remove("one more").is_erased
        result["remove s"] = time.perf_counter() - begin
    return result


def measure_approximate(library: str, rows: int) -> None:
    """Prints build time, query time and recall@1, of known people and of strangers."""
    embeddings, queries = make(rows)
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    truth = np.array([np.argmin(squares - 2 * (embeddings @ query)) for query in queries])

    def report(name: str, build: float, search: Callable[[np.ndarray], int]) -> None:
        begin = time.perf_counter()
        right = np.array([search(query) for query in queries]) == truth
        each = (time.perf_counter() - begin) / QUERIES * 1e3
        known, strangers = right[: QUERIES // 2].mean(), right[QUERIES // 2 :].mean()
        print(
            f"{rows:>8} {name:<28} build {build:6.1f} s, query {each:6.2f} ms, "
            f"recall@1 known {known:.2f}, strangers {strangers:.2f}",
            flush=True,
        )

    begin = time.perf_counter()
    if library == "usearch":
        from usearch.index import Index

        graph = Index(ndim=DIMENSIONS, metric="l2sq", dtype="f16")
        graph.add(np.arange(rows), embeddings)
        build = time.perf_counter() - begin
        for width in (64, 256):
            graph.expansion_search = width
            report(f"usearch f16, expansion {width}", build, lambda q: graph.search(q, 1).keys[0])
    else:
        import faiss

        cells = faiss.index_factory(DIMENSIONS, f"IVF{int(4 * rows**0.5)},Flat")
        cells.train(embeddings[:: max(1, rows // 160_000)])
        cells.add(embeddings)
        build = time.perf_counter() - begin
        for probes in (16, 256):
            cells.nprobe = probes
            report(f"faiss IVF, {probes} cells", build, lambda q: cells.search(q[None], 1)[1][0, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where to; a temporary folder by default")
    parser.add_argument("--approximate", choices=["usearch", "faiss"])
    arguments = parser.parse_args()
    if arguments.approximate:
        for rows in arguments.rows:
            measure_approximate(arguments.approximate, rows)
        return
    print(f"{os.cpu_count()} cores, numpy {np.__version__}, Python {sys.version.split()[0]}")
    results = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            results.append(measure(rows, Path(folder)))
        print(f"{rows} rows done", file=sys.stderr)
    for name in results[0]:
        print(f"{name:>26}", *(f"{result[name]:12.6g}" for result in results))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak of this process, the made-up embeddings in it: {peak:.0f} MB")


if __name__ == "__main__":
    main()

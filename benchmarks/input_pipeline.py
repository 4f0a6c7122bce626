"""Pictures per second that reach a network, without the network and with its training step.

python benchmarks/input_pipeline.py --data DIR [--seconds 10] [--size 160] [--step]

With --step each batch trains the compact network from scratch, the same for both.
Ours against a plain Keras script on the same folder: `image_dataset_from_directory`, and its layers
for mirroring, turning and zooming mapped over the batches. Each row is a process of its own, which
may use as many cores as it has workers.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from _measure import machine

BATCH = 32
PIPELINES = ("cnnkit", "keras")


def ours(data: str, size: int, augmented: bool, workers: int) -> Iterator[tuple[Any, Any]]:
    """The batches of one epoch after the other."""
    from cnnkit.data.labelled import read_labelled
    from cnnkit.engine.labelled_batches import LabelledBatches
    from cnnkit.engine.settings import AugmentSettings

    labelled = read_labelled(data, val_share=0.0)
    batches = LabelledBatches(
        labelled.train,
        len(labelled.classes),
        (size, size, 3),
        BATCH,
        augment=AugmentSettings() if augmented else None,
        shuffle=True,
        workers=workers,
    )
    while True:
        batches.on_epoch_begin()
        yield from batches
        batches.on_epoch_end()


def plain_keras(data: str, size: int, augmented: bool, workers: int) -> Iterator[tuple[Any, Any]]:
    """The same from Keras' own functions, as its guides put them together."""
    import keras
    import tensorflow as tf

    dataset = keras.utils.image_dataset_from_directory(
        data, label_mode="categorical", image_size=(size, size), batch_size=BATCH, verbose=False
    )
    change = keras.Sequential([keras.layers.Rescaling(1 / 255)])
    if augmented:
        change.add(keras.layers.RandomFlip("horizontal"))
        change.add(keras.layers.RandomRotation(10 / 360, fill_mode="reflect"))
        change.add(keras.layers.RandomZoom((-0.3, 0.0), (-0.3, 0.0)))
    dataset = dataset.map(
        lambda x, y: (change(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)
    yield from itertools.chain.from_iterable(itertools.repeat(dataset))


def trained(batches: Iterator[tuple[Any, Any]], size: int) -> Iterator[int]:
    """Trains on each batch; numbers of pictures in them."""
    import keras

    from cnnkit.tasks.classify.trainable import build_untrained

    x, y = next(batches)
    model = build_untrained("compact", y.shape[-1], (size, size, 3)).model
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    keras.utils.set_random_seed(0)
    for x, y in batches:
        model.train_on_batch(x, y)
        yield len(x)


def measure(counts: Iterator[int], seconds: float) -> tuple[list[float], float]:
    """Pictures per second in each of five parts of some time, and CPU seconds of a picture.

    The latter count all threads, and hardly feel what else the machine has to do.
    """
    for _ in range(5):
        next(counts)
    rates, total, used = [], 0, time.process_time()
    for _ in range(5):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds / 5:
            done += next(counts)
        rates.append(done / (time.perf_counter() - begin))
        total += done
    return rates, (time.process_time() - used) / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--step", action="store_true", help="train a network on the batches")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        name, augmented, workers = arguments.only.split(",")
        make = ours if name == "cnnkit" else plain_keras
        batches = make(arguments.data, arguments.size, augmented == "True", int(workers))
        counts = (len(x) for x, _ in batches)
        if arguments.step:
            counts = trained(batches, arguments.size)
        rates, used = measure(counts, arguments.seconds)
        median = statistics.median(rates)
        print(f"{median:.0f} | {min(rates):.0f}-{max(rates):.0f} | {used * 1e3:.2f}")
        return
    print(machine())
    print(f"{arguments.size}x{arguments.size}, batches of {BATCH}")
    print("| pipeline | augmented | workers | pictures/s | min-max | CPU ms/picture | load |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, augmented, workers in itertools.product(PIPELINES, (False, True), (1, 2)):
        load = os.getloadavg()[0]
        rates = run(arguments, f"{name},{augmented},{workers}", workers)
        print(f"| {name} | {'yes' if augmented else 'no'} | {workers} | {rates} | {load:.1f} |")


def run(arguments: argparse.Namespace, only: str, cores: int) -> str:
    """One row, in a process bound to as many cores."""
    command = [sys.executable, __file__, "--data", arguments.data, "--only", only]
    command += ["--seconds", str(arguments.seconds), "--size", str(arguments.size)]
    command += ["--step"] if arguments.step else []
    # TensorFlow counts the cores of the process, so that its threads are as few as ours.
    bound = {"preexec_fn": lambda: os.sched_setaffinity(0, range(cores))}
    can_bind = hasattr(os, "sched_setaffinity")
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, **(bound if can_bind else {})
    )
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()

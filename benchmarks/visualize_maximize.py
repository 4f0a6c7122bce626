"""Seconds for a picture that excites a unit, and how far above noise and photographs it gets.

    python benchmarks/visualize_maximize.py [--size 256] [--output DIR]

The seconds are those of the command, from start to end. The sheets are to be looked at.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from _measure import CONTENTS, cnnkit, machine, run_process, sample, write_sheet

from cnnkit.tasks.visualize.maximize import visualize_maximize
from cnnkit.tasks.visualize.network import load_viewed_network
from cnnkit.tasks.visualize.settings import MaximizeSettings

LAYERS = ("layer1", "layer2", "layer3", "layer4", "layer5")
UNITS = range(8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    print(machine())
    print("| layer | one picture, s | memory, GB | units | dead | over noise | over photographs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    network = load_viewed_network("compact")
    for layer in LAYERS:
        settings = MaximizeSettings(size=arguments.size)
        made = visualize_maximize(layer, UNITS, settings, model=network)
        name, found = made.layer, made.units
        submodel = network.submodel([name])
        photographs = np.stack(
            [
                keras.ops.convert_to_numpy(submodel(sample(content)[None])[name]).mean((0, 1, 2))
                for content in CONTENTS
            ]
        ).max(0)
        alive = [one for one in found if not one.is_dead]
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "unit.png"
            # A dead unit has no picture and another exit code.
            unit = ["--unit", str(alive[0].unit), "--size", str(arguments.size)]
            command = cnnkit("visualize", "maximize", layer, *unit, "-o", str(output))
            seconds, memory = run_process(command)
        noise = [one.mean / max(one.noise_mean, 1e-6) for one in alive]
        photograph = [one.mean / max(photographs[one.unit], 1e-6) for one in alive]
        print(
            f"| {name} | {seconds:.1f} | {memory / 1e9:.2f} | {len(found)} | "
            f"{len(found) - len(alive)} | {np.median(noise):.1f} | {np.median(photograph):.1f} |",
            flush=True,
        )
        titles = [str(one.unit) for one in alive]
        pictures = [[one.image for one in alive]]
        write_sheet(arguments.output / f"maximize-{name}.png", pictures, titles)


if __name__ == "__main__":
    main()

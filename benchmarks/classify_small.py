"""LeNet-5 on scikit-learn's digits, and the examples for signals and volumes: accuracy, seconds.

    python benchmarks/classify_small.py

Needs scikit-learn for the digits. A fifth of them, drawn by the training, is not trained on.
"""

import json
import sys
import tempfile
from pathlib import Path

from _measure import cnnkit, machine, run_process
from PIL import Image
from sklearn.datasets import load_digits

EXAMPLES = Path(__file__).parent.parent / "examples"


def write_digits(folder: Path) -> None:
    """1,797 grey pictures of 8 x 8 pixels, a folder for each digit."""
    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(digit) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255.0 / 16.0).round().astype("uint8")).save(path)


def report(name: str, run: Path, seconds: float, memory: float) -> None:
    values = json.loads((run / "report.json").read_text())
    print(
        f"| {name} | {values['counts'][0]:,} | {values['counts'][1]:,} | {values['epochs']} | "
        f"{values['scores']['val']['accuracy']:.1%} | {seconds:.0f} | {memory / 1e9:.2f} |",
        flush=True,
    )


def main() -> None:
    print(machine())
    print("| data | to train on | to validate with | epochs | accuracy | seconds | memory, GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_digits(folder / "digits")
        command = cnnkit(
            *("train", "classify", str(folder / "digits"), "--model", "lenet5", "--epochs", "40"),
            # A mirrored digit is another one, or none.
            *("--horizontal-flip", "0", "--crop", "0.2", "--val-share", "0.2"),
            *("-o", str(folder / "lenet5"), "-q"),
        )
        report("digits, LeNet-5", folder / "lenet5", *run_process(command))
        for kind in ("signals", "volumes"):
            script = [sys.executable, str(EXAMPLES / f"train_{kind}.py"), str(folder / kind)]
            report(f"{kind}, `examples/train_{kind}.py`", folder / kind, *run_process(script))


if __name__ == "__main__":
    main()

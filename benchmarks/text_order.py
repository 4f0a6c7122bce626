"""What the order of words is worth: a bag of words and recurrent networks on made-up reviews.

    python benchmarks/text_order.py

Reviews come in pairs of the same words in another order, one good and one bad: see
`cnnkit.data.reviews`. A bag of words is right with exactly one of each pair.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

from _measure import cnnkit, machine, run_process

from cnnkit.data.reviews import generate_reviews
from cnnkit.engine.run import read_results
from cnnkit.metrics.verification import wilson_interval

# Pairs of reviews, and the seed of each part.
PARTS = {"train": (1500, 1), "val": (300, 2), "test": (500, 3)}
NETWORKS = {
    "bag of words": ("--network", "bag"),
    "RNN": ("--network", "rnn"),
    "GRU": ("--network", "gru"),
    "LSTM, one-hots": ("--network", "lstm", "--embedding-size", "0"),
    "LSTM, both directions": ("--network", "lstm", "--bidirectional"),
    "LSTM": ("--network", "lstm"),
}


def write_reviews(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split, (pairs, seed) in PARTS.items():
            writer.writerows([*review, split] for review in generate_reviews(pairs, seed))


def learned_at(run: Path) -> str:
    """The first epoch after which 95 % of the reviews for validation were right."""
    epochs = [row["epoch"] + 1 for row in read_results(run) if row["val_accuracy"] >= 0.95]
    return str(epochs[0]) if epochs else "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", default="16")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", choices=NETWORKS, help="one network alone")
    arguments = parser.parse_args()
    print(machine())
    print("| network | seed | weights | right | 95 % | 95 % at epoch | seconds | memory, GB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_reviews(folder / "reviews.csv")
        for network in [arguments.only] if arguments.only else NETWORKS:
            for seed in range(arguments.seeds):
                run = folder / f"{network}-{seed}"
                command = ("train", "text", str(folder / "reviews.csv"), "-q", *NETWORKS[network])
                seconds, memory = run_process(
                    cnnkit(
                        *command,
                        *("--epochs", arguments.epochs, "--seed", str(seed), "-o", str(run)),
                    )
                )
                report = json.loads((run / "report.json").read_text())
                accuracy, count = report["scores"]["test"]["accuracy"], report["counts"][2]
                low, high = wilson_interval(round(accuracy * count), count)
                print(
                    f"| {network} | {seed} | {report['weights'][0]:,} | {accuracy:.1%} | "
                    f"{low:.1%} to {high:.1%} | {learned_at(run)} | {seconds:.0f} | "
                    f"{memory / 1e9:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

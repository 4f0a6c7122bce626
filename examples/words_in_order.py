"""Does the order of words matter? A bag of words and a GRU on reviews of the same words."""

import csv
import sys
import tempfile
from pathlib import Path

from cnnkit import classify_text
from cnnkit.data.reviews import generate_reviews
from cnnkit.plots import encode_figure
from cnnkit.tasks.text.settings import TrainSettings
from cnnkit.tasks.text.train import train_text
from cnnkit.tasks.visualize.words import WordMap

TEXTS = ("the soup was cold but the bed was not bad", "the bed was not bad but the soup was cold")


def main(output: str = "words.png", size: int = 512) -> None:
    """Trains both for a minute or two, and draws what the GRU learned of words."""
    pairs, epochs = (1000, 10) if size > 100 else (10, 1)
    # With few asides order is learned sooner.
    reviews = generate_reviews(pairs, most_asides=1)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "reviews.csv"
        with data.open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *reviews])
        for network in ("bag", "gru"):
            run = Path(name) / network
            settings = TrainSettings(network=network, epochs=epochs, learning_rate=4e-3)
            result = train_text(data, run, settings)
            print(f"{network}: {result.scores['val']['accuracy']:.1%} right")
        for found in classify_text(TEXTS, model=run, top=1):
            print(f"{found.best[0].label} {found.best[0].score:.0%}: {found.source}")
        words = WordMap(run)
        figure = words.plot([words.nearest(word, 5) for word in ("cold", "good")])
        Path(output).write_bytes(encode_figure(figure))


if __name__ == "__main__":
    main(*sys.argv[1:2])

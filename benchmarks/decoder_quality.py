"""How well the decoders give pictures back from activations, beside a published pair.

PSNR per level on photographs that were not trained on (BSDS500), of the shipped decoders and, with
--teacher, of the 16x-compressed pair of Collaborative Distillation (`d1` ... `d5` behind their own
encoders `e1` ... `e4`; `d5` behind the compressed VGG-19 given as --encoder). Writes what each
level gives back of one picture beside it.

    python benchmarks/decoder_quality.py --data DIR [--teacher FILE.npz --encoder FILE.npz]
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from _measure import machine, write_sheet

from cnnkit.models._decoder_levels import entrance
from cnnkit.models.decoder import load_decoder
from cnnkit.models.vgg import VGG19_CONVOLUTIONS, build_feature_network
from cnnkit.tasks.stylize.crops import read_for_report
from cnnkit.tasks.stylize.settings import DECODER_LEVELS
from cnnkit.tasks.stylize.train_decoder import reconstruction_psnr


class Plain:
    """A chain of published convolutions: reflection padding, ReLU, pooling or upsampling."""

    def __init__(self, arrays, prefix, level, *, down):
        counts = [*VGG19_CONVOLUTIONS[: level - 1], 1]
        names = [
            f"block{block}_conv{conv}"
            for block, count in enumerate(counts, start=1)
            for conv in range(1, count + 1)
        ]
        self._layer = entrance(level) if down else None
        weights = [
            (arrays[f"{prefix}{name}/kernel"], arrays[f"{prefix}{name}/bias"]) for name in names
        ]
        layers = list(zip(names, weights, strict=True))
        inputs = keras.Input((None, None, 3 if down else weights[-1][0].shape[2]))
        x = inputs
        if down and f"{prefix}input/kernel" in arrays:
            kernel = arrays[f"{prefix}input/kernel"]
            x = keras.ops.conv(x, kernel) + arrays[f"{prefix}input/bias"]
        for index, (name, (kernel, bias)) in enumerate(layers if down else layers[::-1]):
            if down and index and name.endswith("_conv1"):
                x = keras.layers.MaxPooling2D(2)(x)
            x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
            x = keras.ops.relu(keras.ops.conv(x, kernel) + bias)
            if not down and name.endswith("_conv1") and not name.startswith("block1"):
                x = keras.layers.UpSampling2D(2)(x)
        self._model = keras.Model(inputs, x)

    def predict_on_batch(self, values):
        result = self._model.predict_on_batch(values)
        return {self._layer: result} if self._layer else result


def published(teacher: Path, encoder: Path, level: int) -> tuple[Plain, Plain]:
    with np.load(teacher) as file:
        arrays = dict(file)
    with np.load(encoder) as file:
        compressed = dict(file)
    if level < 5:
        coder = Plain(arrays, f"e{level}/", level, down=True)
    else:
        coder = Plain(compressed, "", level, down=True)
    return coder, Plain(arrays, f"d{level}/", level, down=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--weights", type=Path, help="instead of the shipped decoders")
    parser.add_argument("--output", type=Path, default=Path(tempfile.mkdtemp(prefix="decoders-")))
    arguments = parser.parse_args()
    paths = sorted((arguments.data / "images" / "bsds").rglob("*.jpg"))[: arguments.pictures]
    images = [read_for_report(path) for path in paths]
    print(machine())
    rows = [[images[0]]]
    for level in DECODER_LEVELS:
        layer = entrance(level)
        backbone = build_feature_network("compact", [layer], "average").model
        decoder = load_decoder(level, arguments.weights)
        line = f"level {level}: {reconstruction_psnr(backbone, layer, decoder, images):.2f} dB"
        activations = backbone.predict_on_batch(images[0][None])[layer]
        rows[0].append(decoder.predict_on_batch(activations)[0])
        if arguments.teacher and arguments.encoder:
            encoder, pair = published(arguments.teacher, arguments.encoder, level)
            line += f", published {reconstruction_psnr(encoder, layer, pair, images):.2f} dB"
        print(line, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_sheet(arguments.output / "decoders.png", [[np.clip(image, 0, 1) for image in rows[0]]])
    print(arguments.output / "decoders.png")


if __name__ == "__main__":
    main()

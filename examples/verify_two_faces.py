"""Are two photographs of one person? Draw why."""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from cnnkit import Verifier
from cnnkit.plots import encode_figure


def main(output: str = "verify.png", size: int = 512) -> None:
    """Compares scikit-image's astronaut with herself and with its cameraman."""
    verifier = Verifier()
    astronaut = data.astronaut()
    cameraman = np.repeat(data.camera()[..., None], 3, axis=2)
    for other in (np.ascontiguousarray(astronaut[:, ::-1]), cameraman):
        result = verifier.run(astronaut, other)
        verdict = "the same person" if result.same else "different people"
        print(f"{verdict}: distance {result.distance:.3f}, confidence {result.confidence:.1%}")
    figure = verifier.explain(astronaut, cameraman, result)
    figure.set_dpi(max(20, size // 8))
    Path(output).write_bytes(encode_figure(figure))


if __name__ == "__main__":
    main(*sys.argv[1:2])

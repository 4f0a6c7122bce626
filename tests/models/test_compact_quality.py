"""The shipped compact network sees what its teacher sees.

The reference was written by benchmarks/backbone_golden.py: the teacher's activations at 64 places
of six sample pictures, none of which was trained on.
"""

from pathlib import Path

import numpy as np
import pytest

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import resize
from cnnkit.models.vgg import build_feature_network

GOLDEN = Path(__file__).parent / "compact_golden.npz"

# Explained variance, mean over channels; the measured values stand in the network's card.
LEAST = {
    "block1_conv1": 0.985,
    "block2_conv1": 0.975,
    "block3_conv1": 0.985,
    "block4_conv1": 0.985,
    "block4_conv2": 0.98,
    "block5_conv1": 0.975,
}


@pytest.fixture(scope="module")
def pairs():
    """layer -> (teacher's values, student's values), each (places, channels)."""
    with np.load(GOLDEN, allow_pickle=False) as file:
        golden = {name: file[name] for name in file.files}
    model = build_feature_network("compact", list(LEAST), pooling="max").model
    found = {layer: ([], []) for layer in LEAST}
    for name in sorted({key.split("/")[0] for key in golden}):
        picture = np.clip(resize(load_sample(find_sample(name)).pixels, 256, 256), 0, 1)
        activations = model.predict_on_batch(picture[None])
        for layer, (teacher, student) in found.items():
            rows, columns = golden[f"{name}/{layer}/places"]
            teacher.append(golden[f"{name}/{layer}/values"].astype(np.float64))
            student.append(activations[layer][0][rows, columns].astype(np.float64))
    return {layer: tuple(map(np.concatenate, both)) for layer, both in found.items()}


@pytest.mark.parametrize("layer", LEAST)
def test_the_compact_network_explains_its_teacher(pairs, layer):
    teacher, student = pairs[layer]
    variance = teacher.var(axis=0)
    live = variance > 1e-4 * variance.mean()
    explained = 1.0 - ((teacher - student) ** 2).mean(axis=0)[live] / variance[live]
    assert explained.mean() >= LEAST[layer]


def test_the_reference_is_not_trivial(pairs):
    # Predicting the mean explains nothing: the bounds above could fail.
    for teacher, _ in pairs.values():
        assert len(teacher) == 6 * 64
        assert (teacher.var(axis=0) > 0).mean() > 0.5

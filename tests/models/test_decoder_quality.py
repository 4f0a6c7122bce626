"""The shipped decoders give pictures back from what the compact network sees of them."""

import numpy as np
import pytest

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import resize
from cnnkit.models._decoder_levels import entrance
from cnnkit.models.decoder import load_decoder
from cnnkit.models.vgg import build_feature_network
from cnnkit.tasks.stylize.settings import DECODER_LEVELS
from cnnkit.tasks.stylize.train_decoder import reconstruction_psnr

# dB, mean over the four photographs below; what is measured on more stands in the card.
LEAST = {1: 40.5, 2: 31.5, 3: 27.7, 4: 23.9}


@pytest.mark.parametrize("level", DECODER_LEVELS)
def test_a_decoder_gives_pictures_back(level):
    images = [
        np.clip(resize(load_sample(find_sample(name)).pixels, 256, 256), 0, 1)
        for name in ("astronaut", "chelsea", "coffee", "rocket")
    ]
    backbone = build_feature_network("compact", [entrance(level)], "average").model
    found = reconstruction_psnr(backbone, entrance(level), load_decoder(level), images)
    assert found >= LEAST[level]

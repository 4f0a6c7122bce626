import struct

import numpy as np

from cnnkit.models.darknet import AnchorBoxes, build_darknet
from cnnkit.models.yolo_fastest import yolo_fastest_sections
from cnnkit.weights import entry
from cnnkit.weights.darknet_format import DarknetWeights


def test_the_network_takes_every_number_of_the_published_file(tmp_path):
    size = entry("yolo-fastest-xl").size
    head = struct.pack("<iiiq", 0, 2, 5, 0)
    path = tmp_path / "x.weights"
    path.write_bytes(head + bytes(size - len(head)))
    # Numbers that are left, or too few, are refused.
    model = build_darknet(yolo_fastest_sections(), DarknetWeights(path))
    layers = [layer for layer in model.layers if isinstance(layer, AnchorBoxes)]
    assert {layer.stride: layer.anchors for layer in layers} == {
        32: [(115.0, 73.0), (119.0, 199.0), (242.0, 238.0)],
        16: [(12.0, 18.0), (37.0, 49.0), (52.0, 132.0)],
    }
    # 3 x 2 + 6 x 4 places with three boxes each, of four edges and 80 classes.
    assert model(np.zeros((1, 96, 64, 3), np.float32)).shape == (1, 90, 84)

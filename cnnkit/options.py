"""Names that several tasks and the command line share.

Nothing heavy is imported here, so that ``--help`` can show the defaults at once.
"""

FACE_FORMS = ("absolute", "chi-square", "squared")
MININGS = ("random", "semi-hard", "batch-hard")

# Fully convolutional networks by the pixels between their scores.
FCN_VARIANTS = ("32s", "16s", "8s")

# Networks whose classes can be told and explained, by what their weights are called in the table of
# weights. A further one is an entry in that table whose file is a .keras model.
CLASSIFIER_WEIGHTS = {
    "imagenet": "efficientnet-lite0",
    "caltech101": "caltech101",
    "vgg16": "vgg16-classifier",
    "vgg19": "vgg19-classifier",
    "mobilenet-v2": "mobilenet-v2",
}
CLASSIFIERS = tuple(CLASSIFIER_WEIGHTS)
DEFAULT_CLASSIFIER = "imagenet"
# Commands whose networks `cnnkit weights warm` compiles ahead.
WARMED = ("detect", "segment", "classify", "caption", "faces", "stylize")

# What the decoders of captioners are made of.
CAPTION_CELLS = ("lstm", "gru", "rnn")

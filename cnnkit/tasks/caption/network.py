"""Networks of trained captioners, in Keras."""

from pathlib import Path

from cnnkit.engine.networks import BuiltNetworks
from cnnkit.errors import UsageError
from cnnkit.models.caption_encoder import build_lite0_encoder
from cnnkit.models.captioner import decoder_of, encoder_of, writing_models
from cnnkit.weights.keras_file import load_keras_file


def build(
    path: Path, backbone: Path | None = None, *, words: int, side: int | None = None
) -> BuiltNetworks:
    """A captioner in the parts that it writes with.

    "encode" takes pictures in [0, 1] and gives `(batch, D)`; "look" and "write" are those of
    `writing_models`, and "tell" is that of `decoder_of`.

    Args:
        path: the `.keras` file.
        backbone: weights of the encoder that is not inside; for the hash alone.
        words: that its vocabulary has.
        side: of the pictures of the encoder that is not inside.

    Raises:
        UsageError: it is no captioner, or one with another number of words.
        WeightsError: it cannot be loaded.
    """
    network = load_keras_file(path, "--model")
    try:
        look, write = writing_models(network)
        if network.outputs[0].shape[-1] != words:
            raise ValueError(
                f"expected a model of {words} words. Received: {network.outputs[0].shape[-1]}"
            )
    except ValueError as error:
        raise UsageError(f"{path} is no captioner that can be used: {error}") from None
    encoder = encoder_of(network) if side is None else build_lite0_encoder(side)
    return BuiltNetworks(
        {"encode": encoder, "look": look, "write": write, "tell": decoder_of(network)},
        {"picture": encoder.inputs[0].shape[1:]},
    )

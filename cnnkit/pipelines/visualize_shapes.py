"""Follow the shapes of a network that is written as words."""

from cnnkit.errors import UsageError
from cnnkit.ops.convolution import trace_shapes
from cnnkit.results import NetworkSummary


def visualize_shapes(text: str) -> NetworkSummary:
    """Sizes, weights, work and receptive field of each layer.

    Args:
        text: such as "14x14x3 conv5-16 pool2 fc10"; see `cnnkit.ops.convolution.trace_shapes`.

    Returns:
        A `NetworkSummary`.

    Raises:
        UsageError: a word that is no layer, or a layer that does not fit.

    Example:

    >>> visualize_shapes("14x1 conv5-16 conv5-32").layers[-1].output_shape
    (6, 32)
    """
    try:
        return trace_shapes(text)
    except ValueError as error:
        raise UsageError(str(error)) from None

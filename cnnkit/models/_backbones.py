"""The networks that style transfer looks with, by their names, without Keras."""

from pathlib import Path

from cnnkit import weights as weights_table
from cnnkit.errors import UsageError, WeightsError
from cnnkit.weights.keras_file import refuse_other_formats

_NAMED = ("compact", "vgg16", "vgg16-hed", "vgg19")


def resolve_backbone(backbone: str) -> str:
    """The networks that style transfer looks with, by the names of their weights.

    "auto" is VGG-16 beside the compact network: each of them alone flatters pictures that were
    optimised on it alone. Of VGG-16 ImageNet's own weights are taken where the user fetched them,
    else those of the dependency, whose blocks were tuned for edges afterwards.

    Args:
        backbone: as the user gave it.

    Returns:
        What `build_feature_network` takes: "vgg16+compact" or "vgg16-hed+compact" for "auto", or
        "compact" where there are no weights of VGG-16.
    """
    here = next(filter(weights_table.is_available, ("vgg16", "vgg16-hed")), None)
    if backbone == "auto":
        return "compact" if here is None else f"{here}+compact"
    parts = ((here or part) if part == "vgg16" else part for part in backbone.split("+"))
    return backbone if backbone.endswith(".keras") else "+".join(parts)


def backbone_names(backbone: str) -> list[str]:
    """The named networks that are joined in a backbone.

    Args:
        backbone: as `resolve_backbone` gives it; no file.

    Raises:
        UsageError: an unknown name, or one that comes twice.
        WeightsError: a file of another format.
    """
    refuse_other_formats(backbone, "--backbone")
    names = backbone.split("+")
    if not set(names) <= set(_NAMED) or len(set(names)) < len(names):
        raise UsageError(
            "backbone must be auto, compact, vgg16, vgg19, several of these joined by +, or a "
            f".keras file, not {backbone!r}"
        )
    return names


def check_backbone(backbone: str) -> None:
    """Says at once, before Keras is imported, what is wrong with a backbone that a user gave.

    Raises:
        UsageError: an unknown name.
        WeightsError: weights that are not here, or a file that does not exist.
    """
    resolved = resolve_backbone(backbone)
    if resolved.endswith(".keras"):
        if not Path(resolved).is_file():
            raise WeightsError(
                f"{resolved} does not exist; give --backbone a .keras file or a name"
            )
        return
    for name in backbone_names(resolved):
        weights_table.locate(name)

"""What four units of a layer respond to in the sample photographs, with their reconstructions."""

import sys

from cnnkit.tasks.visualize.settings import UnitsSettings
from cnnkit.tasks.visualize.units import visualize_units


def main(output: str = "what-layer3-sees.png", size: int = 256) -> None:
    """Writes a sheet: on the right nine patches of each unit, on the left what drives it."""
    settings = UnitsSettings(count=4, size=size, deconv=True)
    # Give folders of your own as the second argument: a thousand pictures show more.
    result = visualize_units("layer3", None, settings, on_note=print)
    for unit in result.layers[0].units:
        best = unit.patches[0]
        print(f"unit {unit.unit}: {best.value:.3g} in {best.source}")
    result.save(output)
    print(output)


if __name__ == "__main__":
    main(*sys.argv[1:2])

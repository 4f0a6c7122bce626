"""``cnnkit stylize --sheet``: one photograph in many styles or strengths, to choose from."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.console import Console
from cnnkit.results import Milliseconds, Record
from cnnkit.tasks.stylize.settings import StylizeSettings

if TYPE_CHECKING:
    import numpy as np

    from cnnkit.images import Picture

# Long side of a picture on the sheet, in pixels, and the most of them side by side.
SHEET_SIZE = 320
_MOST_COLUMNS = 4
_TEXT = 15


def paint_sheet(
    console: Console,
    content: "Picture",
    styles: Sequence[tuple[str, "Picture"]],
    strengths: Sequence[float],
    settings: StylizeSettings,
) -> "np.ndarray":
    """Drafts of a photograph, labelled, beside the photograph itself.

    Args:
        console: shows the progress.
        content: the photograph.
        styles: names and pictures.
        strengths: each from 0 to 1.
        settings: of the drafts; `size` is the long side of each.

    Returns:
        uint8 `(height, width, 3)`: the photograph and all drafts one after the other, or, of
        several styles and several strengths, a row for each style.
    """
    from cnnkit.images import fit_size, resize, to_uint8
    from cnnkit.plots import draw_tiles
    from cnnkit.tasks.stylize.predict import Stylizer

    photograph: tuple[np.ndarray, str] | None = None
    cells: list[tuple[np.ndarray, str]] = []
    is_grid = len(styles) > 1 and len(strengths) > 1
    with console.progress() as bar:
        task = bar.add_task("sheet", total=len(styles) * len(strengths), status="")
        for name, style in styles:
            for strength in strengths:
                label = name if len(strengths) == 1 else f"{name}, strength {strength:g}"
                bar.update(task, status=label)
                one = dataclasses.replace(settings, strength=strength)
                painted = to_uint8(Stylizer(style, one).run(content).image.pixels)
                if photograph is None:
                    side = max(painted.shape[:2])
                    size = fit_size(content.height, content.width, side)
                    own = resize(content.opaque().pixels, *size).clip(0.0, 1.0)
                    photograph = to_uint8(own), "the photograph"
                # Each row of a grid begins with what it starts from.
                if not cells or (is_grid and strength == strengths[0]):
                    cells.append(photograph)
                cells.append((painted, label))
                bar.advance(task)
    columns = len(strengths) + 1 if is_grid else min(_MOST_COLUMNS, len(cells))
    return draw_tiles(
        [tile for tile, _ in cells],
        [label for _, label in cells],
        title=content.source or "the photograph",
        subtitle="drafts, to choose from",
        side=max(cells[0][0].shape[:2]),
        columns=columns,
        smooth=True,
        text_size=_TEXT,
    )


def write_sheet(
    sheet: "np.ndarray",
    source: str,
    path: Path,
    labels: Sequence[str],
    begin: float,
    overwrite: bool,
) -> Record:
    """Writes a sheet and says what it holds."""
    from cnnkit.images import Picture, write_image

    write_image(path, Picture((sheet / 255.0).astype("float32")), overwrite=overwrite)
    height, width = sheet.shape[:2]
    item: dict[str, Any] = {"output": str(path), "styles": list(labels)}
    return Record(
        source,
        width,
        height,
        items=(item,),
        model="compact",
        ms=Milliseconds(net=round(1e3 * (time.monotonic() - begin), 1)),
    )

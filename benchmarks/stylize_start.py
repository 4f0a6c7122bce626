"""What starting from a draft saves: time until `standard` has the loss that it ends with without.

For each of 4 photographs and 6 styles: `standard` from the photograph with the steps that it had
before there were drafts, then `standard` from the draft; when the second falls below the final loss
of the first. --straight paints the second at the full size at once: a lower loss, without the large
forms. Writes pictures side by side: photograph, draft, from the photograph, from the draft.

All on the compact network alone.

    python benchmarks/stylize_start.py [--size 512] [--contents 4] [--styles 6] [--output DIR]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import CONTENTS, STYLES, machine, sample, write_sheet

from cnnkit import Stylizer, StylizeSettings

# Steps at 128, 256 and 512 pixels before the draft.
OLD_STEPS = (100, 70, 35, 20)


def timed(options: StylizeSettings, content: np.ndarray, style: np.ndarray):
    """A run as `(result, [(seconds, loss) of each step at the last scale])`."""
    curve = []
    begin = time.monotonic()

    def note(progress) -> None:
        if progress.losses and progress.scale == progress.scales:
            curve.append((time.monotonic() - begin, progress.losses["loss"]))

    return Stylizer(style, options).run(content, on_progress=note), curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--contents", type=int, default=len(CONTENTS))
    parser.add_argument("--styles", type=int, default=len(STYLES))
    parser.add_argument("--straight", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(tempfile.mkdtemp(prefix="start-")))
    arguments = parser.parse_args()
    how = {"smallest_scale": arguments.size, "steps": 30} if arguments.straight else {}
    common = {"size": arguments.size, "backbone": "compact"}
    print(machine())
    print(
        "| photograph x style | from the photograph, s | loss | from the draft, s | loss "
        "| to the same loss, s | of the time |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    arguments.output.mkdir(parents=True, exist_ok=True)
    shares = []
    for name in CONTENTS[: arguments.contents]:
        rows = []
        for style_name in STYLES[: arguments.styles]:
            content, style = sample(name), sample(style_name)
            draft = Stylizer(style, StylizeSettings(size=arguments.size, quality="draft")).run(
                content
            )
            slow, before = timed(
                StylizeSettings(**common, init="content", scale_steps=OLD_STEPS), content, style
            )
            fast, after = timed(StylizeSettings(**common, **how), content, style)
            reached = next((at for at, loss in after if loss <= before[-1][1]), None)
            share = None if reached is None else reached / before[-1][0]
            shares.append(share)
            print(
                f"| {name} x {style_name} | {before[-1][0]:.1f} | {before[-1][1]:.4f} "
                f"| {after[-1][0]:.1f} | {after[-1][1]:.4f} "
                + ("| not | |" if share is None else f"| {reached:.1f} | {share:.2f} |"),
                flush=True,
            )
            rows.append([content, draft.image, slow.image, fast.image])
        write_sheet(
            arguments.output / f"{name}.png",
            rows,
            ("photograph", "draft", "from the photograph", "from the draft"),
            STYLES[: arguments.styles],
        )
    found = [share for share in shares if share is not None]
    print(
        f"{len(found)} of {len(shares)} reach it; of the time: median {np.median(found):.2f}, "
        f"at most {max(found):.2f}; pictures in {arguments.output}"
    )


if __name__ == "__main__":
    main()

"""``cnnkit train``: the recipes behind the shipped weights."""

from pathlib import Path
from typing import Annotated

import typer

from cnnkit.cli._options import OUTPUT_PANEL, RUN_PANEL, Device, Json, Quiet, Seed, Threads, Verbose
from cnnkit.console import Console
from cnnkit.options import BackboneOptions

app = typer.Typer(help="Train networks.", no_args_is_help=True)
_DEFAULTS = BackboneOptions()


@app.callback()
def main() -> None:
    """Train networks."""


@app.command("backbone")
def backbone(
    data: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Folder with pictures; may be given several times."),
    ],
    teacher: Annotated[
        str,
        typer.Option(
            metavar="vgg19|FILE",
            help="vgg19 (its weights must be here), a Keras .h5 or .keras file of a VGG-19, "
            "or the .npz of a compressed one.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/backbone"),
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Pictures to keep for the report, such as '*/bsds/*'; may be given several times.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = _DEFAULTS.steps,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a step.")] = _DEFAULTS.batch_size,
    crop: Annotated[int, typer.Option(min=32, help="Side of a crop, pixels.")] = _DEFAULTS.crop,
    learning_rate: Annotated[
        float, typer.Option(help="Adam's step size at its highest.")
    ] = _DEFAULTS.learning_rate,
    steps_per_epoch: Annotated[
        int,
        typer.Option(
            min=1, help="Steps between two lines and two checkpoints.", rich_help_panel=RUN_PANEL
        ),
    ] = _DEFAULTS.steps_per_epoch,
    seed: Seed = _DEFAULTS.seed,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Distil a compact VGG-19, the network that stylize sees with.

    Stopped runs go on when the same command is given again.

    Example: cnnkit train backbone --data pictures --teacher vgg19 -o runs/backbone
    """
    console = Console(quiet=quiet, verbose=verbose)
    options = BackboneOptions(
        steps=steps,
        batch_size=batch,
        crop=crop,
        learning_rate=learning_rate,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
    )
    from cnnkit import weights
    from cnnkit.runtime import configure

    path = weights.locate("vgg19") if teacher == "vgg19" else Path(teacher)
    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.training.backbone import train_backbone

    def show(epoch: int, losses: dict) -> None:
        console.note(
            f"step {min(steps, (epoch + 1) * steps_per_epoch)} of {steps}: "
            f"unexplained {losses['loss']:.4f}"
        )

    report = train_backbone(data, path, output, options, hold_out or (), show)
    console.note(f"weights: {output / 'compact.npz'}")
    if json:
        console.json({"weights": output / "compact.npz", "explained_variance": report})
    elif report:
        console.result("explained variance on the pictures held out")
        for name, value in report.items():
            console.result(f"{name:24} {value:.3f}")
    return 0

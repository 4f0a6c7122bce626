"""``cnnkit train``: the recipes behind the shipped weights."""

from pathlib import Path
from typing import Annotated

import typer

from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Json,
    Quiet,
    Seed,
    Threads,
    TimeBudget,
    Verbose,
    Workers,
    require_there,
)
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.options import BackboneOptions, DecoderOptions

app = typer.Typer(help="Train networks.", no_args_is_help=True)
_DEFAULTS = BackboneOptions()
_DECODER = DecoderOptions()

Pictures = Annotated[
    list[Path],
    typer.Option("--data", metavar="DIR", help="Folder with pictures; may be given several times."),
]
HoldOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Pictures to keep for the report, such as '*/bsds/*'; may be given several times.",
    ),
]
StepsPerEpoch = Annotated[
    int,
    typer.Option(
        min=1, help="Steps between two lines and two checkpoints.", rich_help_panel=RUN_PANEL
    ),
]


@app.callback()
def main() -> None:
    """Train networks."""


@app.command("backbone")
def backbone(
    data: Pictures,
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
    hold_out: HoldOut = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = _DEFAULTS.steps,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a step.")] = _DEFAULTS.batch_size,
    crop: Annotated[int, typer.Option(min=32, help="Side of a crop, pixels.")] = _DEFAULTS.crop,
    learning_rate: Annotated[
        float, typer.Option(help="Adam's step size at its highest.")
    ] = _DEFAULTS.learning_rate,
    steps_per_epoch: StepsPerEpoch = _DEFAULTS.steps_per_epoch,
    seed: Seed = _DEFAULTS.seed,
    workers: Workers = _DEFAULTS.workers,
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
        workers=workers,
    )
    from cnnkit import weights

    require_there(data)
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


@app.command("decoder", epilog="Example: cnnkit train decoder --data pictures -o runs/decoder")
def decoder(
    data: Pictures,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/decoder"),
    hold_out: HoldOut = None,
    levels: Annotated[
        str, typer.Option(metavar="1,2,...", help="Which of the five to train.")
    ] = ",".join(map(str, _DECODER.levels)),
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Optimizer steps of each level.",
            show_default="/".join(str(_DECODER.steps_of(level)) for level in _DECODER.levels),
        ),
    ] = _DECODER.steps,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="Polish these decoders, instead of training new ones first."
        ),
    ] = None,
    polish_steps: Annotated[
        int,
        typer.Option(
            min=1,
            help="Steps without batch normalisation, afterwards.",
            rich_help_panel="Polishing",
        ),
    ] = _DECODER.polish_steps,
    polish_learning_rate: Annotated[
        float,
        typer.Option(help="Adam's step size in them at its highest.", rich_help_panel="Polishing"),
    ] = _DECODER.polish_learning_rate,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a step.")] = _DECODER.batch_size,
    crop: Annotated[
        int, typer.Option(min=32, help="Side of a crop, pixels, a multiple of 16.")
    ] = _DECODER.crop,
    learning_rate: Annotated[
        float, typer.Option(help="Adam's step size at its highest.")
    ] = _DECODER.learning_rate,
    steps_per_epoch: StepsPerEpoch = _DECODER.steps_per_epoch,
    time_budget: TimeBudget = _DECODER.time_budget,
    seed: Seed = _DECODER.seed,
    workers: Workers = _DECODER.workers,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train the networks that turn activations back into pictures, for stylize in a second.

    Stopped runs go on when the same command is given again.
    """
    console = Console(quiet=quiet, verbose=verbose)
    try:
        chosen = tuple(int(level) for level in levels.split(","))
    except ValueError:
        raise UsageError(f"--levels takes numbers such as 1,2,3, not {levels!r}") from None
    options = DecoderOptions(
        levels=chosen,
        steps=steps,
        polish_steps=polish_steps,
        polish_learning_rate=polish_learning_rate,
        batch_size=batch,
        crop=crop,
        learning_rate=learning_rate,
        steps_per_epoch=steps_per_epoch,
        time_budget=time_budget,
        seed=seed,
        workers=workers,
    )
    require_there(data)
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.training.decoder import train_decoder

    def show(level: int, epoch: int, losses: dict) -> None:
        count = polish_steps + (options.steps_of(level) if start is None else 0)
        console.note(
            f"level {level}, step {min(count, (epoch + 1) * steps_per_epoch)} of {count}: "
            f"squared error {losses['pixels']:.5f}"
        )

    report = train_decoder(data, output, options, hold_out or (), show, start)
    console.note(f"weights: {output / 'decoder.npz'}")
    if json:
        console.json({"weights": output / "decoder.npz", "psnr": report})
    elif report:
        console.result("PSNR on the pictures held out")
        for level, value in report.items():
            console.result(f"level {level}  {value:.2f} dB")
    return 0

"""``cnnkit train``: the recipes behind the shipped weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Json,
    Quiet,
    Seed,
    Threads,
    Verbose,
    require_there,
)
from cnnkit.cli._training import TimeBudget, Workers
from cnnkit.console import Console
from cnnkit.engine.observer import suggest_model
from cnnkit.errors import UsageError
from cnnkit.options import (
    FACE_ENCODERS,
    FACE_FORMS,
    FACE_LOSSES,
    MININGS,
    BackboneOptions,
    DecoderOptions,
    FaceTrainOptions,
)

app = typer.Typer(help="Train networks.", no_args_is_help=True)
_DEFAULTS = BackboneOptions()
_DECODER = DecoderOptions()
_FACES = FaceTrainOptions()
DATA_PANEL = "Data"
MODEL_PANEL = "Model"

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


@app.command("faces", epilog="Example: cnnkit train faces people/ --loss binary -o runs/faces")
def faces(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders with one folder of pictures per person."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/faces"),
    loss: Annotated[
        str,
        typer.Option(
            metavar="|".join(FACE_LOSSES),
            help="triplet: a small encoder; binary: weights for the differences of dlib's.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = _FACES.loss,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(FACE_ENCODERS),
            help="Where embeddings come from.",
            show_default="scratch for triplet, dlib for binary",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = _FACES.encoder,
    mining: Annotated[
        str,
        typer.Option(
            metavar="|".join(MININGS),
            help="How triplets are chosen from a batch.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = _FACES.mining,
    margin: Annotated[
        float,
        typer.Option(
            help="By which others are to be farther, of distances up to 2.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = _FACES.margin,
    form: Annotated[
        str,
        typer.Option(
            metavar="|".join(FACE_FORMS),
            help="What a binary head weighs: |f - g|, (f - g)^2 / (f + g), or (f - g)^2.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = _FACES.form,
    train_people: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names to train on, one in a line; LFW's lists are read too.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    val_people: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names to validate with.", rich_help_panel=DATA_PANEL),
    ] = None,
    val_share: Annotated[
        float,
        typer.Option(help="Share of the people kept for validation.", rich_help_panel=DATA_PANEL),
    ] = _FACES.val_share,
    val_pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Pairs to validate with, LFW's list or a .csv; nobody in them is trained on.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the pictures of --val-pairs are.",
            show_default="the folder of the file",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    people: Annotated[int, typer.Option(min=2, help="People in a batch.")] = _FACES.people,
    pictures: Annotated[
        int, typer.Option(min=2, help="Pictures of each in a batch.")
    ] = _FACES.pictures,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Optimizer steps.",
            show_default=f"{FaceTrainOptions().total_steps} for triplet, "
            f"{FaceTrainOptions(loss='binary').total_steps} for binary",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Adam's step size at its highest.",
            show_default=f"{FaceTrainOptions().peak_learning_rate} for triplet, "
            f"{FaceTrainOptions(loss='binary').peak_learning_rate} for binary",
        ),
    ] = None,
    steps_per_epoch: StepsPerEpoch = _FACES.steps_per_epoch,
    seed: Seed = _FACES.seed,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Learn to tell people apart: an encoder of faces from scratch, or a head for dlib's.

    Writes faces.keras, which verify, faces and evaluate take as --model. People are kept for
    validation whole, and the threshold comes from them. Stopped runs go on when the same command
    is given again; Ctrl-C keeps the best so far.
    """
    console = Console(quiet=quiet, verbose=verbose)
    options = FaceTrainOptions(
        loss=loss,
        encoder=encoder,
        mining=mining,
        form=form,
        margin=margin,
        people=people,
        pictures=pictures,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        learning_rate=learning_rate,
        val_share=val_share,
        seed=seed,
    )
    if val_pairs is not None and val_people is not None:
        raise UsageError("--val-pairs and --val-people exclude each other; give one of them")
    if images is not None and val_pairs is None:
        raise UsageError("--images says where the pictures of --val-pairs are; give both")
    from cnnkit.data.pairs import read_pairs

    require_there(data)
    from cnnkit.runtime import configure

    pairs = None if val_pairs is None else read_pairs(val_pairs, images)
    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.data.people import read_people
    from cnnkit.pipelines._face_calibration import calibration_to_json, fit_face_calibration
    from cnnkit.pipelines.face_chips import MainFaces
    from cnnkit.training.faces import train_faces

    def calibrate(distances: Any, same: Any, strangers: Any, model_hash: str) -> dict[str, Any]:
        note = f"cnnkit train faces, {len(distances)} pairs of people kept for validation"
        return calibration_to_json(
            fit_face_calibration(distances, same, strangers, model_hash, note)
        )

    def show_epoch(epoch: int, row: dict) -> None:
        done = min(options.total_steps, (epoch + 1) * options.epoch_steps)
        active = f", active {row['active']:.0%}" if "active" in row else ""
        spread = f", spread {row['distance']:.2f}" if "distance" in row else ""
        console.note(
            f"step {done} of {options.total_steps}: loss {row['loss']:.4f}{active}{spread}, "
            f"validation {row['val_accuracy']:.1%}"
        )

    with console.progress() as bar:
        task = bar.add_task("find faces", total=None, status="")

        def show_faces(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done == total:
                bar.stop()

        result = train_faces(
            data,
            output,
            options,
            source=MainFaces(),
            calibrate=calibrate,
            train_people=None if train_people is None else read_people(train_people),
            val_people=None if val_people is None else read_people(val_people),
            val_pairs=pairs,
            on_note=console.note,
            on_faces=show_faces,
            on_epoch=show_epoch,
        )
    threshold = result.similarity.calibration["threshold"]
    if json:
        console.json(
            {
                "model": result.model,
                "name": result.similarity.name,
                "hash": result.similarity.hash,
                "threshold": threshold,
                "accuracy": result.accuracy,
                "auc": result.auc,
                "people": dict(zip(("training", "validation"), result.people, strict=True)),
                "pictures": dict(zip(("training", "validation"), result.pictures, strict=True)),
                "missed": result.missed,
                "restarts": result.restarts,
            }
        )
    else:
        console.result(
            f"{result.model}: {result.accuracy:.1%} of the pairs for validation right at "
            f"{threshold:.3f}, AUC {result.auc:.4f}"
        )
        suggest_model(console, "verify a.jpg b.jpg", output)
    return 0

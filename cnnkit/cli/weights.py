"""``cnnkit weights``: which networks are here, and getting the ones that are not."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cnnkit.cli._options import Json, Overwrite, Quiet, Threads, Verbose
from cnnkit.console import Console
from cnnkit.errors import ExitCode, UsageError
from cnnkit.options import WARMED
from cnnkit.results import SCHEMA
from cnnkit.weights import (
    Status,
    cache_dir,
    entries,
    entry,
    fetch,
    import_file,
    locate,
    read_card,
    remedy,
    status,
)

app = typer.Typer(
    help="See, fetch, import and check the weights of networks.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=(
        "Nothing is downloaded unless you say [bold]fetch[/bold]. CNNKIT_HOME moves the folder, "
        "CNNKIT_MIRROR is another base address to fetch from, HTTPS_PROXY a proxy."
    ),
)

Name = Annotated[str, typer.Argument(help="Such as vgg19; see: cnnkit weights list.")]
OptionalName = Annotated[
    str | None, typer.Argument(help="Such as vgg19; see: cnnkit weights list.")
]


@app.callback()
def main() -> None:
    """See, fetch, import and check the weights of networks."""


@app.command("list", epilog="Example: cnnkit weights list")
def list_weights(json: Json = False) -> None:
    """List all weights: what they are, how large, and whether they are here."""
    from cnnkit.engine.network_cache import measure_cache, network_cache_dir

    console = Console()
    found, kept = [status(wanted) for wanted in entries()], measure_cache()
    if json:
        compiled = {
            "titles": list(kept.titles),
            "bytes": kept.total_bytes,
            "folder": str(network_cache_dir()),
        }
        weights = [_to_json(one) for one in found]
        console.json({"schema": SCHEMA, "weights": weights, "compiled": compiled})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "what", "MB", "here", "licence"):
        justify = "right" if heading == "MB" else "left"
        table.add_column(heading, justify=justify, no_wrap=heading == "name", overflow="fold")
    for one in found:
        wanted = one.entry
        table.add_row(
            wanted.name, wanted.architecture, _megabytes(one), _where(one), wanted.licence
        )
    console.table(table)
    if kept.titles:
        console.result("")
        names, megabytes = ", ".join(dict.fromkeys(kept.titles)), kept.total_bytes / 1e6
        console.result(
            f"compiled: {names} ({megabytes:.0f} MB in {network_cache_dir()}, may be removed at "
            "any time)"
        )


@app.command("warm", epilog="Example: cnnkit weights warm")
def warm_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND...]", help=f"{', '.join(WARMED)}.", show_default="all"),
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile the networks that come with cnnkit ahead, so that the first picture is as quick as
    all others: for images of containers, and servers.
    """
    console = Console(quiet=quiet, verbose=verbose)
    unknown = [name for name in names or () if name not in WARMED]
    if unknown:
        raise UsageError(
            f"there is nothing to compile for {unknown[0]!r}; give some of: {', '.join(WARMED)}"
        )
    from cnnkit.data._values import counted
    from cnnkit.engine.choice import OPENVINO, configure_inference

    configure_inference(OPENVINO, threads=threads, verbose=verbose, note=console.note)
    from cnnkit.pipelines.warm import warm_networks

    with console.progress() as bar:
        task = bar.add_task("compile", total=len(names or WARMED), status="")
        for name in names or WARMED:
            bar.update(task, status=name)
            warm_networks(name)
            bar.update(task, advance=1)
    from cnnkit.engine.network_cache import measure_cache, network_cache_dir

    kept = measure_cache()
    console.note(
        f"{network_cache_dir()}: {counted(len(kept.titles), 'set')} of networks, "
        f"{kept.total_bytes / 1e6:.0f} MB"
    )


@app.command("fetch", epilog="Example: cnnkit weights fetch vgg19")
def fetch_weights(name: Name, quiet: Quiet = False) -> None:
    """Download weights; an interrupted download is resumed by the same command."""
    console = Console(quiet=quiet)
    wanted = entry(name)
    before = status(wanted)
    if before.state == "here":
        console.note(f"the {name} weights are already here")
        console.result(str(before.path))
        return
    if not console.is_live and wanted.kind == "fetchable":
        console.note(f"fetching {wanted.file_name} ({wanted.size / 1e6:.0f} MB)")
    try:
        with console.progress() as progress:
            task = progress.add_task(
                f"fetching {name}", total=wanted.size, status="", counted=False
            )

            def show(done: int, total: int) -> None:
                text = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
                progress.update(task, completed=done, status=text)

            found = fetch(name, show)
    except KeyboardInterrupt:
        console.note(
            f"stopped by Ctrl-C; what came is kept, go on with: cnnkit weights fetch {name}"
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    console.result(str(found.path))


@app.command("import", epilog="Example: cnnkit weights import vgg19 ~/Downloads/vgg19.h5")
def import_weights(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] FILE",
            help="The file, after the name of the weights where its own name does not tell.",
        ),
    ],
    cfg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.cfg",
            help="Turn a detector of Darknet, which this file describes, into a .keras file.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --cfg: names of its classes, one a line.",
            show_default="COCO's for 80 classes, else numbers",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.keras",
            help="With --cfg: where it goes.",
            show_default="named after the .weights file, here",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Copy a file of weights that you already have into the cache, if its hash is right.

    With --cfg: turn a .weights file of Darknet (Tiny-YOLO, Yolo-Fastest) into a .keras file, for
    'cnnkit detect --model'.
    """
    console = Console(quiet=quiet)
    if cfg is not None:
        if len(arguments) > 1:
            raise UsageError("give one file: cnnkit weights import FILE.weights --cfg FILE.cfg")
        _import_darknet(Path(arguments[0]).expanduser(), cfg, names, output, overwrite, console)
        return
    if names is not None or output is not None or overwrite:
        raise UsageError("--names, --output and --overwrite are for files of Darknet; give --cfg")
    if len(arguments) > 2:
        raise UsageError("give one file: cnnkit weights import [NAME] FILE")
    *chosen, file = arguments
    found = import_file(Path(file).expanduser(), *chosen)
    console.note(f"imported the {found.entry.name} weights")
    console.result(str(found.path))


def _import_darknet(
    weights: Path,
    cfg: Path,
    names: Path | None,
    output: Path | None,
    overwrite: bool,
    console: Console,
) -> None:
    path = output or Path(f"{weights.stem}.keras")
    if path.suffix != ".keras":
        raise UsageError(f"-o writes a .keras file, not {path}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; use --overwrite or another -o")
    from cnnkit.runtime import configure

    configure()
    from cnnkit.pipelines.weights_import import import_darknet

    classes = import_darknet(weights, cfg, path, names)
    console.note(f"{len(classes)} classes; use it with: cnnkit detect IMG --model {path}")
    console.result(str(path))


@app.command("path", epilog="Example: cnnkit weights path vgg19")
def path(name: OptionalName = None) -> None:
    """Print where weights lie; without a name, the folder of the fetched ones."""
    Console().result(str(locate(name) if name else cache_dir()))


@app.command("check", epilog="Example: cnnkit weights check")
def check(name: OptionalName = None, json: Json = False, quiet: Quiet = False) -> None:
    """Verify size and hash of the weights that are here; exit code 5 if one is damaged."""
    console = Console(quiet=quiet)
    found = [status(wanted) for wanted in ([entry(name)] if name else entries())]
    # Fetchable weights that nobody fetched are no fault, unless they were asked for.
    faults = [
        one
        for one in found
        if one.state == "damaged"
        or (one.state == "missing" and (name or one.entry.kind != "fetchable"))
    ]
    if json:
        console.json({"schema": SCHEMA, "weights": [_to_json(one) for one in found]})
    for one in found:
        if one in faults:
            problem = f" ({one.problem}: {one.path})" if one.problem else ""
            console.error(f"{one.entry.name} is {one.state}{problem}; {remedy(one.entry)}")
        elif not json:
            right = f"{one.entry.algorithm} is right: {one.path}"
            fine = right if one.state == "here" else "not here (not fetched)"
            console.result(f"{one.entry.name}: {fine}")
    if faults:
        raise typer.Exit(ExitCode.WEIGHTS_MISSING)


@app.command("card", epilog="Example: cnnkit weights card vgg19")
def card(name: Name) -> None:
    """Print the card of weights: architecture, source, licence, training, quality."""
    Console().result(read_card(name).rstrip())


def _megabytes(found: Status) -> str:
    size = found.path.stat().st_size if found.path else found.entry.size
    return f"{size / 1e6:.1f}"


def _where(found: Status) -> str:
    if found.state == "damaged":
        return "damaged"
    if found.state == "missing":
        return "no"
    if found.entry.kind == "fetchable":
        return "yes"
    return f"comes with {found.entry.package or 'cnnkit'}"


def _to_json(found: Status) -> dict[str, Any]:
    wanted = found.entry
    return {
        "name": wanted.name,
        "state": found.state,
        "path": found.path,
        "problem": found.problem or None,
        "kind": wanted.kind,
        "file_name": wanted.file_name,
        "size": wanted.size,
        wanted.algorithm: wanted.digest,
        "architecture": wanted.architecture,
        "licence": wanted.licence,
        "source": wanted.source,
        "url": wanted.url or None,
        "package": wanted.package or None,
    }

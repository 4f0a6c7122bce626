"""``cnnkit evaluate``: how good a model is, on labelled data."""

import typer

app = typer.Typer(help="Measure how good a model is.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Measure how good a model is."""

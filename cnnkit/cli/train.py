"""``cnnkit train``: the recipes behind the shipped weights, and training of your own."""

import typer

app = typer.Typer(help="Train networks.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Train networks."""

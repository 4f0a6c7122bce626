"""``cnnkit train``: train networks, on your own data or as the shipped ones were."""

import typer

app = typer.Typer(help="Train networks.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Train networks."""

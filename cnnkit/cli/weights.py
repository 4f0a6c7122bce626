"""``cnnkit weights``."""

import typer

app = typer.Typer(help="Manage weights.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Manage weights."""

"""How commands that run trained networks begin."""

from cnnkit.console import Console
from cnnkit.engine.command import EngineSettings


def start_inference(
    console: Console, engine: str, *, threads: int | None, device: str, verbose: bool
) -> None:
    """Chooses the engine, and says from now on that the network is being loaded.

    Args:
        console: told what takes a while; its JSON says from then on what computed.
        engine: of `--engine`.
        threads: of `--threads`.
        device: of `--device`.
        verbose: of `--verbose`.

    Raises:
        UsageError: see `configure_inference`.
    """
    EngineSettings(threads=threads, device=device, engine=engine).start(console, verbose)

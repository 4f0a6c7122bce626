"""How commands that run trained networks begin."""

from cnnkit.console import Console


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
    from cnnkit.engine.choice import configure_inference, current_engine

    console.working("loading the network")
    configure_inference(engine, threads=threads, device=device, verbose=verbose, note=console.note)
    console.engine = current_engine

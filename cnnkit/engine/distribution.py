"""Devices and processes that share each batch: Keras' distribution on JAX, mirrors on TensorFlow.

Each device has all the weights and a part of every batch; what they learn of it is averaged.
"""

import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import keras
import numpy as np

from cnnkit.engine.mirrored import mirrored_strategy
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.runtime import LOST_PROCESS, expect_interruption

_Result = TypeVar("_Result")

# Milliseconds that processes wait for one another; lost ones are noticed much earlier.
_PATIENCE = 7 * 24 * 3600 * 1000
# After a common stop: for process 0 to write the best so far, and for the others to be still there.
_PARTING, _MANNERS = 600_000, 20_000
# What engines of collectives say when the other end is gone.
_LOST = ("gloo", "nccl", "connection closed", "coordination", "heartbeat", "socket closed")


class LostProcessError(CnnkitError):
    """Another process of the training is not there any more."""


class CommonStop(KeyboardInterrupt):
    """Ctrl-C in one of several processes, after the same step in all of them."""


class Team:
    """The devices that train together, and the processes that they belong to.

    Args:
        devices: of each process; all GPUs, or else one device, by default.

    Attributes:
        rank: number of this process, from 0.
        processes: how many there are.
        devices: how many there are in all processes.

    Raises:
        UsageError: there are fewer devices, or the backend cannot use several.
    """

    def __init__(self, devices: int | None = None):
        backend = keras.backend.backend()
        self.rank, self.processes = 0, 1
        self._data_parallel = self._strategy = None
        self._meetings = 0
        self._is_stopping = self._is_alone = False
        if backend == "jax":
            import jax

            self.rank, self.processes = jax.process_index(), jax.process_count()
            here = _chosen(jax.local_devices(), [one.platform for one in jax.local_devices()])
            own = _count(devices, here)
            self.devices = own * self.processes
            if self.devices > 1:
                chosen = [
                    f"{one.platform}:{one.id}"
                    for process in range(self.processes)
                    for one in _of_process(jax.devices(), process, own)
                ]
                # Each process reads its own part of a batch.
                self._data_parallel = keras.distribution.DataParallel(
                    devices=chosen, auto_shard_dataset=False
                )
        elif backend == "tensorflow":
            names = keras.distribution.list_devices()
            here = _chosen(names, [name.split(":")[0] for name in names])
            self.devices = _count(devices, here)
            if self.devices > 1:
                self._strategy = mirrored_strategy(here[: self.devices])
        else:
            self.devices = devices or 1
            if self.devices > 1:
                raise UsageError(f"--devices is not for {backend}; use KERAS_BACKEND=jax")

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process' part of each batch: its number, and that of all."""
        return self.rank, self.processes

    @property
    def is_several(self) -> bool:
        """Whether there are several devices, so that what trains lives on all of them."""
        return self.devices > 1

    def check_batch(self, size: int) -> None:
        """Makes sure that each device gets an equal part of a batch.

        Raises:
            UsageError: it does not.
        """
        if size % self.devices:
            fewer = size - size % self.devices
            fitting = f"{fewer} or {fewer + self.devices}" if fewer else f"{self.devices}"
            raise UsageError(
                f"a batch of {size} cannot be shared by {self.devices} devices; "
                f"give --batch {fitting}"
            )

    def check_alone(self, option: str) -> None:
        """Refuses what one device does alone.

        Raises:
            UsageError: there are several.
        """
        if self.is_several:
            raise UsageError(f"{option} is for one device; leave it out, or use --devices 1")

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Where models and optimizers are made, and their values set, that live on all devices."""
        with contextlib.ExitStack() as stack:
            for one in (self._data_parallel, self._strategy):
                if one is not None:
                    stack.enter_context(one.scope())
            yield

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Where `fit` shares its batches."""
        with contextlib.nullcontext() if self._data_parallel is None else self.building():
            yield

    def copy_state(self, source: keras.Layer, target: keras.Layer) -> None:
        """Weights and the states of random layers, from process 0 to what trains on all devices.

        Args:
            source: a model or layer of this process.
            target: the same network or layer.
        """
        values = [keras.ops.convert_to_numpy(one) for one in source.variables]
        for variable, value in zip(target.variables, self.same(values), strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Within `fitting`: where each process computes for itself, on one device."""
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    @property
    def _has_others(self) -> bool:
        """Whether there are other processes to work with."""
        return self.processes > 1 and not self._is_alone

    def go_alone(self) -> None:
        """After a common stop: the other processes wait, or are gone."""
        self._is_alone = True

    def own_part(self, count: int) -> slice:
        """Which of so many examples this process looks at, where each is looked at once."""
        return slice(self.rank, count, self.processes) if self._has_others else slice(0, count)

    def own_block(self, count: int) -> range:
        """The same as a block: what all make of theirs, one after the other, is `share`d."""
        rank, processes = self.shard if self._has_others else (0, 1)
        return range(count * rank // processes, count * (rank + 1) // processes)

    def share(self, part: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What all processes made of their `own_block`, the same list in all processes.

        Args:
            part: of this process; arrays of any shapes and of numbers.
        """
        if not self._has_others:
            return list(part)
        # Arrays and nothing else: what another process sends is never run, as a pickle would be.
        file = io.BytesIO()
        np.savez(file, *part)
        own = np.frombuffer(file.getvalue(), np.uint8)
        sizes = self.gather(np.array([len(own)]), self.processes)
        padded = np.zeros((1, int(sizes.max())), np.uint8)
        padded[0, : len(own)] = own
        rows = self.gather(padded, self.processes)
        shared = []
        for row, size in zip(rows, sizes, strict=True):
            with np.load(io.BytesIO(row[:size].tobytes()), allow_pickle=False) as arrays:
                shared += [arrays[name] for name in arrays.files]
        return shared

    def gather(self, part: np.ndarray, count: int) -> np.ndarray:
        """What all processes made of their `own_part`, in the order of the whole.

        Args:
            part: `(n, ...)`, of this process.
            count: of all examples.

        Returns:
            `(count, ...)`, the same in all processes.
        """
        if not self._has_others:
            return part
        self.meet()
        longest = -(-count // self.processes)
        padded = np.zeros((longest, *part.shape[1:]), part.dtype)
        padded[: len(part)] = part
        # (processes, longest, ...) to (longest, processes, ...), which is the order of the whole.
        everything = np.moveaxis(_multihost().process_allgather(padded), 0, 1)
        return everything.reshape(-1, *part.shape[1:])[:count]

    def same(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The values of process 0, of the same shapes, in all processes."""
        if not self._has_others:
            return list(values)
        self.meet()
        return [np.asarray(one) for one in _multihost().broadcast_one_to_all(list(values))]

    def meet(self) -> None:
        """Waits until all processes are here."""
        if not self._has_others:
            return
        from jax._src import distributed

        # JAX's public barriers are collectives, which give up after half a minute.
        self._meetings += 1
        client: Any = distributed.global_state.client
        client.wait_at_barrier(f"cnnkit-{self._meetings}", _PATIENCE)

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """Where Ctrl-C in one process asks all to stop; a second one ends that process at once."""
        before = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if self.processes == 1 or not is_main or not callable(before):
            yield
            return

        def ask(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, before)
            self._expect_stop()
            # JAX takes it as the notice that a machine will be taken away, and tells all processes.
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check_stop(self, step: int) -> None:
        """Stops all processes after the same step, once one of them was asked to.

        Args:
            step: steps that were made; all processes say each of them.

        Raises:
            CommonStop: this is the step.
        """
        if self.processes > 1 and _multihost().reached_preemption_sync_point(step):
            self._expect_stop()
            raise CommonStop

    def _expect_stop(self) -> None:
        """Others may be gone before this process is, when all of them stop."""
        self._is_stopping = True
        expect_interruption()

    def part(self) -> None:
        """Lets process 0 finish after a stop: it would be ended if the others left before it."""
        if self.processes == 1:
            return
        from jax._src import distributed

        patience = _MANNERS if self.is_first else _PARTING
        # Whoever is not here was not interrupted, or is lost.
        client: Any = distributed.global_state.client
        with contextlib.suppress(RuntimeError):
            client.wait_at_barrier("cnnkit-end", patience)

    def together(self, work: Callable[[], _Result]) -> _Result:
        """Does something in every process; where it fails in one, it fails in all.

        Raises:
            LostProcessError: it failed in another process, which says why.
        """
        if not self._has_others:
            return work()
        error: CnnkitError | OSError | None = None
        try:
            result = work()
        except (CnnkitError, OSError) as caught:
            error = caught
        failed = self.gather(np.array([error is not None]), self.processes)
        if error is not None:
            raise error
        if failed.any():
            raise LostProcessError(f"process {int(failed.argmax())} stopped; see what it said")
        return result

    def first(self, work: Callable[[], Any]) -> None:
        """Does something in process 0, while the others wait."""
        self.together(lambda: work() if self.is_first else None)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Where the loss of another process is told from other errors.

        Raises:
            LostProcessError: another process ended.
            CommonStop: the same after Ctrl-C.
        """
        try:
            yield
        except (RuntimeError, ValueError) as error:
            text = str(error).lower()
            if self.processes == 1 or not any(word in text for word in _LOST):
                raise
            if self._is_stopping:
                raise CommonStop from None
            raise LostProcessError(LOST_PROCESS) from None


def _chosen(devices: Sequence[Any], kinds: Sequence[str]) -> list[Any]:
    """The GPUs (or TPUs) among devices where there are some, else all of them."""
    fast = [one for one, kind in zip(devices, kinds, strict=True) if kind.lower() != "cpu"]
    return fast or list(devices)


def _of_process(devices: Sequence[Any], process: int, count: int) -> list[Any]:
    return [one for one in devices if one.process_index == process][:count]


def _count(wanted: int | None, here: Sequence[Any]) -> int:
    """How many of the devices of a process are used."""
    names = [getattr(one, "platform", str(one)).lower() for one in here]
    is_slow = names[0].startswith("cpu")
    if wanted is None:
        return 1 if is_slow else len(here)
    if wanted > len(here):
        more = ""
        if is_slow:
            more = (
                ", or see `cnnkit doctor` for what hides the GPUs; to try it out on a CPU, set "
                "KERAS_BACKEND=jax and "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={wanted}"
            )
        kind = "CPU" if is_slow else "GPU"
        raise UsageError(
            f"--devices {wanted}: the backend sees {len(here)} {kind}{'s' * (len(here) > 1)} here; "
            f"use --devices {len(here)}{more}"
        )
    return wanted


def _multihost() -> Any:
    from jax.experimental import multihost_utils

    return multihost_utils

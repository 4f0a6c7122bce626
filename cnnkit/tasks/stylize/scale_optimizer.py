"""The loop of style transfer at one scale: Keras' `fit` on a picture, or L-BFGS."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from cnnkit.errors import DivergenceError
from cnnkit.models.generated_image import LOSS_PARTS, GeneratedImage, composite
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.inference import compiles_training
from cnnkit.ops.lbfgs import lbfgs
from cnnkit.ops.spectrum import sobolev_gradient
from cnnkit.tasks.stylize.loss import StylizeLoss
from cnnkit.tasks.stylize.settings import StylizeSettings

_PYRAMID_LEVELS = 5
_FINAL_LEARNING_RATE = 0.05  # relative to the first
_RETRIES = 4
# Below this the loss is rounding, and Adam would make full-sized steps of it: a picture that starts
# where it should end, as when it is its own style, is left alone.
_NOTHING_LEFT = 1e-4
# A smaller strength gets proportionally smaller steps: Adam's are of one size however short the way
# is.
_FULL_STEPS_FROM_STRENGTH = 0.25
# Root mean square over the pixels.
_LBFGS_FIRST_STEP = 0.04
# Cycles per pixel. The inverse curvature of the loss falls about as `sobolev_gradient` has it with
# this: to a third or a seventh from the largest forms to the finest strokes.
_COARSE = 0.05

# What is called after each step: (steps done, losses).
OnStep = Callable[[int, Mapping[str, float]], None]


# Image, what is kept, and targets -> `((loss, its parts), gradient)`.
Evaluate = Callable[..., tuple[Any, np.ndarray]]


def compile_loss(loss: StylizeLoss, softening: float = 0.0) -> Evaluate:
    """Compiles a loss and its gradient for all scales and pictures with the same settings.

    Args:
        loss: whose settings they have; its targets are not used.
        softening: see `composite`.

    Returns:
        Image `(height, width, 3)`, what `composite` keeps of it, and `StylizeLoss.targets` -> the
        loss, its parts and the gradient. On TensorFlow it is traced once, with and without a mask.
    """

    def function(image: Any, keep: Any, targets: Any) -> Any:
        return loss(composite(image, keep, softening), targets)

    return value_and_gradient(function, has_aux=True, any_size=True)


class OutOfTime(Exception):
    """Raised by an `OnStep` to end the scale with what there is."""


def default_learning_rate(settings: StylizeSettings) -> float:
    """The step size where the user gives none: found by looking at pictures and loss curves."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    if settings.chosen_optimizer == "sgd":
        return 0.02
    return 0.015 if settings.parameterization == "pyramid" else 0.03


class ScaleOptimizer:
    """Optimises the picture of one scale.

    Args:
        initial: canvas `(height, width, 3)` in [0, 1] to start from.
        loss: what to minimise.
        steps: number of steps.
        settings: optimizer, step size, parameterisation, moving average.
        keep: `(picture, mask)`, see `GeneratedImage`.
        on_note: takes a line of text about a recovery.
        evaluate: of `compile_loss`, for L-BFGS; compiled here where none is given.
        memory: of L-BFGS, in steps, each of which takes twice as much as the picture.
    """

    def __init__(
        self,
        initial: np.ndarray,
        loss: StylizeLoss,
        steps: int,
        settings: StylizeSettings,
        keep: tuple[np.ndarray, np.ndarray] | None,
        on_note: Callable[[str], None],
        evaluate: Evaluate | None = None,
        memory: int = 6,
    ):
        by_pixels = settings.parameterization == "pixels" or settings.chosen_optimizer != "adam"
        self._loss = loss
        self._settings = settings
        self._initial = initial
        self._caution = 1.0
        self._share_of_steps = min(1.0, settings.strength / _FULL_STEPS_FROM_STRENGTH)
        self._note = on_note
        self._evaluate = evaluate
        self._memory = memory
        self.steps = steps
        self.steps_done = 0
        self.losses: dict[str, float] = {}
        self.is_resumable = settings.chosen_optimizer != "lbfgs"
        self._model = GeneratedImage(
            initial,
            loss,
            levels=1 if by_pixels else _PYRAMID_LEVELS,
            ema=settings.ema,
            keep=keep,
            softening=settings.strength,
        )
        if self.is_resumable:
            self._compile(1.0)

    def _compile(self, caution: float) -> None:
        """(Re)makes the optimizer with its first step size multiplied by `caution`."""
        self._caution = caution
        settings = self._settings
        rate = default_learning_rate(settings) * caution
        if settings.chosen_optimizer == "sgd":
            # The losses are means over the picture: without this a step would shrink with size.
            rate *= math.prod(self._model.levels[0].shape)
        else:
            rate *= self._share_of_steps
        schedule = keras.optimizers.schedules.CosineDecay(
            rate, max(1, self.steps), alpha=_FINAL_LEARNING_RATE
        )
        if settings.chosen_optimizer == "sgd":
            optimizer = keras.optimizers.SGD(schedule)
        else:
            optimizer = keras.optimizers.Adam(schedule, beta_1=0.9, beta_2=0.99, epsilon=1e-8)
        if hasattr(optimizer, "_all_reduce_sum_gradients"):
            # There is one replica and nothing to sum over. On TensorFlow the sum registers a
            # gradient function globally, which keeps every traced step alive: folders would leak.
            optimizer._all_reduce_sum_gradients = list
        # Built before the first step, or TensorFlow would trace the step twice.
        optimizer.build(self._model.trainable_variables)
        self._model.compile(optimizer=optimizer, jit_compile=compiles_training())

    def image(self) -> np.ndarray:
        """The canvas so far, float32 `(height, width, 3)` in [0, 1]."""
        self._sync()
        pixels = self._model.result()
        # The loss is that of the picture before the step: the step itself may have gone wrong.
        return np.where(np.isfinite(pixels), pixels, self._initial)

    def state(self) -> dict[str, np.ndarray]:
        """Picture and optimizer as arrays."""
        self._sync()
        arrays = {
            f"variable{index}": np.array(keras.ops.convert_to_numpy(variable.value))
            for index, variable in enumerate(self._variables())
        }
        return {**arrays, "caution": np.array(self._caution)}

    def restore(self, state: Mapping[str, np.ndarray], losses: Mapping[str, float]) -> None:
        """Puts `state()` back, and the losses that were the last ones then."""
        self._sync()
        if float(state["caution"]) != self._caution:
            self._compile(float(state["caution"]))
        for index, variable in enumerate(self._variables()):
            variable.assign(state[f"variable{index}"])
        self.steps_done = self._iterations()
        self.losses = dict(losses)

    def settle(self) -> None:
        """After an interruption, which may fall between a step and its counting."""
        if self.is_resumable:
            self._sync()
            self.steps_done = self._iterations()

    def has_nothing_left(self) -> bool:
        """Whether the loss of a first, full-sized step was but rounding."""
        return self._share_of_steps == 1.0 and self.losses["loss"] < _NOTHING_LEFT

    def _variables(self) -> list[keras.Variable]:
        # L-BFGS is none of Keras' optimizers: Adam's moments would lie there unused.
        own = self._model.optimizer.variables if self.is_resumable else []
        return [*self._model.variables, *own]

    def _iterations(self) -> int:
        return int(keras.ops.convert_to_numpy(self._model.optimizer.iterations.value))

    def _sync(self) -> None:
        """With JAX, `fit` keeps the variables' values to itself until it is asked."""
        if hasattr(self._model, "jax_state_sync"):
            self._model.jax_state_sync()

    def run(self, on_step: OnStep) -> None:
        """Takes the steps that are left.

        Raises:
            OutOfTime: from `on_step`.
            DivergenceError: the loss stays non-finite however small the step.
        """
        if self._settings.chosen_optimizer == "lbfgs":
            self._run_lbfgs(on_step)
            return
        if self.steps_done >= self.steps:
            return
        for retry in range(_RETRIES):
            watch = _Watch(self, on_step)
            self._model.fit(
                np.zeros((self.steps - self.steps_done, 1), np.float32),
                batch_size=1,
                shuffle=False,
                verbose=0,
                callbacks=[watch],
            )
            if math.isfinite(self.losses["loss"]) and np.isfinite(self._model.result()).all():
                return
            if retry == _RETRIES - 1:
                break
            failed = self.steps_done
            self._compile(0.5 * self._caution)
            self.restore({**self.state(), **_without_moments(watch.good, self._model)}, {})
            self._note(
                f"the loss was not finite at step {failed}; going on from step {self.steps_done} "
                f"with {self._caution:g} times the step size"
            )
        raise DivergenceError(
            f"the loss stays non-finite after {_RETRIES} smaller step sizes; "
            "try --learning-rate with a tenth of its value, or --style-loss gram"
        )

    def _run_lbfgs(self, on_step: OnStep) -> None:
        """L-BFGS on the pixels, within [0, 1]: fewest steps to a low loss, no moving average."""
        evaluate = self._evaluate or compile_loss(self._loss, self._settings.strength)
        constants = keras.tree.map_structure(
            keras.ops.convert_to_tensor, (self._model.keep, self._loss.targets)
        )
        found: dict[str, float] = {}

        def function(pixels: np.ndarray) -> tuple[float, np.ndarray]:
            (value, parts), gradient = evaluate(pixels, *constants)
            found.update(loss=value, **{part: float(parts[part]) for part in LOSS_PARTS})
            self.losses = self.losses or dict(found)
            return value, gradient

        start = keras.ops.convert_to_numpy(self._model.levels[0].value)
        try:
            steps = lbfgs(
                function,
                start,
                lower=0.0,
                upper=1.0,
                memory=self._memory,
                first_step=_LBFGS_FIRST_STEP * self._share_of_steps,
                enough=_NOTHING_LEFT if self._share_of_steps == 1.0 else -math.inf,
                precondition=functools.partial(sobolev_gradient, onset=_COARSE),
            )
            for step in steps:
                self._model.levels[0].assign(step.x)
                self.steps_done += 1
                # Of the point that the step has led to, which was the last one to be looked at.
                self.losses = dict(found)
                on_step(self.steps_done, self.losses)
                if self.steps_done >= self.steps:
                    break
        except FloatingPointError:
            raise DivergenceError(
                "the loss is not finite at the start; choose another --init or style picture"
            ) from None


def _without_moments(
    state: Mapping[str, np.ndarray], model: GeneratedImage
) -> dict[str, np.ndarray]:
    """Of a state, the picture and the step counter: moments may hold what made it diverge."""
    count = len(model.variables)
    return {name: state[name] for name in (f"variable{index}" for index in range(count + 1))}


class _Watch(keras.callbacks.Callback):
    """Reports each step, and remembers the last state that a finite loss has confirmed."""

    _EVERY = 25

    def __init__(self, optimizer: ScaleOptimizer, on_step: OnStep):
        super().__init__()
        self._optimizer = optimizer
        self._on_step = on_step
        self._candidate: dict[str, np.ndarray] = {}
        self.good: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._candidate = self.good = self._optimizer.state()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        optimizer = self._optimizer
        # The loss is that of the picture before this step.
        optimizer.losses = {name: float(value) for name, value in (logs or {}).items()}
        optimizer.steps_done += 1
        if not math.isfinite(optimizer.losses["loss"]):
            self.model.stop_training = True
            return
        done = optimizer.steps_done
        if done == 1 and optimizer.has_nothing_left():
            self.model.stop_training = True
            optimizer.restore(self.good, optimizer.losses)
        elif done % self._EVERY == 0:
            self.good, self._candidate = self._candidate, optimizer.state()
        self._on_step(done, optimizer.losses)

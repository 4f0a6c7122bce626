"""One step of the loop against the bare forward-and-gradient of the network and its losses.

The bare function is the loss of the picture and its gradient, compiled alone: five covariances,
content, total variation; no optimizer, no pyramid, no callbacks. VGG-19 gets random weights, which
cost the same as trained ones.

    python benchmarks/stylize_loop.py [--sizes 128 256 512] [--vgg19]
"""

import argparse
import resource
import statistics
import sys
import time

import numpy as np
from _measure import machine, sample

from cnnkit.images import resize
from cnnkit.models.vgg import build_feature_network, build_vgg
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.inference import with_constant_weights
from cnnkit.tasks.stylize.loss import StylizeLoss, layer_statistics
from cnnkit.tasks.stylize.scale_optimizer import ScaleOptimizer
from cnnkit.tasks.stylize.settings import StylizeSettings


def median_milliseconds(function, count: int) -> float:
    """Median time of a call, after two calls that are not counted."""
    times = []
    for index in range(count + 2):
        begin = time.perf_counter()
        function()
        if index >= 2:
            times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def measure(model, size: int) -> tuple[float, float]:
    """`(bare, step)` in milliseconds at `size` x `size`."""
    options = StylizeSettings()
    content, style = (
        np.clip(resize(sample(name), size, size), 0, 1) for name in ("astronaut", "impasto")
    )
    activations = model(style[None])
    loss = StylizeLoss(
        with_constant_weights(model),
        content,
        options.content_layer,
        {layer: layer_statistics(activations[layer][0]) for layer in options.style_layers},
        options.style_layers,
        alpha=options.content_weight,
        gamma=options.tv_weight,
    )
    count = max(5, min(60, 4_000_000 // size**2))
    bare = value_and_gradient(lambda image: loss(image)[0])
    before = median_milliseconds(lambda: bare(content), count)
    times = []
    optimizer = ScaleOptimizer(content, loss, count + 2, options, None, print)
    optimizer.run(lambda step, losses: times.append(time.perf_counter()))
    step = 1e3 * statistics.median(np.diff(times)[1:])
    after = median_milliseconds(lambda: bare(content), count)
    return (before + after) / 2, step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--vgg19", action="store_true")
    arguments = parser.parse_args()
    options = StylizeSettings()
    layers = [*options.style_layers, options.content_layer]
    if arguments.vgg19:
        name, model = "vgg19", build_vgg(outputs=layers, pooling=options.pooling)
    else:
        name, model = "compact", build_feature_network("compact", layers, options.pooling).model
    print(machine())
    print("| network | size | bare, ms | step, ms | ratio | peak memory so far, GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in arguments.sizes:
        bare, step = measure(model, size)
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
        print(
            f"| {name} | {size} | {bare:.1f} | {step:.1f} | {step / bare:.2f} | {peak:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

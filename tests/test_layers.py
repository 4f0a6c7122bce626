"""The layers of the package: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit

ROOT = Path(cnnkit.__file__).parent

# A module imports only from lower layers; siblings never import each other. Of the engine some
# modules lie lower than the others.
LAYERS = {
    **dict.fromkeys(("errors", "imports", "results", "schemas", "written_files"), 0),
    **dict.fromkeys(("console", "images", "ops", "runtime", "paintings"), 1),
    "engine.settings": 2,
    "options": 3,
    **dict.fromkeys(("losses", "metrics", "data", "plots", "video", "weights"), 4),
    **dict.fromkeys(("engine", "models"), 5),
    "pipelines": 6,
    "tasks": 7,
    "server": 8,
    "cli": 9,
}
# What a task imports beside the folders that all tasks share, until these are no more.
OLD_OF_TASKS = {
    "tasks/caption/plots.py imports cnnkit.plots._style",
    "tasks/caption/plots.py imports cnnkit.plots._tiles",
    "tasks/caption/predict.py imports cnnkit.results",
    "tasks/caption/results.py imports cnnkit.plots",
    "tasks/caption/results.py imports cnnkit.results",
    "tasks/caption/settings.py imports cnnkit.options",
    "tasks/classify/cli.py imports cnnkit.options",
    "tasks/classify/cli.py imports cnnkit.plots",
    "tasks/classify/evaluate.py imports cnnkit.metrics.classification",
    "tasks/classify/evaluate.py imports cnnkit.options",
    "tasks/classify/evaluate.py imports cnnkit.plots",
    "tasks/classify/files.py imports cnnkit.options",
    "tasks/classify/network.py imports cnnkit.options",
    "tasks/classify/predict.py imports cnnkit.options",
    "tasks/classify/predict.py imports cnnkit.results",
    "tasks/classify/results.py imports cnnkit.plots",
    "tasks/classify/settings.py imports cnnkit.options",
    "tasks/classify/train.py imports cnnkit.metrics.classification",
    "tasks/classify/train.py imports cnnkit.plots",
    "tasks/detect/cli.py imports cnnkit.plots",
    "tasks/detect/plots.py imports cnnkit.plots._style",
    "tasks/detect/predict.py imports cnnkit.results",
    "tasks/detect/results.py imports cnnkit.results",
    "tasks/detect/train.py imports cnnkit.plots",
    "tasks/detect/video.py imports cnnkit.results",
    "tasks/faces/calibration.py imports cnnkit.metrics.verification",
    "tasks/faces/cli.py imports cnnkit.plots",
    "tasks/faces/cli.py imports cnnkit.results",
    "tasks/faces/evaluate.py imports cnnkit.metrics.verification",
    "tasks/faces/evaluate.py imports cnnkit.plots",
    "tasks/faces/gallery_cli.py imports cnnkit.plots",
    "tasks/faces/gallery_cli.py imports cnnkit.results",
    "tasks/faces/predict.py imports cnnkit.plots",
    "tasks/faces/reading.py imports cnnkit.results",
    "tasks/faces/results.py imports cnnkit.metrics.verification",
    "tasks/faces/settings.py imports cnnkit.options",
    "tasks/faces/train.py imports cnnkit.losses.faces",
    "tasks/faces/train.py imports cnnkit.metrics.verification",
    "tasks/faces/train.py imports cnnkit.options",
    "tasks/faces/train.py imports cnnkit.plots",
    "tasks/faces/verify.py imports cnnkit.plots",
    "tasks/faces/video.py imports cnnkit.plots",
    "tasks/faces/video.py imports cnnkit.results",
    "tasks/segment/cli.py imports cnnkit.plots",
    "tasks/segment/cli.py imports cnnkit.results",
    "tasks/segment/plots.py imports cnnkit.plots",
    "tasks/segment/plots.py imports cnnkit.plots._style",
    "tasks/segment/predict.py imports cnnkit.results",
    "tasks/segment/results.py imports cnnkit.results",
    "tasks/segment/settings.py imports cnnkit.options",
    "tasks/segment/train.py imports cnnkit.plots",
    "tasks/segment/video.py imports cnnkit.results",
    "tasks/stylize/jobs.py imports cnnkit.results",
    "tasks/stylize/sheet.py imports cnnkit.plots",
    "tasks/stylize/sheet.py imports cnnkit.results",
    "tasks/stylize/video.py imports cnnkit.results",
    "tasks/text/evaluate.py imports cnnkit.metrics.classification",
    "tasks/text/predict.py imports cnnkit.results",
    "tasks/text/results.py imports cnnkit.results",
    "tasks/text/train.py imports cnnkit.metrics.classification",
    "tasks/visualize/class_maps.py imports cnnkit.options",
    "tasks/visualize/cli.py imports cnnkit.plots",
    "tasks/visualize/cli.py imports cnnkit.results",
    "tasks/visualize/files.py imports cnnkit.options",
    "tasks/visualize/gradcam.py imports cnnkit.options",
    "tasks/visualize/occlusion.py imports cnnkit.options",
    "tasks/visualize/picture_command.py imports cnnkit.results",
    "tasks/visualize/plots/architecture.py imports cnnkit.plots._style",
    "tasks/visualize/plots/filtering.py imports cnnkit.plots._style",
    "tasks/visualize/plots/units.py imports cnnkit.plots._style",
    "tasks/visualize/plots/views.py imports cnnkit.plots._style",
    "tasks/visualize/plots/words.py imports cnnkit.plots._style",
    "tasks/visualize/results.py imports cnnkit.plots",
    "tasks/visualize/results.py imports cnnkit.results",
    "tasks/visualize/settings.py imports cnnkit.options",
    "tasks/visualize/unit_search.py imports cnnkit.results",
    "tasks/visualize/units.py imports cnnkit.results",
    "tasks/visualize/units_cli.py imports cnnkit.results",
    "tasks/visualize/views_cli.py imports cnnkit.options",
    "tasks/visualize/views_cli.py imports cnnkit.results",
}
# What one task imports of another on purpose.
BETWEEN_TASKS = {
    # Segmenters may be built on the shipped detector.
    "tasks/segment/trainable.py imports cnnkit.tasks.detect.trainable",
    # Masks of a style may be what a segmenter finds.
    "tasks/stylize/mask.py imports cnnkit.tasks.segment.files",
    "tasks/stylize/mask.py imports cnnkit.tasks.segment.predict",
    "tasks/stylize/mask.py imports cnnkit.tasks.segment.regions",
    "tasks/stylize/mask.py imports cnnkit.tasks.segment.settings",
    # Grad-CAM and occlusion explain what classifiers tell.
    "tasks/visualize/class_maps.py imports cnnkit.tasks.classify.calibration",
    "tasks/visualize/class_maps.py imports cnnkit.tasks.classify.network",
    "tasks/visualize/views_cli.py imports cnnkit.tasks.classify.files",
    "tasks/visualize/views_cli.py imports cnnkit.tasks.classify.settings",
    # Words lie where classifiers of texts learned them to be.
    "tasks/visualize/cli.py imports cnnkit.tasks.text.files",
    "tasks/visualize/cli.py imports cnnkit.tasks.text.settings",
    "tasks/visualize/words.py imports cnnkit.tasks.text.files",
    "tasks/visualize/words.py imports cnnkit.tasks.text.network",
}
# What the old folders import of tasks, until these are no more.
OLD_TO_TASKS = {
    "pipelines/export.py imports cnnkit.tasks.classify.files",
    "pipelines/export.py imports cnnkit.tasks.classify.network",
    "pipelines/warm.py imports cnnkit.tasks.caption.predict",
    "pipelines/warm.py imports cnnkit.tasks.classify.predict",
    "pipelines/warm.py imports cnnkit.tasks.detect.predict",
    "pipelines/warm.py imports cnnkit.tasks.faces.recognition",
    "pipelines/warm.py imports cnnkit.tasks.segment.predict",
    "pipelines/warm.py imports cnnkit.tasks.stylize.draft",
    "pipelines/weights_import.py imports cnnkit.tasks.detect.files",
    "pipelines/weights_import.py imports cnnkit.tasks.detect.network",
}
SHARED_BY_TASKS = {
    *("console", "data", "engine", "errors", "images", "imports", "models", "ops", "runtime"),
    *("video", "weights"),
}


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem in LAYERS)


def room(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def layer(module):
    """Of a module by its name, such as "cnnkit.engine.settings"."""
    parts = module.split(".")[1:]
    return LAYERS.get(".".join(parts[:2]), LAYERS[parts[0]])


def name_of(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def all_imports():
    names = {name_of(path) for path in ROOT.rglob("*.py")}
    for path in modules():
        for name in imported_modules(path):
            if name in names and name != "cnnkit":
                yield path, name


def test_every_room_has_a_layer():
    rooms = {room(path) for path in ROOT.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms <= set(LAYERS)


def test_modules_import_only_from_lower_layers():
    wrong = []
    for path, name in all_imports():
        source, target = room(path), name.split(".")[1]
        is_inside = source == target or "tasks" in (source, target)
        if not is_inside and layer(name) >= layer(name_of(path)):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_tasks_import_what_all_tasks_share_and_no_other_task():
    wrong = set()
    for path, name in all_imports():
        if room(path) != "tasks" or len(path.relative_to(ROOT).parts) < 3:
            continue
        own = f"cnnkit.tasks.{path.relative_to(ROOT).parts[1]}"
        # `cnnkit.data` stands for the names that are imported from it.
        if name.split(".")[1] not in SHARED_BY_TASKS and not f"{name}.".startswith(f"{own}."):
            wrong.add(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == OLD_OF_TASKS | BETWEEN_TASKS


def test_the_engine_and_the_old_folders_import_tasks_only_where_that_is_declared():
    # The command line and the server may import all of them.
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path, name in all_imports()
        if name.startswith("cnnkit.tasks.")
        and room(path) not in ("tasks", "cli", "server", "__init__")
    }
    assert wrong == OLD_TO_TASKS


# What one module of a room uses of another on purpose.
DECLARED = {
    # Where Keras is on OpenVINO, a graph runs as it does without Keras.
    "ops/inference.py imports cnnkit.ops.openvino_graph",
    # Scenes are made of pictures in canvases.
    "data/scenes.py imports cnnkit.data.letterbox",
    # Classes are told by several layers of the compact network.
    "models/compact_features.py imports cnnkit.models.unrolled",
    "models/compact_features.py imports cnnkit.models.vgg",
    # The captioner looks with the network that ImageNet's classes are told by.
    "models/caption_encoder.py imports cnnkit.models.efficientnet_lite",
    # Pyramids end as the other detectors and segmenters do.
    "models/feature_pyramid.py imports cnnkit.models.detector",
    "models/feature_pyramid.py imports cnnkit.models.fcn",
    # Names of layers that come trained.
    "models/transfer.py imports cnnkit.models.detector",
    "models/transfer.py imports cnnkit.models.efficientnet_lite",
}


def test_siblings_in_one_room_never_import_each_other():
    # A package's __init__ may re-export what its modules define. A leading underscore marks what a
    # room shares. cli/app.py puts the commands together by their names.
    wrong = []
    for path, name in all_imports():
        parts = name.split(".")
        same_room = path.parent != ROOT and room(path) == parts[1] and len(parts) > 2
        # The engine is one thing in several files, and so are a task, the server and videos.
        if parts[1] in ("engine", "server", "tasks", "video"):
            continue
        shared = parts[-1].startswith("_") or (len(parts) > 3 and parts[2].startswith("_"))
        if same_room and not shared and path.name != "__init__.py":
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert set(wrong) == DECLARED


def test_there_are_no_import_cycles():
    graph = {}
    for path, name in all_imports():
        graph.setdefault(name_of(path), set()).add(name)

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        for target in graph.get(module, ()):
            visit(target, [*trail, module])

    for module in graph:
        visit(module, [])


# `cli.app` imports a command's module when it is asked for.
COMMANDS = ", ".join(
    name_of(path) for path in sorted([*ROOT.glob("cli/[a-z]*.py"), *ROOT.glob("tasks/*/*cli.py")])
)


@pytest.mark.parametrize(
    "modules",
    ["cnnkit", "cnnkit.cli.app", COMMANDS, "cnnkit.console"],
    ids=["cnnkit", "app", "commands", "console"],
)
def test_the_command_line_imports_without_keras_or_tensorflow(modules):
    code = (
        f"import sys, {modules}; "
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'skimage', 'scipy', 'matplotlib'}; "
        "print(*sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []

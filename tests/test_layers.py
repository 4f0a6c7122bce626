"""The layers of the package: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit

ROOT = Path(cnnkit.__file__).parent

# A module imports only from lower layers; siblings never import each other.
LAYERS = {
    "errors": 0,
    "imports": 0,
    "options": 1,
    "results": 0,
    "images": 1,
    "ops": 1,
    "runtime": 1,
    "paintings": 1,
    "losses": 2,
    "metrics": 2,
    "data": 2,
    "plots": 2,
    "weights": 2,
    "engine": 3,
    "models": 3,
    "training": 4,
    "pipelines": 4,
    "console": 5,
    "cli": 6,
}


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem in LAYERS)


def room(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def all_imports():
    names = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    }
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
        if source != target and LAYERS[target] >= LAYERS[source]:
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


# What one module of a room uses of another on purpose.
DECLARED = {
    # Where Keras is on OpenVINO, a graph runs as it does without Keras.
    "ops/inference.py imports cnnkit.ops.openvino_graph",
    # Sentences are split as all texts are.
    "data/captions.py imports cnnkit.data.text",
    # The captioner looks with the network that ImageNet's classes are told by.
    "models/caption_encoder.py imports cnnkit.models.efficientnet_lite",
    # Pyramids end as the other detectors and segmenters do.
    "models/feature_pyramid.py imports cnnkit.models.detector",
    "models/feature_pyramid.py imports cnnkit.models.fcn",
}


def test_siblings_in_one_room_never_import_each_other():
    # A package's __init__ may re-export what its modules define. A leading underscore marks what a
    # room shares. cli/app.py puts the commands together by their names.
    wrong = []
    for path, name in all_imports():
        parts = name.split(".")
        same_room = path.parent != ROOT and room(path) == parts[1] and len(parts) > 2
        # The engine is one thing in several files.
        if parts[1] == "engine":
            continue
        shared = parts[-1].startswith("_") or (len(parts) > 3 and parts[2].startswith("_"))
        if same_room and not shared and path.name != "__init__.py":
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert set(wrong) == DECLARED


def test_there_are_no_import_cycles():
    graph = {}
    for path, name in all_imports():
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        graph.setdefault(module.removesuffix(".__init__"), set()).add(name)

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        for target in graph.get(module, ()):
            visit(target, [*trail, module])

    for module in graph:
        visit(module, [])


# `cli.app` imports a command's module when it is asked for.
COMMANDS = ", ".join(f"cnnkit.cli.{path.stem}" for path in sorted((ROOT / "cli").glob("[a-z]*.py")))


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

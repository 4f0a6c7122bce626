"""How large the code of a task is, and how many modules a picture passes on its way through it.

python benchmarks/house.py [--root DIR] "tasks/detect/**/*.py" "models/yolo.py" ...
python benchmarks/house.py [--root DIR] --trace detect photo.jpg --json
"""

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="a checkout")
    parser.add_argument("--trace", nargs=argparse.REMAINDER, help="arguments of cnnkit")
    parser.add_argument("patterns", nargs="*", help="files below the package")
    arguments = parser.parse_args()
    package = arguments.root / "cnnkit"
    if arguments.trace:
        sys.path.insert(0, str(arguments.root))
        trace(package, arguments.trace)
    else:
        measure([path for one in arguments.patterns for path in sorted(package.glob(one))])


def measure(files: list[Path]) -> None:
    """Prints sizes of files, and the largest of their functions."""
    lines = sum(len(path.read_text().splitlines()) for path in files)
    folders = {path.parent for path in files}
    hidden = [path for path in files if path.name.startswith("_") and path.stem != "__init__"]
    print(f"{len(files)} files in {len(folders)} folders, {lines:,} lines")
    print(f"{len(hidden)} modules with an underscore")
    functions = [one for path in files for one in functions_of(path)]
    for what, index in (("most parameters", 1), ("longest function", 2)):
        best = max(functions, key=lambda one, index=index: one[index])
        print(f"{what}: {best[0]}, {best[1]} parameters, {best[2]} lines")


def functions_of(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, number of parameters and of lines of each function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
            name = f"{path.parent.name}/{path.name}: {node.name}"
            yield name, count, node.end_lineno - node.lineno + 1


def trace(package: Path, arguments: list[str]) -> None:
    """Runs a command, and prints how many modules and functions it enters."""
    from cnnkit.cli.app import run

    entered: set[tuple[str, str]] = set()
    before: set[tuple[str, str]] = set()

    def see(frame, event, argument):
        file, is_function = frame.f_code.co_filename, frame.f_code.co_flags & inspect.CO_OPTIMIZED
        # What is done while a module is imported is no stop.
        if event == "call" and is_function and file.startswith(str(package)):
            name = arguments[0]
            if frame.f_code.co_name == name and file.endswith(("/cli.py", f"/cli/{name}.py")):
                before.update(entered)
                entered.clear()
            entered.add((file, frame.f_code.co_name))

    sys.setprofile(see)
    code = run(arguments)
    sys.setprofile(None)
    for what, found in (("in all", entered | before), ("from the command's function on", entered)):
        modules = {file for file, _ in found}
        folders = {str(Path(file).parent) for file in modules}
        print(
            f"{what}: {len(found)} functions in {len(modules)} modules of {len(folders)} folders",
            file=sys.stderr,
        )
    print(f"exit code {code}", file=sys.stderr)


if __name__ == "__main__":
    main()

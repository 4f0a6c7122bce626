import dataclasses
import json

import pytest

from cnnkit import weights
from cnnkit.cli.app import run
from cnnkit.weights import _registry
from tests.weights.conftest import CONTENT, TINY, cache, server

__all__ = ["cache", "server"]

FACE_MODELS = tuple(one for one in weights.entries() if one.package == "face_recognition_models")


@pytest.fixture(autouse=True)
def only_tiny(cache, monkeypatch):
    """The whole table is "tiny"; nothing of this installation matters."""
    monkeypatch.setattr(_registry, "ENTRIES", (TINY,))


def test_list_says_what_is_here(server, capsys):
    run(["weights", "fetch", "tiny"])
    capsys.readouterr()
    assert run(["weights", "list"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "what", "MB", "here", "licence"]
    assert row.split() == ["tiny", "bytes", "in", "a", "row", "0.0", "yes", "MIT"]


def test_list_as_json_is_one_document(capsys):
    assert run(["weights", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "cnnkit/1"
    assert [(one["name"], one["state"], one["path"]) for one in document["weights"]] == [
        ("tiny", "missing", None)
    ]
    assert set(document["compiled"]) == {"titles", "bytes", "folder"}


def test_fetch_prints_the_path_on_stdout_and_the_rest_on_stderr(server, cache, capsys):
    assert run(["weights", "fetch", "tiny"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{cache / 'tiny.h5'}\n"
    assert printed.err == "fetching tiny.h5 (0 MB)\n"


def test_fetch_again_says_that_the_weights_are_here(server, capsys):
    run(["weights", "fetch", "tiny"])
    capsys.readouterr()
    assert run(["weights", "fetch", "tiny"]) == 0
    assert capsys.readouterr().err == "the tiny weights are already here\n"


def test_a_fetch_that_fails_is_one_line_and_exit_code_5(server, capsys):
    server.status = 503
    assert run(["weights", "fetch", "tiny", "-q"]) == 5
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: http://127.0.0.1:")
    assert printed.err.count("\n") == 1


def test_ctrl_c_in_a_fetch_says_how_to_go_on(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cnnkit.cli.weights.fetch", stop)
    assert run(["weights", "fetch", "tiny"]) == 130
    line = "stopped by Ctrl-C; what came is kept, go on with: cnnkit weights fetch tiny\n"
    assert capsys.readouterr().err.endswith(line)


@pytest.mark.parametrize("names", [["tiny"], []])
def test_import_takes_a_file_with_or_without_a_name(tmp_path, cache, capsys, names):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(CONTENT)
    assert run(["weights", "import", *names, str(mine)]) == 0
    assert capsys.readouterr() == (f"{cache / 'tiny.h5'}\n", "imported the tiny weights\n")


def test_import_of_a_cut_off_file_says_expected_and_received(tmp_path, capsys):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(CONTENT[:10])
    assert run(["weights", "import", "tiny", str(mine)]) == 5
    assert "cut off: expected 10240 bytes, received 10" in capsys.readouterr().err


def test_import_of_three_things_is_a_usage_error(capsys):
    assert run(["weights", "import", "a", "b", "c"]) == 2
    assert "give one file" in capsys.readouterr().err


def test_path_prints_the_file_or_fails_with_exit_code_5(server, cache, capsys):
    assert run(["weights", "path", "tiny"]) == 5
    assert capsys.readouterr().out == ""
    weights.fetch("tiny")
    assert run(["weights", "path", "tiny"]) == 0
    assert capsys.readouterr().out == f"{cache / 'tiny.h5'}\n"


def test_path_without_a_name_prints_the_folder(cache, capsys):
    assert run(["weights", "path"]) == 0
    assert capsys.readouterr().out == f"{cache}\n"


def test_an_unknown_name_is_a_usage_error_that_suggests_the_nearest(capsys):
    assert run(["weights", "path", "tinny"]) == 2
    assert capsys.readouterr().err == (
        "error: there are no weights named 'tinny'; did you mean tiny?\n"
    )


def test_check_passes_what_is_whole_and_what_nobody_fetched(server, cache, capsys):
    assert run(["weights", "check"]) == 0
    assert capsys.readouterr().out == "tiny: not here (not fetched)\n"
    weights.fetch("tiny")
    assert run(["weights", "check"]) == 0
    assert capsys.readouterr().out == f"tiny: sha256 is right: {cache / 'tiny.h5'}\n"


def test_check_of_missing_weights_by_name_fails(capsys):
    assert run(["weights", "check", "tiny"]) == 5
    assert "tiny is missing; run: cnnkit weights fetch tiny" in capsys.readouterr().err


def test_check_fails_for_a_damaged_file_and_says_the_remedy(server, capsys):
    path = weights.fetch("tiny").path
    path.write_bytes(bytes(len(CONTENT)))
    assert run(["weights", "check"]) == 5
    error = capsys.readouterr().err
    assert error.startswith(f"error: tiny is damaged (expected sha256 {TINY.digest}, received ")
    assert error.endswith("run: cnnkit weights fetch tiny, or: cnnkit weights import tiny FILE\n")


def test_check_as_json_keeps_the_exit_code(server, capsys):
    path = weights.fetch("tiny").path
    path.write_bytes(CONTENT[:10])
    assert run(["weights", "check", "--json"]) == 5
    (one,) = json.loads(capsys.readouterr().out)["weights"]
    assert (one["state"], one["problem"]) == (
        "damaged",
        "cut off: expected 10240 bytes, received 10",
    )


def test_card_prints_markdown(capsys):
    assert run(["weights", "card", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("# VGG-19\n")


@pytest.fixture
def only_a_dependency(monkeypatch):
    """The whole table is "tiny", which lies in a package that is not installed."""
    dependency = dataclasses.replace(TINY, kind="dependency", package="no_such_models", url="")
    monkeypatch.setattr(_registry, "ENTRIES", (dependency,))


@pytest.mark.parametrize("command", ["path", "check", "fetch"])
@pytest.mark.parametrize("requirement", ["", "no-such-models==1.2"])
def test_a_missing_dependency_says_what_to_install(
    only_a_dependency, monkeypatch, capsys, command, requirement
):
    (dependency,) = _registry.ENTRIES
    dependency = dataclasses.replace(dependency, requirement=requirement)
    monkeypatch.setattr(_registry, "ENTRIES", (dependency,))
    assert run(["weights", command, "tiny"]) == 5
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith(f"run: pip install {requirement or 'no_such_models'}\n")
    assert error.count("\n") == 1


def test_check_of_everything_fails_for_a_missing_dependency(only_a_dependency, capsys):
    assert run(["weights", "check"]) == 5
    assert "tiny is missing" in capsys.readouterr().err


def test_a_dependency_is_not_imported_from_a_file(only_a_dependency, tmp_path, capsys):
    mine = tmp_path / "tiny.h5"
    mine.write_bytes(CONTENT)
    assert run(["weights", "import", "tiny", str(mine)]) == 2
    assert "come with no_such_models; there is nothing to import" in capsys.readouterr().err


def test_list_says_which_package_the_weights_come_with(monkeypatch, capsys):
    monkeypatch.setattr(_registry, "ENTRIES", FACE_MODELS)
    assert run(["weights", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["weights"]
    assert [one["state"] for one in found] == ["here"] * 3
    assert {one["package"] for one in found} == {"face_recognition_models"}
    assert run(["weights", "list"]) == 0
    assert capsys.readouterr().out.count("face_recognition_models") == 3


def test_an_address_is_shown_as_it_was_typed_where_a_path_is_wanted(capsys, tmp_path):
    command = ["train", "detect", "https://example.com/a.zip", "-o", str(tmp_path / "run")]
    assert run(command) == 3
    assert "https://example.com/a.zip: URLs are not read" in capsys.readouterr().err

import importlib.util
import re
from pathlib import Path

import pytest

import cnnkit.weights
from cnnkit.errors import ExitCode, UsageError
from cnnkit.weights import (
    embedded_dir,
    entries,
    entry,
    fingerprint,
    locate,
    package_dir,
    read_card,
)

EMBEDDED = [one for one in entries() if one.kind == "embedded"]
FETCHABLE = [one for one in entries() if one.kind == "fetchable"]
DEPENDENCIES = [one for one in entries() if one.kind == "dependency"]
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
LARGEST_PACKAGE_BYTES = 25_000_000


def test_names_and_file_names_are_unique():
    for values in zip(*((one.name, one.file_name) for one in entries()), strict=True):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("one", EMBEDDED, ids=lambda one: one.name)
def test_embedded_weights_are_the_pinned_ones(one):
    path = embedded_dir() / one.file_name
    if not path.exists() and not one.digest:
        pytest.skip(f"{one.name} is neither shipped nor pinned yet")
    assert one.algorithm == "sha256"
    assert (path.stat().st_size, fingerprint(path)) == (one.size, one.digest)


def test_every_embedded_file_is_in_the_table():
    shipped = {path.name for path in embedded_dir().glob("*") if path.suffix != ".md"}
    assert shipped <= {one.file_name for one in EMBEDDED}


def test_embedded_weights_together_stay_small():
    total = sum(path.stat().st_size for path in embedded_dir().rglob("*") if path.is_file())
    assert total < LARGEST_PACKAGE_BYTES


@pytest.mark.parametrize("one", entries(), ids=lambda one: one.name)
def test_every_entry_has_a_card_that_names_its_licence(one):
    if one in EMBEDDED and not one.digest:
        pytest.skip(f"{one.name} is not shipped yet")
    card = read_card(one.name)
    assert card.startswith("# ")
    assert Path(one.file_name).name in card
    assert re.search(r"licen[cs]e", card, re.IGNORECASE)


@pytest.mark.parametrize("one", FETCHABLE, ids=lambda one: one.name)
def test_fetchable_weights_are_pinned_and_come_over_https(one):
    assert one.url.startswith("https://")
    assert one.url.endswith(f"/{one.file_name}")
    assert one.size > 0
    assert len(one.digest) == {"md5": 32, "sha256": 64}[one.algorithm]


@pytest.mark.parametrize("one", DEPENDENCIES, ids=lambda one: one.name)
def test_weights_of_a_dependency_are_pinned_and_come_with_the_installation(one):
    assert (one.algorithm, len(one.digest)) == ("sha256", 64)
    assert locate(one.name) == package_dir(one.package) / one.file_name
    # Whoever installs cnnkit gets the package.
    assert f'"{one.requirement or one.package}' in PYPROJECT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize(
    ("suffix", "address"), [("", "WEIGHTS_PATH_NO_TOP"), ("-classifier", "WEIGHTS_PATH")]
)
def test_the_table_agrees_with_the_installed_keras(name, suffix, address):
    # Read, not imported: Keras takes seconds to import.
    keras = Path(importlib.util.find_spec("keras").origin).parent
    source = (keras / "src" / "applications" / f"{name}.py").read_text(encoding="utf-8")
    one = entry(name + suffix)
    assert f'file_hash="{one.digest}"' in source
    parts = re.search(rf"^{address} = \(([^)]*)\)", source, re.MULTILINE).group(1)
    assert "".join(re.findall(r'"([^"]*)"', parts)) == one.url


@pytest.mark.parametrize(
    ("name", "weights"), [("vgg16-classifier", 138_357_544), ("vgg19-classifier", 143_667_240)]
)
def test_a_whole_vgg_is_as_large_as_its_weights(name, weights):
    # float32 and some headers of HDF5
    assert 0 < entry(name).size - 4 * weights < 100_000


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"no weights named 'VVG19'; did you mean vgg19\?"):
        entry("VVG19")


def test_a_name_like_no_other_lists_them_all():
    with pytest.raises(UsageError, match=r"one of: compact, decoder, .*, vgg19") as caught:
        entry("transformer")
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_public_names_are_all_there():
    assert all(hasattr(cnnkit.weights, name) for name in cnnkit.weights.__all__)

"""The table of samples, and loading one."""

import socket

import pytest

from cnnkit.data import samples
from cnnkit.data.samples import SAMPLES, find_sample, load_sample
from cnnkit.errors import ImageError

PHOTOGRAPHS = [sample for sample in SAMPLES if sample.kind == samples.PHOTOGRAPH]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a sample tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_sample_names_are_unique_and_fit_for_files():
    names = [sample.name for sample in SAMPLES]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name.islower() for name in names)


def test_there_are_photographs_and_six_styles():
    styles = {sample.name for sample in SAMPLES if sample.kind == samples.STYLE}
    assert styles == {"stained-glass", "impasto", "ink-wash", "woodcut", "mosaic", "waves"}
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= {one.name for one in PHOTOGRAPHS}


def test_every_sample_says_who_made_it_and_under_which_licence():
    for sample in SAMPLES:
        assert sample.origin
        assert sample.licence in ("CC0", "public domain", "MIT")


@pytest.mark.parametrize("sample", PHOTOGRAPHS, ids=lambda sample: sample.name)
def test_photographs_are_read_from_the_installed_package(sample):
    picture = load_sample(sample)
    assert picture.pixels.shape[-1] == 3
    assert min(picture.height, picture.width) >= 300
    assert picture.pixels.std() > 0.1


@pytest.mark.parametrize("name", samples.style_names())
def test_styles_come_with_cnnkit(name):
    picture = load_sample(find_sample(name))
    assert picture.pixels.shape == (640, 640, 3)
    assert picture.source == "painted by cnnkit"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"one of: astronaut, .*waves\. Received: 'mona-lisa'"):
        find_sample("mona-lisa")


def test_a_photograph_that_scikit_image_lacks_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "_photographs_folder", lambda: tmp_path)
    with pytest.raises(ImageError, match=r"rocket\.jpg is not in the installed scikit-image"):
        load_sample(find_sample("rocket"))


def test_without_scikit_image_the_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match="pip install scikit-image"):
        load_sample(find_sample("rocket"))

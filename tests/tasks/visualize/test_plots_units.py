"""Sheets and pages of what units respond to."""

import html.parser
import re

import numpy as np
import pytest

from cnnkit.tasks.visualize.plots.units import draw_units
from cnnkit.tasks.visualize.plots.units_page import units_page
from cnnkit.tasks.visualize.results import UnitsResult
from cnnkit.tasks.visualize.unit_responses import LayerResponses, UnitPatch, UnitResponse

RED, BLUE = (255, 0, 0), (0, 0, 255)


def patch(color=RED, drawn=None, size=(6, 6), source="a.jpg", box=(-2.0, 10.0, 10.0, 22.0)):
    pixels = np.full((*size, 3), color, np.uint8)
    back = None if drawn is None else np.full((*size, 3), drawn, np.uint8)
    return UnitPatch(2.5, source, 1, 2, box, pixels, back)


def layer(name="conv", units=3, patches=9, drawn=None, **options):
    listed = tuple(
        UnitResponse(
            number, (patch(drawn=drawn, **options),) * patches, 1.0, 2, (0.0, 1.0, 2.0, 3.0),
            (5, 0, 2),
        )
        for number in range(units)
    )  # fmt: skip
    return LayerResponses(name, 16, (6, 6), (7,), listed)


def area(sheet, color):
    return int((sheet == np.array(color, np.uint8)).all(axis=-1).sum())


def test_each_patch_has_a_cell_of_its_own():
    assert area(draw_units([layer()], title="t"), RED) == 3 * 9 * 72 * 72
    assert area(draw_units([layer(patches=4)], title="t"), RED) == 3 * 4 * 72 * 72


def test_reconstructions_stand_on_the_left_of_the_patches():
    sheet = draw_units([layer(units=1, drawn=BLUE)], title="t")
    assert area(sheet, RED) == area(sheet, BLUE) == 9 * 72 * 72
    columns = [np.flatnonzero((sheet == np.array(c, np.uint8)).all(axis=-1).any(axis=0)) for c in
               (BLUE, RED)]  # fmt: skip
    assert columns[0].max() < columns[1].min()


def test_patches_keep_their_shape():
    sheet = draw_units([layer(units=1, patches=1, size=(20, 40))], title="t")
    red = (sheet == np.array(RED, np.uint8)).all(axis=-1)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (len(rows), len(columns)) == (36, 72)


def test_several_layers_stand_side_by_side():
    one = draw_units([layer(units=2)], title="t")
    two = draw_units([layer(units=2), layer("a" * 90, units=2)], title="t")
    assert area(two, RED) == 2 * area(one, RED)
    assert two.shape[0] > one.shape[0]
    with pytest.raises(ValueError, match="at least one"):
        draw_units([], title="t")


def test_long_notes_are_not_cut_off():
    narrow, wide = (
        draw_units([layer(units=1)], title="t", notes=[note]) for note in ("x", "x" * 200)
    )
    assert wide.shape[1] > 1200 > narrow.shape[1]
    assert (wide[:, -20:] == 255).all()


# The page -------------------------------------------------------------------------------------


def result(layers, sources=("a.jpg",), **options):
    thumbnails = {source: np.zeros((20, 30, 3), np.uint8) for source in sources}
    sizes = dict.fromkeys(sources, (200, 300))
    settings = {"failed": 0, "failures": (), **options}
    return UnitsResult(
        "compact", "hash", layers, 256, 9, thumbnails=thumbnails, sizes=sizes, **settings
    )


class Page(html.parser.HTMLParser):
    """All links and ids, and a check that what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.open = [], set(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [found[key] for key in ("src", "href") if key in found]
        assert found.get("id") not in self.ids
        self.ids |= {found["id"]} if "id" in found else set()
        if tag not in ("img", "meta", "link", "rect", "line", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in ("rect", "line")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_all_links_of_the_page_resolve_and_all_files_are_linked():
    layers = (layer("model/conv", drawn=BLUE), layer("conv.2", units=1))
    files = units_page(result(layers))
    page = Page(files["index.html"].decode())
    assert page.links
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else link in files
    assert set(files) - {"index.html"} == {x for x in page.links if not x.startswith("#")}
    assert sum(name.startswith("patches/") for name in files) == 4 * 9
    assert sum(name.startswith("reconstructions/") for name in files) == 3 * 9
    assert sum(name.startswith("pictures/") for name in files) == 1


def test_the_page_needs_nothing_from_elsewhere():
    text = units_page(result((layer(),)))["index.html"].decode()
    assert not re.search(r"<script|https?://|@import|url\(", text)


def test_names_of_pictures_are_only_text():
    source = '<b>"a&b".jpg'
    files = units_page(result((layer(source=source),), [source]))
    text = files["index.html"].decode()
    assert "<b>&quot;" not in text
    assert "&lt;b&gt;&quot;a&amp;b&quot;.jpg" in text


def test_the_patch_is_marked_in_its_picture():
    text = units_page(result((layer(units=1, patches=1),)))["index.html"].decode()
    # From -2 of 300 pixels, 12 wide; from 10 of 200, 12 high.
    assert "left:-0.67%;top:5.00%;width:4.00%;height:6.00%" in text


def test_the_histogram_has_a_bar_for_each_full_bin_and_the_page_says_the_rest():
    text = units_page(result((layer(units=1),), failed=3))["index.html"].decode()
    assert text.count("<rect") == 2
    assert "responds to 7 of 9 pictures, 1 on average" in text
    assert "16 units, 1 of them respond to no picture" in text
    assert "3 could not be read" in text

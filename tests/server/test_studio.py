"""The page in a browser: Chromium of the system, driven by Playwright."""

import re
import shutil
import signal
import subprocess
import sys

import pytest

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.images import write_image
from tests._clips import moving_square, write_clip

pytest.importorskip("gradio", reason="the page needs the extra [studio]")
sync_api = pytest.importorskip("playwright.sync_api", reason="the browser needs Playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]
SECONDS = 120_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    gallery = tmp_path_factory.mktemp("people") / "people.db"
    command = [sys.executable, "-m", "cnnkit", "studio", "--port", "0", "--no-open"]
    with subprocess.Popen(
        [*command, "--gallery", str(gallery)], stdout=subprocess.PIPE, text=True
    ) as process:
        yield re.fullmatch(r"(http://localhost:\d+/)\n", process.stdout.readline())[1]
        process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start: {error.message.splitlines()[0]}")
        yield one
        one.close()


@pytest.fixture
def page(browser, address):
    elsewhere = []
    one = browser.new_page(viewport={"width": 1200, "height": 900})
    one.set_default_timeout(SECONDS)

    def note(request):
        if not request.url.startswith((address, "data:", "blob:")):
            elsewhere.append(request.url)

    one.on("request", note)
    one.goto(address)
    one.wait_for_selector("#paint")
    yield one
    # What comes from elsewhere would be missing with the network off.
    assert elsewhere == []
    one.close()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for name in ("astronaut", "coffee", "chelsea"):
        write_image(folder / f"{name}.png", load_sample(find_sample(name)))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def drop(page, place, path):
    page.locator(f"{place} input[type=file]").set_input_files(str(path))


def text_of(page, place, words):
    page.wait_for_function(
        "([place, words]) => document.querySelector(place)?.innerText.includes(words)",
        arg=[place, words],
    )
    return page.locator(place).inner_text()


def test_a_photograph_is_painted_at_once_then_better_and_can_be_stopped(page, samples):
    drop(page, "#content", samples / "coffee.png")
    text_of(page, "#status", "A draft")
    assert page.locator("#painted img").count() == 2
    page.locator("#paint").click()
    text_of(page, "#status", "step ")
    page.locator("#stop").click()
    text_of(page, "#status", "stopped; this is the picture so far")
    assert page.locator("#download").get_attribute("disabled") is None


def test_a_slider_chooses_among_what_was_found(page, samples):
    page.get_by_role("tab", name="Find").click()
    drop(page, "#find-picture", samples / "coffee.png")
    text_of(page, "#objects", "cup")
    box = page.locator("#conf input[type=number]")
    box.fill("0.99")
    box.press("Enter")
    page.wait_for_function("!document.querySelector('#objects').innerText.includes('cup')")


def test_a_video_is_looked_through(page, tmp_path):
    page.get_by_role("tab", name="Find").click()
    page.get_by_role("button", name="A video, of up to 20 seconds").click()
    drop(page, "#clip", write_clip(tmp_path / "clip.mp4", moving_square(6)))
    page.wait_for_selector("#clip video")
    page.locator("#clip-begin").click()
    text_of(page, "#clip-status", "6 frames")
    page.wait_for_selector("#clip-made video")


def test_a_subject_is_cut_out(page, samples):
    page.get_by_role("tab", name="Cut out").click()
    drop(page, "#cut-picture", samples / "astronaut.png")
    page.wait_for_selector("#cut img")


def test_faces_are_compared_remembered_and_recognised(page, samples):
    page.get_by_role("tab", name="Who is it").click()
    for place in ("#first", "#second"):
        drop(page, place, samples / "astronaut.png")
        page.wait_for_selector(f"{place} img")
    page.locator("#compare").click()
    text_of(page, "#verdict", "Same person")
    drop(page, "#known", samples / "astronaut.png")
    page.wait_for_selector("#known img")
    page.locator("#name textarea, #name input").fill("Eileen")
    page.locator("#enroll").click()
    text_of(page, "#people", "Eileen (1)")
    page.locator("#identify").click()
    page.wait_for_function("document.querySelector('#people').innerText.trim() === 'Eileen'")
    page.locator("#remove").click()
    text_of(page, "#people", "nobody")


def test_a_picture_is_described(page, samples):
    page.get_by_role("tab", name="Say").click()
    drop(page, "#say-picture", samples / "chelsea.png")
    assert "cat" in text_of(page, "#sentence", "cat")
    text_of(page, "#classes", "cat")


def test_one_sees_inside(page, samples):
    page.get_by_role("tab", name="See inside").click()
    drop(page, "#inside-picture", samples / "coffee.png")
    page.wait_for_selector("#inside-picture img")
    page.locator("#edges").click()
    page.wait_for_selector("#inside img")
    # What takes a process of its own.
    for button in ("#gradcam", "#units"):
        before = page.locator("#inside img").get_attribute("src")
        page.locator(button).click()
        page.wait_for_function(
            "before => document.querySelector('#inside img')?.src !== before", arg=before
        )
    page.get_by_role("button", name="Follow its shapes").click()
    text_of(page, "#shape-table", "10")


def test_what_is_wrong_is_a_message(page, samples):
    page.get_by_role("tab", name="Who is it").click()
    page.locator("#compare").click()
    page.get_by_text("Drop a photograph first").wait_for()
    page.get_by_role("tab", name="Find").click()
    drop(page, "#find-picture", samples / "broken.png")
    page.get_by_text("the picture").first.wait_for()


def test_the_page_fits_a_telephone_and_the_dark(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.goto(address)
    page.wait_for_selector("#paint")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()

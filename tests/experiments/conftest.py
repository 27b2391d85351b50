"""Open a report as its readers do: in Chromium, on a phone and at a desk, by day and by night."""

import base64
import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]

# What the page tells of itself: by how much it is too wide, its paper, and its pictures.
MEASURE = """() => ({
  wide: document.documentElement.scrollWidth - window.innerWidth,
  paper: getComputedStyle(document.body).backgroundColor,
  pictures: [...document.images].map(image => ({
    alt: image.alt,
    whole: image.complete && image.naturalWidth > 0,
    scale: image.clientWidth / image.naturalWidth,
    source: image.currentSrc,
  })),
})"""


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("left out: no Chromium on this machine to open the reports in")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def faults(chromium):
    """A function that opens a report and lists what is wrong with its looks, if anything is."""

    def look(report: Path) -> list[str]:
        return [
            f"{width} px, {scheme}: {fault}"
            for width, scheme in [(390, "light"), (390, "dark"), (1280, "light")]
            for fault in faults_at(chromium, report, width, scheme)
        ]

    return look


def faults_at(browser, report: Path, width: int, scheme: str) -> list[str]:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    found = []
    page.on("console", lambda message: found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))

    def request(request):
        if not request.url.startswith(("file:", "data:")):
            found.append(f"asks the network for {request.url}")

    page.on("request", request)
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url[:80]}"))
    page.goto(report.resolve().as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    measured = page.evaluate(MEASURE)
    if measured["wide"] > 0:
        found.append(f"scrolls sideways, by {measured['wide']} px")
    for picture in measured["pictures"]:
        name = picture["alt"][:40] or picture["source"][:40]
        if not picture["whole"]:
            found.append(f"broken picture: {name}")
        if len(picture["alt"]) < 20:
            found.append(f"picture without words: {name}")
        size = smallest_type(picture["source"]) * picture["scale"]
        if size < 7:
            found.append(f"type of {size:.1f} px in: {name}")
    if measured["pictures"]:
        paper = tuple(map(int, re.findall(r"\d+", measured["paper"])))
        corner = corner_of(page.locator("img").first.screenshot())
        if max(abs(a - b) for a, b in zip(paper, corner, strict=True)) > 3:
            found.append(f"a picture on {corner}, on a page of {paper}")
    page.close()
    return found


def corner_of(png):
    """The colour of a picture's corner."""
    return Image.open(io.BytesIO(png)).convert("RGB").getpixel((2, 2))


def smallest_type(source: str) -> float:
    """The smallest type in an SVG picture, in its own units; infinite in other pictures."""
    kind, _, content = source.partition(";base64,")
    if kind != "data:image/svg+xml":
        return float("inf")
    svg = base64.b64decode(content).decode()
    sizes = re.findall(r"font(?:-size)?: ?(?:\w+ )*([\d.]+)px", svg)
    # Matplotlib gives the size in points, and type in units of the view box, one a point.
    return min(map(float, sizes), default=float("inf")) * 4 / 3

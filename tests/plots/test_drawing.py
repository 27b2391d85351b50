"""One drawing for both themes, and the themes as a colour-blind reader sees them."""

import base64
import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from backhand import plots
from backhand.plots.drawing import DASHES, SERIES, THEMES
from tests.plots.words import count, words

# From linear RGB to what people see who lack a kind of cone (Machado, Oliveira, Fernandes, 2009).
EYES = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
NAMES = [name for name in THEMES["light"] if THEMES["light"][name] in SERIES]


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    f = np.cbrt(np.clip(TO_XYZ @ rgb / [0.9505, 1.0, 1.089], 1e-9, None))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    """WCAG's contrast ratio."""
    light, dark = sorted((linear(c) @ TO_XYZ[1] + 0.05 for c in (a, b)), reverse=True)
    return light / dark


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("eye", EYES)
def test_neighbouring_series_differ_in_colour_and_dash(theme, eye):
    """The first four: more are rarely drawn together. ΔE above 10 is plain at a glance."""
    series = [THEMES[theme][name] for name in NAMES[:4]]
    seen = [lab(np.clip(EYES[eye] @ linear(colour), 0, 1)) for colour in series]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 10
    assert len(set(map(str, DASHES))) == len(NAMES) == 6


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_ink_and_lines_stand_out_from_the_paper(theme):
    assert contrast(theme["ink"], theme["paper"]) > 7
    assert contrast(theme["rust"], theme["paper"]) > 4.5
    assert min(contrast(theme[name], theme["paper"]) for name in NAMES) > 2


def panel(axes):
    axes.plot([0, 1], [0, 1], label="a")
    axes.plot([0, 1], [1, 0], label="b")
    plots.tint(axes, np.array([[0.0, 0.5], [1.0, np.nan]]), plots.SERIES[2], (0, 1, 0, 1))
    axes.set_title("a title")
    axes.legend()


@pytest.fixture(scope="module")
def drawing():
    return plots.draw(panel, "Two lines, & a square.", 2, 2)


def test_the_svg_has_the_colours_of_both_themes_and_uses_them_by_name(drawing):
    style, rest = re.fullmatch("(?s).*?<style>(.*?)</style>(.*)", drawing.svg).groups()
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for css, theme in ((light, THEMES["light"]), (dark, THEMES["dark"])):
        assert dict(re.findall(r"--(\w+):(#\w+)", css)) == theme
    used = set(re.findall(r"(?<!flood-color:)var\(--(\w+)\)", rest))
    assert used == {"ink", "paper", "blue", "red"}
    assert not re.findall("#[0-9a-f]{6}", rest)
    assert {"a title", "a", "b"} <= words(drawing)


def test_a_raster_has_the_themes_colour_by_a_filter(drawing):
    assert count(drawing, "image") == 1
    assert re.search('<image [^>]*class="tint green"', drawing.svg)
    assert ".tint.green{filter:url(#green)}" in drawing.svg
    assert '<feFlood style="flood-color:var(--green)"/>' in drawing.svg


def test_the_same_picture_is_the_same_file(drawing):
    assert plots.draw(panel, drawing.alt, 2, 2) == drawing
    assert not re.findall(r' d="[^"]*\.\d{3}', drawing.svg)


def test_it_needs_no_other_file(drawing):
    html = drawing.html()
    assert html.startswith('<figure><img src="data:image/svg+xml;base64,')
    assert 'alt="Two lines, &amp; a square."' in html
    assert base64.b64decode(re.search('base64,([^"]+)', html)[1]).decode() == drawing.svg
    assert drawing.html(wide=True).startswith('<figure class="wide">')


def test_a_notebook_shows_it(drawing):
    assert drawing._repr_html_() == drawing.html()
    assert repr(drawing) == drawing.alt


def test_a_legend_below_makes_the_picture_higher():
    def height(*names):
        def panel(axes):
            for name in names:
                axes.plot([0], [0], label=name)

        svg = plots.draw(panel, ".", 3, 2).svg
        return float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1]) / 72

    assert height() == pytest.approx(2)
    assert height("a", "b") == pytest.approx(2.2)
    assert height("a long label of 22 chars", "another one, as long as") == pytest.approx(2.4)

"""The themes, as a colour-blind reader sees them."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from backhand.plots.drawing import THEMES

# From linear RGB to what people see who lack one kind of cone, wholly (Machado, Oliveira and Fernandes, 2009).
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(np.clip(xyz / [0.9505, 1.0, 1.089], 1e-9, None))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    """WCAG's contrast ratio."""
    light, dark = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (a, b)), reverse=True)
    return light / dark


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("eye", EYES)
def test_neighbouring_series_differ_in_colour_and_dash(theme, eye):
    """The first four: more are rarely drawn together. ΔE above 10 is plain at a glance."""
    series = list(THEMES[theme]["axes.prop_cycle"])[:4]
    seen = [lab(np.clip(EYES[eye] @ linear(style["color"]), 0, 1)) for style in series]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 10
    assert len({str(style["linestyle"]) for style in series}) == len(series)


@pytest.mark.parametrize("theme", THEMES)
def test_ink_and_lines_stand_out_from_the_paper(theme):
    with mpl.rc_context(THEMES[theme]):
        paper = mpl.rcParams["figure.facecolor"]
        assert contrast(mpl.rcParams["text.color"], paper) > 7
        for style in mpl.rcParams["axes.prop_cycle"]:
            assert contrast(style["color"], paper) > 2

import numpy as np
import pytest

from backhand import plots
from tests.plots.test_plots import text

GRID = np.linspace(-3, 3, 9)
NAN = np.full(9, np.nan)
OUTLIER = np.arange(9) == 4
FITS = {"squared error": GRID + 0.5, "absolute error": GRID}


def curve(fits=FITS, outlier=OUTLIER):
    return plots.curve_fits((GRID, GRID + 2 * outlier), outlier, GRID, GRID, fits, "line, 10% outliers")


def surface(fits):
    clean = GRID[:, None] / 3 + 0 * GRID
    points = np.stack([GRID, -GRID], 1)
    return plots.surface_fits((points, GRID / 3), OUTLIER, (GRID, GRID), clean, fits(clean), "plane")


DRAWINGS = {
    "curve": curve,
    "curve without outliers": lambda: curve(outlier=OUTLIER & False),
    "curve that diverged": lambda: curve({"squared error": NAN}),
    "surface": lambda: surface(lambda clean: {"squared error": clean + 0.1, "absolute error": clean}),
    "surface that diverged": lambda: surface(lambda clean: {"squared error": clean * np.nan}),
    "residuals": lambda: plots.residuals({"squared error": (GRID, GRID)}, "left over", "x", "y − fit"),
    "residuals that are not finite": lambda: plots.residuals({"a": (GRID, NAN)}, "left over", "x", "y − fit"),
    "dots": lambda: plots.dots({"ours": [1.0, 3.0], "theirs": [2.0, 2.5]}, "R²", "R² on the fold"),
    "dots on a log axis": lambda: plots.dots({"ours": [0.03, 0.4]}, "RMSE", "RMSE", (0.02, 0.5)),
    "dots and marks": lambda: plots.dots(
        {"ours": [1.0, 3.0], "theirs": [2.0, 2.5]}, "error", "%", None, ("published", {"theirs": 4.7})
    ),
    "a dot": lambda: plots.dots({"ours": [1.0]}, "R²", "R²"),
    "predictions": lambda: plots.predictions(GRID, -GRID, "ours", "progression", (-4, 4)),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_two_themes_the_same_words(name):
    drawing = DRAWINGS[name]()
    assert text(drawing.light) == text(drawing.dark)
    assert drawing.light != drawing.dark
    assert drawing.alt.endswith(".")


def test_what_is_named_and_said():
    drawing = DRAWINGS["curve"]()
    assert {"data", "outliers", "clean curve", "squared error", "absolute error", "x", "y"} <= text(
        drawing.light
    )
    assert "squared error is 0.5 off the clean values" in drawing.alt
    assert "outliers" not in text(DRAWINGS["curve without outliers"]().light)
    drawing = DRAWINGS["surface"]()
    assert {"clean surface", "squared error", "absolute error", "fit − clean", "y"} <= text(drawing.light)
    assert "squared error is 0.1 off" in drawing.alt
    assert "squared error mean 0, sd 1.94" in DRAWINGS["residuals"]().alt
    assert "ours 2 ± 1.4; theirs 2.25 ± 0.35" in DRAWINGS["dots"]().alt
    assert {"0.05", "0.1", "0.2", "0.5"} <= text(DRAWINGS["dots on a log axis"]().light)
    assert "correlation -1.00" in DRAWINGS["predictions"]().alt
    assert "ours 1." in DRAWINGS["a dot"]().alt  # alone it strays from nothing
    marked = DRAWINGS["dots and marks"]()
    assert "published" in text(marked.light)
    assert "ours 2 ± 1.4; theirs 2.25 ± 0.35, published 4.7." in marked.alt

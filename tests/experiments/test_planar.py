import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backhand import runs
from backhand.training.progress import Progress
from experiments import planar

QUICK = {"hidden": (6, 3), "epochs": 4, "seeds": 2}


def carry_out(config: planar.Config) -> runs.Run:
    run = runs.Run.start("planar", config)
    planar.run(config, run)
    run.finish("finished", 1.0)
    return run


def accuracies(dataset, tmp_path, **changes):
    """Validation accuracies of the default net, seed by seed, without the pictures."""
    config = planar.Config(dataset=dataset, seeds=2, out=tmp_path, **changes)
    results: list = []
    sets = [planar.draw(config, seed) for seed in range(config.seeds)]
    planar.train(
        config, runs.Run.start("planar", config), config.hidden, sets, {}, results, Progress(config.epochs)
    )
    return results[0]["validation"]["accuracy"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    return carry_out(planar.Config(**QUICK, compare=True, out=tmp_path_factory.mktemp("planar")))


@pytest.mark.parametrize(
    ("dataset", "least"),
    [("circle", 0.97), ("xor", 0.97), ("moons", 0.97), ("spiral", 0.95), ("blobs", 0.95)],
)
def test_the_default_net_separates(dataset, least, tmp_path):
    """The bars, for two seeds in place of five."""
    assert np.mean(accuracies(dataset, tmp_path)) >= least


@pytest.mark.parametrize("dataset", ["circle", "xor"])
def test_a_line_does_not(dataset, tmp_path):
    assert np.mean(accuracies(dataset, tmp_path, hidden=())) <= 0.7


def test_nets_side_by_side_on_the_same_points(compared):
    results = compared.read_json("results.json")
    assert [(r["net"], r["parameters"]) for r in results] == [("2-1", 3), ("2-6-1", 25), ("2-6-3-1", 43)]
    assert len(compared.receipt["data_sha256"]) == len(set(compared.receipt["data_sha256"])) == 2
    records = compared.metrics()
    assert [(r["net"], r["epoch"]) for r in records] == [(r["net"], e) for r in results for e in (1, 2, 3, 4)]
    for result in results:
        last = [r for r in records if r["net"] == result["net"]][-1]
        for split in ("train", "validation"):
            assert result[split] == last[split]
            assert len(result[split]["loss"]) == len(result[split]["accuracy"]) == 2


def test_the_run_folder_is_whole(compared):
    assert {p.name for p in compared.folder.iterdir()} == {
        "config.json",
        "receipt.json",
        "metrics.jsonl",
        "results.json",
        "params.safetensors",
        "frames.safetensors",
        "figures",
        "report.html",
    }
    assert compared.arrays("params.safetensors")["2-6-3-1.2.w"].shape == (2, 6, 3)
    frames = compared.arrays("frames.safetensors")
    assert {name.split(".")[0] for name in frames} == set("01234")
    np.testing.assert_array_equal(frames["4.2.w"], compared.arrays("params.safetensors")["2-6-3-1.2.w"][0])


def test_the_report_has_every_picture_and_number(compared, faults):
    assert faults(compared.folder / "report.html") == []
    html = (compared.folder / "report.html").read_text()
    assert {p.name for p in (compared.folder / "figures").iterdir()} == {
        "boundary.gif",
        "boundary.png",
        *(f"boundary-{depth}.svg" for depth in (0, 1, 2)),
        *(f"units-{layer}.svg" for layer in (1, 2)),
        "loss.svg",
        "accuracy.svg",
    }
    assert html.count("<img") == 8
    assert len(re.findall(r'alt="[^"]{20,}"', html)) == 8
    assert html.count("data:image/gif") == html.count("data:image/png") == 2
    film = Image.open(BytesIO((compared.folder / "figures" / "boundary.gif").read_bytes()))
    assert film.n_frames == 5
    line, *_, deepest = compared.read_json("results.json")
    for result in (line, deepest):
        assert planar.percent(result, "validation") in html
    assert "percentage points from the linear net 2-1&#x27;s" in html
    assert 'make planar HIDDEN="6 3" EPOCHS="4" SEEDS="2" COMPARE="true"' in html.replace("&quot;", '"')


@pytest.mark.parametrize(
    ("line", "deep", "says"),
    [
        (
            [0.5, 0.6],
            [1.0, 0.9],
            r"perceptron's is \+40.0 ± 14.1 percentage points .* the higher in 2 of 2\.",
        ),
        ([0.6, 0.9], [0.9, 0.8], r"is \+10.0 ± 28.3 percentage points .* the higher in 1 of 2\."),
    ],
)
def test_where_the_line_fails_is_told_by_the_numbers(line, deep, says):
    results = [
        {"net": "2-1", "hidden": [], "validation": {"accuracy": line}},
        {"net": "2-4-1", "hidden": [4], "validation": {"accuracy": deep}},
    ]
    assert re.search(says, planar.comparison(results))


def test_interrupted_it_reports_on_the_epochs_that_are_done(tmp_path, monkeypatch, capsys):
    """With points from a file: three classes in units of their own, and more points than are drawn."""
    rng = np.random.default_rng(0)
    rows = [
        f"{1e6 * (k + rng.normal() / 9)},{rng.normal() / 1e6},{word}"
        for k, word in enumerate("abc")
        for _ in range(400)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["height (mm),mass (t),kind", *rows]))
    log = runs.Run.log

    def interrupted(run, **record):
        log(run, **record)
        if record["epoch"] == 3:  # which is logged, but whose parameters are not kept yet
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.Run, "log", interrupted)
    asked = {"hidden": (2,), "batch_size": 4000, "epochs": 4, "seeds": 1}
    config = planar.Config(csv=tmp_path / "mine.csv", **asked, out=tmp_path)
    run = runs.Run.start("planar", config)
    with pytest.raises(KeyboardInterrupt):
        planar.run(config, run)
    assert [(r["net"], r["epochs"]) for r in run.read_json("results.json")] == [("2-2-3", 2)]
    html = (run.folder / "report.html").read_text()
    assert "mine.csv: classes in the plane" in html
    assert "(one seed). Training ended early: the net was trained for 2 of 4 epochs." in html
    assert "Pictures show 800 training and 200 validation points of them." in html
    picture = (run.folder / "figures" / "boundary-1.svg").read_text()
    assert "height (mm)" in picture
    assert "mass (t)" in picture
    out = capsys.readouterr().out
    assert "mine.csv, one seed" in out
    assert out.splitlines()[-1].startswith("report ")


def test_coordinates_are_standardised(tmp_path):
    config = planar.Config(dataset="gauss", out=tmp_path)
    points = planar.draw(config, 0)
    z = planar.standardised(points["train"].x, points)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-6)
    grid = planar.grid(points)
    assert grid[0, 0] < z[:, 0].min() < z[:, 0].max() < grid[-1, 0]
    assert grid[0, 1] < z[:, 1].min() < z[:, 1].max() < grid[-1, 1]
    assert grid[1, 1] == grid[0, 1]  # row by row


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hidden": (8, 0)}, "hidden should be at least 1, got 0"),
        ({"hidden": (), "compare": True}, "compare needs a hidden layer to compare with none"),
        ({"classes": 3}, "classes is for blobs and spirals, got 3 with spiral"),
        (
            {"csv": Path("my.csv"), "noise": 0.1},
            "noise is for points that are drawn, not for those of my.csv",
        ),
        ({"csv": Path("my.csv"), "dataset": "xor"}, "dataset is for points that are drawn"),
        ({"learning_rate": 0.0}, "learning_rate should be above 0"),
        ({"learning_rate": 1e39}, "a number float32 can work with"),
        ({"seeds": 0}, "seeds should be at least 1, got 0"),
        ({"seed": 2**32 - 4}, r"seed should be below 2\*\*32, got 4294967292, and 4 above it"),
    ],
)
def test_a_config_that_makes_no_sense(fields, says):
    with pytest.raises(ValueError, match=says):
        planar.Config(**fields)


def test_what_the_data_refuse(tmp_path):
    for fields, says in (
        ({"size": 3}, "size should be at least 10"),
        ({"noise": -1.0}, "noise should be from 0"),
        ({"csv": tmp_path / "none.csv"}, "none.csv can't be read: No such file"),
        ({"csv": tmp_path}, "can't be read: Is a directory"),
    ):
        with pytest.raises(runs.RefusedError, match=says):
            carry_out(planar.Config(**fields, out=tmp_path / "out"))


def test_the_same_twice(compared, tmp_path):
    config = planar.Config(**QUICK, out=tmp_path)
    run = runs.Run.start("planar", config)
    planar.train(
        config, run, config.hidden, [planar.draw(config, seed) for seed in (0, 1)], {}, [], Progress(4)
    )
    name = "frames.safetensors"
    assert (run.folder / name).read_bytes() == (compared.folder / name).read_bytes()
    assert run.metrics() == compared.metrics()[-4:]

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backhand import runs
from experiments import lab

ROOT = Path(__file__).parents[2]


def small(tmp_path, **changes) -> lab.Config:
    return lab.Config(**{"hidden": (16, 8), "epochs": 2, "out": tmp_path} | changes)


def carry_out(config: lab.Config) -> runs.Run:
    run = runs.Run.start("lab", config)
    lab.run(config, run)
    run.finish("finished", 1.0)
    return run


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The default nets, for 20 epochs in float64."""
    return carry_out(lab.Config(precision="float64", epochs=20, out=tmp_path_factory.mktemp("lab")))


def test_three_depths_by_both_gradients(both):
    """The bars: on real digits the gradients agree to 1e-12, and after 20 epochs max |Δparams| ≤ 1e-9."""
    results = both.read_json("results.json")
    assert [(r["layers"], r["net"], r["parameters"]) for r in results] == [
        (1, "64-10", 650),
        (2, "64-128-10", 9610),
        (3, "64-128-64-10", 17226),
    ]
    for result in results:
        assert result["manual"] == result["autodiff"]
        assert result["gradient_difference"] <= 1e-12
        assert result["drift_params"] <= 1e-9


def test_every_epoch_is_logged(both):
    records = both.metrics()
    assert len(records) == 3 * 2 * 20
    for record in records:
        assert {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} <= record.keys()
        assert len(record["max_w"]) == record["layers"]
        assert ("drift_params" in record) == (record["gradient"] == "autodiff")


def test_the_run_folder_is_whole(both):
    assert {p.name for p in both.folder.iterdir()} == {
        "config.json",
        "receipt.json",
        "metrics.jsonl",
        "results.json",
        "params.safetensors",
        "test-probabilities.safetensors",
        "figures",
        "report.html",
    }
    assert both.arrays("params.safetensors")["3 layers.2.w"].shape == (128, 64)
    p = both.arrays("test-probabilities.safetensors")["2 layers"]
    assert p.shape == (360, 10)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_the_report_has_every_picture_and_number(both):
    html = (both.folder / "report.html").read_text()
    figures = {p.stem for p in (both.folder / "figures").iterdir()}
    kinds = ("loss", "accuracy", "max-w", "drift", "weights")
    assert figures == {f"{kind}-{depth}" for kind in kinds for depth in (1, 2, 3)} | {"confusion", "mistakes"}
    assert html.count("<img") == len(figures)
    assert len(re.findall(r'alt="[^"]{20,}"', html)) == len(figures)
    for result in both.read_json("results.json"):
        assert f"{result['manual']['test']:.2%}" in html
    assert both.receipt["params_sha256"] in html
    assert both.receipt["data_sha256"] in html


def test_the_report_in_a_browser(both, faults):
    assert faults(both.folder / "report.html") == []


def test_one_gradient_and_the_lessons_loss(tmp_path, capsys):
    chosen = {"gradient": "autodiff", "loss": "cross_entropy", "activation": "tanh", "optimizer": "momentum"}
    run = carry_out(small(tmp_path, hidden=(8,), learning_rate=0.1, **chosen))
    results = run.read_json("results.json")
    assert [sorted(r) for r in results] == [["autodiff", "layers", "net", "parameters"]] * 2
    assert "By hand and by autodiff" not in (run.folder / "report.html").read_text()
    table = [
        line for line in capsys.readouterr().out.splitlines() if not line.startswith(("report", "parameters"))
    ]
    assert len(table) > 4
    assert max(map(len, table)) <= 100


def test_accuracy_of_the_defaults(tmp_path):
    """One seed, so a little below the bars for the mean of five: 0.960, 0.975, 0.975."""
    run = carry_out(lab.Config(gradient="manual", out=tmp_path))
    for result, least in zip(run.read_json("results.json"), (0.95, 0.965, 0.965), strict=True):
        assert result["manual"]["test"] >= least


def test_training_that_diverges_stops_and_what_is_done_is_reported(tmp_path, monkeypatch):
    config = small(tmp_path)
    run = runs.Run.start("lab", config)
    train = lab.train

    def hot(config, run, digits, depth):
        if depth == 2:
            config = replace(config, activation="softplus", optimizer="sgd", learning_rate=1e30)
        return train(config, run, digits, depth)

    monkeypatch.setattr(lab, "train", hot)
    with pytest.raises(FloatingPointError, match=r"step \d .*learning rate"):
        lab.run(config, run)
    assert [result["layers"] for result in run.read_json("results.json")] == [1]
    assert "1 layer" in (run.folder / "report.html").read_text()


def test_interrupted_it_reports_on_what_is_done(tmp_path, monkeypatch):
    train = lab.train

    def interrupted(config, run, digits, depth):
        if depth == 2:
            raise KeyboardInterrupt
        return train(config, run, digits, depth)

    monkeypatch.setattr(lab, "train", interrupted)
    config = small(tmp_path)
    run = runs.Run.start("lab", config)
    with pytest.raises(KeyboardInterrupt):
        lab.run(config, run)
    assert len(run.read_json("results.json")) == 1
    assert "1 layer" in (run.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hidden", (16, 0), "hidden should be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate should be above 0, got 0.0"),
        ("learning_rate", -1.0, "got -1.0"),
        ("learning_rate", 1e39, "a number float32 can work with, got 1e\\+39"),
        ("learning_rate", float("nan"), "learning_rate should be finite, got nan"),
        ("batch_size", 0, "batch_size should be at least 1, got 0"),
        ("epochs", 0, "epochs should be at least 1, got 0"),
        ("seed", -1, "seed should be at least 0, got -1"),
        ("seed", 2**32, "seed should be below"),
    ],
)
def test_a_config_that_makes_no_sense(field, value, says):
    with pytest.raises(ValueError, match=says):
        lab.Config(**{field: value})


def test_a_batch_larger_than_the_data(tmp_path):
    with pytest.raises(runs.RefusedError, match="at most 1257, all training digits, got 5000"):
        carry_out(small(tmp_path, batch_size=5000))


def test_the_same_command_twice_in_fresh_processes(tmp_path):
    """The bar: equal digests of the parameters, and equal metrics, byte for byte.

    The second is watched on a terminal, which shows its progress; what goes to a file has no control codes.
    """
    command = [sys.executable, "experiments/lab.py", "--hidden", "--epochs", "3", "--gradient", "manual"]
    terminal, its_end = os.openpty()
    ends = {"a": subprocess.PIPE, "b": its_end}
    for name, end in ends.items():
        done = subprocess.run(
            [*command, "--out", str(tmp_path / name)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            stderr=end,
        )
        assert b"\x1b" not in done.stdout + (done.stderr or b"")
    os.close(its_end)
    seen = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert re.search(r"epoch 3/3  \d+ s left  loss 0\.", seen)
    assert "accuracy 0." in seen
    (a,), (b,) = ((tmp_path / name).iterdir() for name in "ab")
    digests = [json.loads((run / "receipt.json").read_text())["params_sha256"] for run in (a, b)]
    assert digests[0] == digests[1]
    for name in ("metrics.jsonl", "results.json", "params.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()

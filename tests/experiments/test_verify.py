import contextlib
import io

import jax
import numpy as np
import pytest

from backhand import linear, relu, runs, serial, softmax, softmax_cross_entropy, tanh
from backhand.verify.catalogue import Entry
from experiments import verify
from tests.verify.rules import wrong

X = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)


WRONG = wrong(tanh, lambda dp, dx: (dp, 2 * dx))._replace(name="mine")


@contextlib.contextmanager
def checking(**entries):
    """A catalogue of these alone, and no nets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "catalogue", lambda seed: entries)
        patch.setattr(verify, "nets", dict)
        patch.setattr(verify, "DTYPES", ("float32",))
        yield


@pytest.fixture(scope="module")
def one_wrong(tmp_path_factory):
    """A run on one layer that is right and one that is wrong, and what it printed."""
    run = runs.Run.start("verify", config := verify.Config(out=tmp_path_factory.mktemp("verify")))
    printed = io.StringIO()
    with (
        checking(**{"tanh 3×2": Entry("tanh", tanh, (X,)), "wrong 3×2": Entry("tanh", WRONG, (X,))}),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit) as exit_,
    ):
        verify.run(config, run)
    assert exit_.value.code == 1
    return run, printed.getvalue()


def test_all_right(tmp_path, capsys):
    config = verify.Config(seed=3, out=tmp_path)
    run = runs.Run.start("verify", config)
    with checking(**{"tanh 3×2": Entry("tanh", tanh, (X,))}):
        verify.run(config, run)
    printed = capsys.readouterr().out
    assert "All 1 subjects are right." in printed
    assert "right" in next(line for line in printed.splitlines() if "tanh 3×2" in line)
    assert max(map(len, printed.splitlines()[:-1])) <= 100  # all but the report's path
    assert "make verify SEED=&quot;3&quot;" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_report_in_a_browser(one_wrong, faults):
    assert faults(one_wrong[0].folder / "report.html") == []


def test_one_wrong(one_wrong):
    run, printed = one_wrong
    assert "1 of 2 subjects are WRONG: wrong 3×2." in printed
    assert "dx is 2× what jax.vjp gives" in printed
    row = next(line for line in printed.splitlines() if "wrong 3×2" in line)
    assert "✗" in row
    assert row.rstrip().endswith("WRONG")
    results = {r["subject"]: r["ok"] for r in run.read_json("results.json")}
    assert results == {"tanh 3×2": True, "wrong 3×2": False}
    assert {(r["subject"], r["ok"]) for r in run.metrics()} >= {("wrong 3×2", False), ("wrong 3×2", True)}
    assert "dx is 2× what" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_trainings_tell_a_wrong_net(monkeypatch):
    net = serial(linear(4), relu, linear(10))
    assert verify.loss_of(net) is softmax_cross_entropy
    for check in (verify.gradient(net, 0), *verify.trajectories(net, 0, steps=5)):
        assert check.ok
        assert check.figure < 1e-14
    slightly = wrong(net, lambda dparams, dx: (jax.tree.map(lambda d: d * (1 + 1e-6), dparams), dx))
    spoilt = serial(slightly, softmax)
    assert not verify.gradient(spoilt, 0).ok
    sgd, adam = verify.trajectories(spoilt, 0, steps=5)
    assert not sgd.ok
    assert adam.figure > 0


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_makes_no_sense(seed):
    with pytest.raises(ValueError, match="config: seed should be"):
        verify.Config(seed=seed)

import jax
import numpy as np
import optax
import pytest

from backhand import data, linear, relu, serial, softmax, tanh
from backhand.verify.catalogue import Entry
from experiments import verify
from tests.experiments.frame import carry_out, report_of
from tests.verify.rules import wrong

X = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
WRONG = wrong(tanh, lambda dp, dx: (dp, 2 * dx))._replace(name="mine")


@pytest.fixture(scope="module")
def one_wrong(tmp_path_factory):
    """A run on one layer that is right and one that is wrong."""
    entries = {"tanh 3×2": Entry("tanh", tanh, (X,)), "wrong 3×2": Entry("tanh", WRONG, (X,))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "catalogue", lambda seed: entries)
        patch.setattr(verify, "nets", dict)
        patch.setattr(verify, "DTYPES", ("float32",))
        return carry_out(verify, tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_one_wrong(one_wrong, faults):
    assert one_wrong.status == 1
    assert {name: r["ok"] for name, r in one_wrong.results.items()} == {
        "tanh 3×2": True, "wrong 3×2": False,
    }  # fmt: skip
    assert one_wrong.results["wrong 3×2"]["shares"]["gradient, float64, vs jax.vjp"] > 1
    assert verify.WRONG in one_wrong.html
    assert "dx is 2× what jax.vjp gives" in one_wrong.html.partition("<details>")[0]
    assert faults(one_wrong.folder / "report.html") == []


def test_the_table_names_the_check_nearest_to_its_tolerance(tmp_path):
    facts = {"ok": True, "story": "", "shares": {"gradient, float64": 0.1, "edges: ±0": 0.5}}
    report = report_of(verify, tmp_path, mine=facts)
    assert report.finding == verify.RIGHT
    assert report.table.rows == [("mine", 2, "edges", "5.0e-01", "right")]
    facts = {"ok": False, "story": "", "shares": {"gradient": np.nan, "edges": 2.0}}
    report = report_of(verify, tmp_path, mine=facts)
    assert report.finding == verify.WRONG
    assert report.table.rows[0][2:] == ("gradient", "inf", "WRONG")


@pytest.mark.slow
def test_trainings_tell_a_wrong_net(monkeypatch):
    monkeypatch.setattr(verify, "OPTIMIZERS", {"SGD": optax.sgd(0.1)})
    x, y = data.digits(0)["train"]
    x = x.astype(np.float64)
    net = serial(linear(4), relu, linear(10))
    for check in verify.trainings(net, 0, x, y, steps=5):
        assert check.ok
        assert check.figure < 1e-14

    def slightly(dparams, dx):
        return jax.tree.map(lambda d: d * (1 + 1e-6), dparams), dx

    gradient, sgd = verify.trainings(serial(wrong(net, slightly), softmax), 0, x, y, steps=5)
    assert not gradient.ok
    assert not sgd.ok

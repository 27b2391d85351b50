import json
import sys
import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backhand import data, runs
from backhand.reporting import Trained
from backhand.storage import parameters
from experiments import lecun

ROWS = ("linear", "800-elastic", "800-committee")


def small_mnist(*splits: str) -> data.Dataset:
    rng = np.random.default_rng(0)
    counts = {"train": 290, "validation": 30, "test": 40}
    drawn = {
        split: data.Split(
            rng.random((count, 784), np.float32), np.arange(count, dtype=np.int32) % 10
        )
        for split, count in counts.items()
    }
    kept = {split: drawn[split] for split in splits or counts}
    return data.Dataset("mnist", kept, tuple("0123456789"), (28, 28))


def through_the_frame(*flags: object) -> None:
    """Run the experiment as from the command line, on few pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "tfds", lambda name, data_dir, seed: small_mnist())
        patch.setattr(sys, "argv", ["lecun.py", *map(str, flags)])
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        runs.main(lecun.Config, lecun.train, lecun.report, load=lecun.load, description="")


def test_flags_change_every_row_asked_for():
    changes = {"epochs": 7, "drop_hidden": 0.5, "alpha": 30.0, "weight_decay": 0.0}
    config = lecun.Config(rows=("300", "800-elastic"), **changes)
    for name in config.rows:
        own, changed = lecun.ROWS[name].settings, config.row(name).settings
        assert (changed.epochs, changed.drop_hidden, changed.weight_decay) == (7, 0.5, 0.0)
        assert changed.distortions == {**own.distortions, "alpha": 30.0}
        assert (changed.hidden, changed.learning_rate) == (own.hidden, own.learning_rate)
    assert lecun.Config().row("300") == lecun.ROWS["300"]
    assert lecun.Config(seeds=2).row("300").seeds == 2


def test_rows_of_equal_settings_share_their_nets():
    config = lecun.Config(rows=ROWS, seeds=2, seed=3)
    assert config.nets("linear") == [("linear", 3), ("linear", 4)]
    assert config.nets("800-elastic") == [("800-elastic", 3), ("800-elastic", 4)]
    assert config.nets("800-committee") == [("800-elastic", seed) for seed in range(3, 13)]
    alone = lecun.Config(rows=("800-committee",), seeds=1)
    assert alone.nets("800-committee")[0] == ("800-committee", 0)


def test_every_row_trains_the_net_it_is_named_for():
    assert list(lecun.ROWS) == list(lecun.RowName.__args__)
    assert lecun.Config().rows == tuple(lecun.ROWS)
    for name, row in lecun.ROWS.items():
        settings, first = row.settings, name.split("-")[0]
        hidden = {"linear": (), "3x1024": (1024,) * 3}.get(first)
        if hidden is None:
            hidden = tuple(int(word) for word in name.split("-") if word.isdigit())
        assert settings.hidden == hidden, name
        assert row.seeds >= (5 if sum(hidden) < 700 else 3), name
        distorted = ("distorted", "affine", "elastic", "committee")
        assert bool(settings.distortions) == any(word in name for word in distorted), name
        assert ("alpha" in settings.distortions) == (name in ("800-elastic", "800-committee"))
        assert (row.members > 1) == ("committee" in name)
        if "decay" in name:
            assert settings.weight_decay > 0
        if "dropout" in name:
            assert settings.drop_hidden > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": ()}, "rows should be one or more, each once, got none"),
        ({"rows": ("300", "300")}, "got 300 300"),
        ({"rows": ("300", "301")}, "rows should be of linear, .*, got 301"),
        ({"seeds": 0}, "seeds should be at least 1, got 0"),
        ({"epochs": -1}, "epochs should be at least 1, got -1"),
        ({"learning_rate": 0.0}, "learning_rate should be"),
        ({"weight_decay": -0.1}, "weight_decay should be"),
        ({"drop_inputs": -0.1}, "drop_inputs should be from 0 to below 1, got -0.1"),
        ({"drop_hidden": 1.0}, "drop_hidden should be from 0 to below 1, got 1.0"),
        ({"sigma": 0.0}, "distort: sigma should be"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32 - 10}, "seed"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        lecun.Config(**wrong)


def test_for_the_test_error_validation_pictures_train_too():
    mnist = small_mnist()
    x, y = lecun.training_set(lecun.Config(), mnist)
    assert len(x) == len(y) == 320
    np.testing.assert_array_equal(x[290:], mnist["validation"].x)
    np.testing.assert_array_equal(y[290:], mnist["validation"].y)
    chosen = lecun.training_set(
        lecun.Config(score="validation"), small_mnist("train", "validation")
    )
    assert len(chosen.x) == 290  # and the test set is not even there


def test_the_rate_rises_to_its_highest_and_falls_to_0():
    settings = lecun.Settings((), 10, learning_rate=0.5, batch_size=10)
    optimizer = lecun.training_of(settings, 200).optimizer  # for 200 steps, of which 10 rise
    w = jnp.zeros((), jnp.float32)

    def step(state, _):
        update, state = optimizer.update(jnp.float32(1), state, w)
        return state, -update  # Adam moves by the rate, while the gradient stays the same

    with jax.numpy_dtype_promotion("standard"):
        _, moved = jax.lax.scan(step, optimizer.init(w), length=200)
    assert moved[0] == pytest.approx(0.5 / 25, rel=1e-3)
    assert np.argmax(moved) == 10
    assert moved[10] == pytest.approx(0.5, rel=1e-3)
    assert moved[-1] < 0.001


def kept(stem: str, third: int) -> Trained:
    """A net that is right about a 1 and a 2, and takes a 3 for `third`, but is not sure."""
    p = np.eye(10)[[1, 2, third]]
    p[2] = 0.55 * p[2] + 0.45 * np.eye(10)[3]
    return Trained(stem, None, {}, {"p": p})


def test_a_committee_averages_probabilities_and_only_whole_ones_are_scored():
    config = lecun.Config(rows=("800-elastic", "800-committee"), seeds=2)
    y = np.array([1, 2, 3])
    nets = {f"800-elastic-{i}": kept(f"800-elastic-{i}", 2 + 2 * (i % 2)) for i in range(6)}
    elastic, committee = lecun.results_of(config, SimpleNamespace(kept=nets), y)
    assert elastic.facts["errors"].tolist() == [33.3333, 33.3333]
    assert elastic.facts["nets"] == 2
    assert committee.facts["errors"].tolist() == [0]  # of the first five; the sixth is alone yet
    np.testing.assert_allclose(committee.facts["p"][2, 2:5], [0.33, 0.45, 0.22])
    few = SimpleNamespace(kept=dict(list(nets.items())[:4]))
    assert [row.name for row in lecun.results_of(config, few, y)] == ["800-elastic"]


def row(name: lecun.RowName, *errors: float) -> Trained:
    return Trained(name, None, {}, {"row": lecun.ROWS[name], "errors": np.array(errors)})


def test_the_finding_is_chosen_by_the_numbers():
    lower, higher = row("linear", 7.4, 7.5, 7.6), row("300", 5.0, 5.1, 5.2)
    same = row("800-committee", 0.39, 0.39, 0.39)
    for rows, says in [
        ([lower], "every net makes clearly fewer errors"),
        ([higher], "Every net makes clearly more errors"),
        ([same], "No net's error differs clearly"),
        (
            [lower, same],
            "Some nets make clearly fewer errors than their lines of LeCun's table, none more",
        ),
        ([lower, higher], "Some nets make clearly more errors"),
        ([row("linear", 7.4)], "Trained once, a net can't show"),
    ]:
        assert says in lecun.beats_published(rows).verdict


def test_an_error_as_low_as_published_is_not_lower():
    p, y = np.repeat(np.eye(10)[:1], 10_000, axis=0), np.zeros(10_000, np.int32)
    y[:39] = 1
    assert lecun.error(p, y) == lecun.ROWS["800-committee"].published


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that was interrupted in its third net, and resumed."""
    out = tmp_path_factory.mktemp("lecun")
    keep = runs.Run.keep

    def interrupted(run, name, *args, **facts):
        if name == "800-elastic-1":
            raise KeyboardInterrupt
        return keep(run, name, *args, **facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.Run, "keep", interrupted)
        with pytest.raises(SystemExit):
            through_the_frame("--rows", *ROWS, "--seeds", 1, "--epochs", 2, "--out", out)
    (folder,) = out.glob("lecun/*")
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["linear-0", "800-elastic-0"]
    through_the_frame("--resume", folder)
    return folder


@pytest.mark.slow
def test_the_nets_that_are_kept_make_the_errors_of_the_report(done, faults):
    x, y = small_mnist()["test"]
    results = json.loads((done / "results.json").read_text())
    assert list(results) == ["linear-0", *(f"800-elastic-{number}" for number in range(5))]
    arrays, _ = parameters.read(done / "params.safetensors")
    p = []
    for stem, facts in results.items():
        net = lecun.network(lecun.ROWS[stem[:-2]].settings)
        form = jax.eval_shape(net.init, jax.random.key(0), x)
        params = parameters.arrays_as(form, arrays, f"{stem}.")
        p.append(np.asarray(jax.nn.softmax(net.apply(params, x))))
        assert facts["error"] == pytest.approx(100 * np.mean(p[-1].argmax(1) != y))
        assert facts["settings"]["epochs"] == 2
    report = (done / "report.html").read_text()
    committee = 100 * np.mean(np.mean(p[1:], axis=0).argmax(1) != y)
    assert (
        f'>{lecun.ROWS["800-committee"].published:.2f}</td><td class="number">{committee:.2f}<'
        in report
    )
    assert faults(done / "report.html") == []

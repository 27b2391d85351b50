import json
import math
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from backhand import Linear, runs
from backhand.runs.comparison import UNLIKE, read_json
from backhand.storage import atomic, parameters
from tests.runs.toys import Config

W = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
T = 2**-11.5  # √ε of float32


def carry_out(out, w=W, losses=(0.5, 0.25), **settings):
    run = runs.Run.start("toy", Config(out=out, **settings))
    run.data("d")
    for epoch, loss in enumerate(losses, start=1):
        run.log(epoch=epoch, loss=loss, seconds=0.1 * epoch)
    run.keep("net", (Linear(w, np.zeros(3, np.float32)),), loss=losses[-1], word="good")
    run.save_kept()
    half = {"half": np.asarray(jnp.ones(2, jnp.bfloat16))}
    run.write("one.safetensors", parameters.encode(half))
    run.finish("finished", 1.0)
    return run.folder


@pytest.fixture
def pair(tmp_path):
    a = carry_out(tmp_path / "a")
    return a, Path(shutil.copytree(a, tmp_path / "b"))


def edit(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def test_a_run_and_its_copy(pair):
    found = runs.diff(*pair)
    assert found.same
    assert not found.environment
    assert str(found) == "no difference"
    assert runs.diff(str(pair[0]), pair[0]).same


def test_all_that_differs_is_named(tmp_path):
    w = W.copy()
    w[1, 2] += 0.5
    a = carry_out(tmp_path / "a")
    b = carry_out(tmp_path / "b", w, (0.5, 0.75, math.nan), hidden=(5, 2))
    versions = json.loads((a / "receipt.json").read_text())["versions"]
    other = {"versions": versions | {"jax": "0.9"}, "data_sha256": "e"}
    edit(b / "receipt.json", lambda receipt: receipt | other)
    found = runs.diff(a, b)
    assert not found.same
    assert found.config == {"hidden": ([4, 2], [5, 2])}
    assert found.environment == {"versions.jax": (versions["jax"], "0.9")}
    assert found.digests.keys() == {"data_sha256", "params_sha256"}
    assert found.results == {
        "metrics.2.loss": (0.5, 0.5, T),
        "params/net.0.w": (0.5, 0.5 / 6.5, T),
        "results.net.loss": UNLIKE,
        "metrics.3.epoch": UNLIKE,
        "metrics.3.loss": UNLIKE,
    }
    for words in (
        *(
            "hidden: [4, 2] and [5, 2]",
            "versions.jax: ",
            "from record 2",
            "params/net.0.w: 5.0e-01 apart",
        ),
        *("metrics.3.loss: not measurable: missing in one", "results.net.loss: not measurable"),
    ):
        assert words in str(found)


@pytest.mark.parametrize(
    "name", ["receipt.json", "metrics.jsonl", "params.safetensors", "results.json"]
)
def test_what_one_lacks(pair, name):
    a, b = pair
    (b / name).unlink()
    stem = name.split(".")[0]
    for found in (runs.diff(a, b), runs.diff(b, a)):
        assert {UNLIKE} == {v for k, v in found.results.items() if k.startswith(stem)}
        assert not found.same


def test_bits_count(pair):
    a, b = pair
    arrays = {"net.0.w": W, "net.0.b": -np.zeros(3, np.float32)}
    atomic.write(b / "params.safetensors", parameters.encode(arrays))
    edit(b / "results.json", lambda r: {"net": r["net"] | {"loss": 0.25 + 2**-54}})
    assert runs.diff(a, b).results == {
        "params/net.0.b": (0.0, 0.0, T),
        "results.net.loss": (2**-54, 2**-54, T),
    }
    edit(b / "results.json", lambda r: {"net": {"loss": True, "word": "bad"}})
    assert {"results.net.loss", "results.net.word"} <= runs.diff(a, b).results.keys()


@pytest.mark.parametrize(
    ("theirs", "apart"),
    [
        (np.full((2, 3), np.nan, np.float32), UNLIKE),
        (np.where(W == 6, np.inf, W).astype(np.float32), UNLIKE),
        (W[:1], UNLIKE),
        (W.astype(np.float64), UNLIKE),
        (np.zeros((2, 3), np.float32), (6.0, 1.0, T)),
    ],
)
def test_arrays_that_are_far_apart(pair, theirs, apart):
    a, b = pair
    atomic.write(
        b / "params.safetensors", parameters.encode({"net.0.w": theirs, "net.0.b": W[0] * 0})
    )
    assert runs.diff(a, b).results == {"params/net.0.w": apart}


def test_how_long_it_took_is_not_compared(pair):
    a, b = pair
    (b / "metrics.jsonl").write_text((b / "metrics.jsonl").read_text().replace("0.1", "0.3"))
    edit(
        b / "results.json", lambda r: {"net": r["net"] | {"times": {"ratio": 2.0}, "seconds": [1]}}
    )
    atomic.write(
        b / "arrays.safetensors", parameters.encode({"net.seconds": W, "net.times.median": W})
    )
    (b / "times.json").write_text('{"median": 1}')
    assert runs.diff(a, b).same
    edit(b / "results.json", lambda r: {"net": r["net"] | {"timestamp": 1}})
    assert runs.diff(a, b).results == {"results.net.timestamp": UNLIKE}


def test_checkpoints_are_not_results(pair):
    (pair[1] / "checkpoints" / "net").mkdir(parents=True)
    (pair[1] / "checkpoints" / "net" / "state.json").write_text("{")
    assert runs.diff(*pair).same


def test_circumstances_of_every_sitting_count(pair):
    a, b = pair
    edit(b / "receipt.json", lambda r: r | {"earlier": [{"cores": 77, "started": "before"}]})
    (values,) = runs.diff(a, b).environment.values()
    assert 77 in values[1]


def test_how_a_training_ended_is_compared_by_its_digests(pair):
    a, b = pair
    for folder, digest in zip(pair, "xy", strict=True):
        ending = {"step": 9, "opt_state_sha256": digest}
        trainings = {"net": {"params_sha256": "p"} | ending}
        edit(folder / "receipt.json", lambda r, t=trainings: r | {"trainings": t})
    found = runs.diff(a, b)
    assert found.environment == {}
    assert found.digests == {"trainings.net.opt_state_sha256": ("x", "y")}
    edit(a / "receipt.json", lambda r: {k: v for k, v in r.items() if k != "trainings"})
    assert runs.diff(a, b).same  # nothing is known of a digest that one lacks


def test_a_folder_without_a_run(tmp_path, pair):
    with pytest.raises(ValueError, match="nowhere holds no run"):
        runs.diff(pair[0], tmp_path / "nowhere")


DAMAGE = {"cut": b"{", "bytes": b"\xff\xfe", "deep": b"[" * 100_000, "long": b"1" * 10_000}


@pytest.mark.parametrize("name", ["receipt.json", "config.json", "results.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_named(pair, name, content):
    (pair[1] / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        runs.diff(*pair)


@pytest.mark.parametrize("content", ["[]", "null", '"receipt"', "1e999"])
def test_a_receipt_is_an_object(pair, content):
    (pair[1] / "receipt.json").write_text(content)
    with pytest.raises(ValueError, match=r"receipt\.json should hold a JSON object"):
        runs.diff(*pair)


@pytest.mark.parametrize("value", [{}, [], 10**400, "\x1b[2J" * 99, {"a": [{}, None]}, -1e999])
@pytest.mark.parametrize(
    "field", ["versions", "earlier", "trainings", "experiment", "data_sha256", "x\x1b[2J"]
)
def test_a_receipt_may_say_anything(pair, field, value):
    edit(pair[1] / "receipt.json", lambda r: r | {field: value})
    account = str(runs.diff(*pair))
    assert "\x1b" not in account
    assert len(account) < 3000


def test_numbers_beyond_floats(pair):
    edit(pair[1] / "results.json", lambda r: {"net": r["net"] | {"loss": 10**400}})
    assert runs.diff(*pair).results["results.net.loss"].absolute == math.inf


def test_a_damaged_file_of_parameters_is_named(pair):
    path = pair[1] / "params.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"params\.safetensors is not a whole file"):
        runs.diff(*pair)


def test_nothing_outside_the_folder_is_read(pair, tmp_path):
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (pair[1] / "other.json").symlink_to(tmp_path / "secret.json")
    assert runs.diff(*pair).same
    for name in ("receipt.json", "config.json"):
        shutil.move(pair[1] / name, tmp_path / name)
        (pair[1] / name).symlink_to(tmp_path / name)
        with pytest.raises(ValueError, match="should be a file"):
            read_json(pair[1] / name)
    with pytest.raises(ValueError, match="holds no run"):
        runs.diff(*pair)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_what_never_ends_is_not_read(pair):
    (pair[1] / "config.json").unlink()
    os.mkfifo(pair[1] / "config.json")
    with pytest.raises(ValueError, match=r"config\.json should be a file"):
        read_json(pair[1] / "config.json")
    with pytest.raises(ValueError, match="holds no run"):
        runs.diff(*pair)


@pytest.mark.parametrize("name", ["receipt.json", "results.json", "metrics.jsonl"])
def test_what_is_too_long_is_not_read(pair, name):
    os.truncate(pair[1] / name, 2**40)  # of holes
    with pytest.raises(ValueError, match=f"{name} is too long to compare: 1,099"):
        runs.diff(*pair)


def test_many_sittings_take_no_longer_each(pair):
    sittings = [{"cores": 7 + n} for n in range(50_000)]
    edit(pair[1] / "receipt.json", lambda r: r | {"earlier": sittings})
    (values,) = runs.diff(*pair).environment.values()
    assert len(values[1]) == 50_001


def test_an_account_is_short(pair):
    edit(pair[1] / "results.json", lambda r: r | {f"net {n:02}": {"loss": n} for n in range(99)})
    *_, last, more = str(runs.diff(*pair)).splitlines()
    assert last.startswith("results      results.net 04.loss: not measurable")
    assert more == "results      and 94 more"


@pytest.mark.parametrize(
    ("dtype", "excess"),
    [("float32", 2**8.5), ("float64", 2**23), ("bfloat16", 2**0.5), ("int32", math.inf)],
)
def test_how_many_tolerances_apart(pair, dtype, excess):
    for folder, value in zip(pair, (8, 7), strict=True):
        arrays = {"a": np.asarray([value], dtype)}
        atomic.write(folder / "one.safetensors", parameters.encode(arrays))
    assert runs.diff(*pair).results["one/a"].excess == pytest.approx(excess)


@pytest.mark.parametrize(("a", "b"), [(0.25, 0.5), (25, 50.0), (-25.0, 25.0)])
def test_how_many_tolerances_apart_numbers_are(pair, a, b):
    """Relative to their size, or to 1."""
    for folder, value in zip(pair, (a, b), strict=True):
        (folder / "one.json").write_text(json.dumps({"a": value}))
    wanted = abs(a - b) / max(abs(b), 1) / T
    assert runs.diff(*pair).results["one.a"].excess == pytest.approx(wanted)

import getpass
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from backhand.runs import receipt

EXPERIMENT = """
from dataclasses import dataclass
from pathlib import Path

import jax

from backhand import runs

@dataclass(frozen=True)
class Config:
    seed: int = 3
    csv: Path | None = None
    out: Path = Path("out")

jax.config.update("jax_numpy_rank_promotion", "raise")
runs.main(Config, lambda config, run: None, "a toy")
"""
TOLD = {
    "XLA_FLAGS": "--xla_dump_to=/somewhere/of mine/dump  --xla_cpu_max_isa=AVX2",
    "JAX_COMPILATION_CACHE_DIR": "/somewhere/cache",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_X64": "1",
    "NPROC": "1",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The receipt, as text, of an experiment in a process that was told much."""
    folder = tmp_path_factory.mktemp("a place")
    (folder / "toy.py").write_text(EXPERIMENT)
    command = [sys.executable, folder / "toy.py", "--csv", folder / "points.csv", "--out", folder / "out"]
    # PYTHONPATH is of this process, which may have been told of backhand so.
    subprocess.run(
        command, cwd=folder, check=True, env=os.environ | TOLD | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    (path,) = folder.glob("out/*/receipt.json")
    return path.read_text(encoding="utf-8"), folder


def test_what_it_says(told):
    said = json.loads(told[0])
    assert said["command"] == "python toy.py --csv points.csv"
    assert said["flags"] == ["--csv", "points.csv"]
    assert (said["seed"], said["prng"]) == (3, "rbg")
    assert said["versions"]["jax"] == jax.__version__
    assert said["versions"]["python"] == platform.python_version()
    assert said["xla_flags"] == "--xla_dump_to=dump --xla_cpu_max_isa=AVX2"
    assert said["jax_config"] == {
        "jax_compilation_cache_dir": "cache",
        "jax_default_prng_impl": "rbg",
        "jax_enable_x64": "True",
        "jax_numpy_rank_promotion": "raise",
    }
    assert said["cpu"]
    assert said["started"] <= said["ended"]
    assert said["seconds"] >= 0


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system does not say which CPUs are used"
)
def test_it_counts_what_the_process_may_use(told):
    said = json.loads(told[0])
    assert said["cores"] == len(os.sched_getaffinity(0))
    assert said["affinity"].split() == [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    assert said["threads"] == {"xla": 1, "nproc": "1"}


def test_no_place_and_no_name(told):
    text, folder = told
    for word in (str(folder), folder.name, str(Path.home()), "somewhere", "mine", platform.node()):
        assert word not in text
    assert f"/{getpass.getuser()}" not in text
    assert '"/' not in text


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/home/joe/x.py", "x.py"),
        ("--csv=/home/joe and ann/x.csv", "--csv=x.csv"),
        ("to:/home/joe/x:/home/ann/y", "to:y"),
        (r"C:\Users\joe\x.py", "x.py"),
        ("experiments/lab.py", "experiments/lab.py"),
        ("../lab.py", "../lab.py"),
        ("--learning-rate=1e-3", "--learning-rate=1e-3"),
        ("784/10", "784/10"),
    ],
)
def test_paths_are_cut_to_their_last_part(word, kept):
    assert receipt._less_folders(word) == kept


@pytest.mark.parametrize("place", ["--out", "--data-dir", "--data_dir", "--resume"])
def test_places_are_left_out(place):
    for words in ([place, "/home/joe"], [f"{place}=joe"]):
        assert receipt._placeless(["lab.py", *words, "--batch-size", "8"]) == ["lab.py", "--batch-size", "8"]


def test_another_source_shows(tmp_path, monkeypatch):
    script = tmp_path / "toy.py"
    monkeypatch.setattr(sys, "argv", [str(script)])
    digests = []
    for source in ("a = 1", "a = 2", "a = 1"):
        script.write_text(source)
        digests.append(receipt.circumstances()["source_sha256"])
    assert digests[0] == digests[2] != digests[1]

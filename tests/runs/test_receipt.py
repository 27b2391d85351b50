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
from backhand.runs.command_line import use_compilation_cache

EXPERIMENT = """
import jax
from tests.runs.toys import Config
from backhand import runs

jax.config.update("jax_numpy_rank_promotion", "raise")
runs.main(Config, lambda config, run: jax.jit(lambda x: x + 1)(1.0), description="a toy")
"""
GIVEN = {
    "XLA_FLAGS": "--xla_dump_to=/somewhere/of mine/dump  --xla_cpu_max_isa=AVX2",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_X64": "1",
    "JAX_LOG_COMPILES": "0",
    "NPROC": "1",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """The receipt, as text, of an experiment in a process that was given much; its folder."""
    folder = tmp_path_factory.mktemp("a place")
    (folder / "toy.py").write_text(EXPERIMENT)
    words = ["--csv", folder / "points.csv", "--out", folder / "out"]
    given = GIVEN | {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"} | given
    subprocess.run(
        [sys.executable, folder / "toy.py", *words], cwd=folder, check=True, env=environment
    )
    (path,) = folder.glob("out/toy/*/receipt.json")
    return path.read_text(encoding="utf-8"), folder


def test_what_it_says(process):
    found = json.loads(process[0])
    assert found["experiment"] == "toy"
    assert found["config"]["csv"] == "points.csv"
    assert found["versions"].keys() == {"python", *receipt.PACKAGES}
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"]["python"] == platform.python_version()
    assert found["device"]["count"] >= 1
    assert found["xla_flags"] == "--xla_dump_to=dump --xla_cpu_max_isa=AVX2"
    assert found["jax_config"] == {
        "jax_default_prng_impl": "rbg",
        "jax_enable_x64": "True",
        "jax_log_compiles": "False",
        "jax_numpy_rank_promotion": "raise",
    }
    assert found["cpu"]
    assert found["started"] <= found["ended"]
    assert found["seconds"] >= 0


def test_what_was_compiled_is_in_the_users_cache(process):
    assert list((process[1] / "backhand" / "jax").glob("jit__lambda*"))


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say which CPUs are used")
def test_it_counts_what_the_process_may_use(process):
    found = json.loads(process[0])
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["threads"] == {"nproc": "1"}


def test_no_folder_and_no_name(process):
    text, folder = process
    words = (str(folder), folder.name, str(Path.home()), "somewhere", "mine", platform.node())
    assert not [word for word in (*words, f"/{getpass.getuser()}", '"/') if word in text]


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
def test_of_a_path_only_the_last_part_is_kept(word, kept):
    assert receipt._nameless(word) == kept


def test_a_different_source_shows(tmp_path, monkeypatch):
    script = tmp_path / "toy.py"
    monkeypatch.setattr(sys, "argv", [str(script)])
    digests = []
    for source in ("a = 1", "a = 2", "a = 1"):
        script.write_text(source)
        digests.append(receipt.circumstances()["source_sha256"])
    assert digests[0] == digests[2] != digests[1]


def test_the_commit_of_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "toy.py")])
    assert receipt._commit() == {"commit": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    found = receipt._commit()
    assert (len(found["commit"]), found["dirty"]) == (40, False)
    (tmp_path / "toy.py").write_text("a = 1")
    assert receipt._commit() == found | {"dirty": True}


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """JAX without a compilation cache; the settings are put back afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield lambda: jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_is_in_the_users_folder(no_cache, tmp_path, monkeypatch):
    use_compilation_cache()
    assert no_cache() == str(tmp_path / "backhand" / "jax")
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    use_compilation_cache()
    assert no_cache() == str(tmp_path / "home" / ".cache" / "backhand" / "jax")


@pytest.mark.parametrize("folder", ["", "elsewhere"])
def test_the_users_own_cache_or_none_is_left_alone(no_cache, monkeypatch, folder):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
    use_compilation_cache()
    assert no_cache() is None


def test_a_cache_that_cannot_be_made_is_not_used(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    use_compilation_cache()
    assert no_cache() is None

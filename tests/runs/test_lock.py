import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from backhand import runs


@dataclass(frozen=True)
class Config:
    out: Path = Path("runs/toy")
    resume: Path | None = None


# Another process at a run: it says which, and stays.
OTHER = """
import sys, time
from pathlib import Path
sys.argv[0] = "toy.py"
from tests.runs.test_lock import Config
from backhand import runs
out = Path(sys.argv[1])
{begin}
print(run.folder, flush=True)
time.sleep(60)
"""
START = "run = runs.Run.start('toy', Config(out))"
RESUME = "run = runs.Run.resume('toy', Config(out), Path(sys.argv[2]))"


def process(begin, *args):
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER.format(begin=begin), *map(str, args)], stdout=subprocess.PIPE, text=True
    )
    return other, Path(other.stdout.readline().strip())


@pytest.mark.parametrize("begin", [START, RESUME])
def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path, begin):
    cut = runs.Run.start("toy", Config(tmp_path))
    cut.finish("interrupted", 1.0)
    other, folder = process(begin, tmp_path, cut.folder)
    try:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(
            runs.RefusedError, match=f"{folder}: the run is still going on, in another process"
        ):
            runs.Run.resume("toy", Config(tmp_path), folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    again = runs.Run.resume("toy", Config(tmp_path), folder)
    assert sorted(path.name for path in again.folder.iterdir()) == ["config.json", "receipt.json"]


RACE = """
import multiprocessing, sys
from pathlib import Path
from backhand import runs
from tests.runs.test_lock import Config

runs.run.begun = lambda name, fields: {"config": fields}  # JAX should not begin here, before the fork
fork = multiprocessing.get_context("fork")
barrier, folders = fork.Barrier(8), fork.SimpleQueue()

def start():
    barrier.wait()
    for _ in range(20):
        folders.put(runs.Run.start("toy", Config(Path(sys.argv[1]))).folder)

others = [fork.Process(target=start) for _ in range(8)]
for other in others: other.start()
print(len({folders.get() for _ in range(160)}))
for other in others: other.join()
"""


def test_runs_started_at_once_never_share_a_folder(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path / "new")], capture_output=True, text=True
    )
    assert result.stdout == "160\n", result.stderr
    assert len(list((tmp_path / "new").iterdir())) == 160

import json
import shutil
import sys
import warnings

import numpy as np
import pytest

from backhand.storage import checkpoints
from backhand.storage.checkpoints import Checkpoints

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(folder, steps=(1, 2, 3), config=None, scores=(), **options):
    saving = Checkpoints(folder, config or {"seed": 3}, **options)
    for step, score in zip(steps, [*scores, *[None] * len(steps)], strict=False):
        saving.save(step, {"w": W + step}, {"epoch": step}, score=score, wait=True)
    saving.close()
    return saving


def on_disk(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def test_what_was_saved_comes_back(tmp_path):
    written(tmp_path)
    saved = Checkpoints(tmp_path, {"seed": 3}).restore()
    assert (saved.step, saved.memory, saved.beside) == (3, {"epoch": 3}, None)
    np.testing.assert_array_equal(saved.arrays["w"], W + 3)
    assert saved.arrays["w"].dtype == np.float32


def test_nothing_there(tmp_path):
    assert Checkpoints(tmp_path / "none").restore() is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("keep", "scores", "kept"),
    [(1, (), [5]), (2, (), [4, 5]), (2, (3.0, 1.0, 2.0), [2, 4, 5]), (1, (3.0, 2.0, 1.0, 0.5, 0.1), [5])],
)
def test_the_newest_and_the_best_are_kept(tmp_path, keep, scores, kept):
    written(tmp_path, (1, 2, 3, 4, 5), scores=scores, keep=keep)
    assert on_disk(tmp_path) == kept


def test_the_best_is_known_after_a_restart(tmp_path):
    written(tmp_path, (1, 2), scores=(1.0, 2.0))
    again = Checkpoints(tmp_path, {"seed": 3})
    again.restore()
    for step in (3, 4, 5):
        again.save(step, {"w": W}, {}, score=3.0, wait=True)
    again.close()
    assert on_disk(tmp_path) == [1, 4, 5]


def damage(path, kind):
    content = path.read_bytes()
    if kind == "removed":
        path.unlink()
    elif kind == "cut short":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("kind", ["removed", "cut short", "bit flipped"])
def test_a_damaged_checkpoint_is_never_read_as_if_it_were_whole(tmp_path, kind):
    written(tmp_path / "whole")
    files = [
        path.relative_to(tmp_path / "whole")
        for path in (tmp_path / "whole" / "3").rglob("*")
        if path.is_file()
    ]
    found = 0
    for i, name in enumerate(files):
        folder = tmp_path / str(i)
        shutil.copytree(tmp_path / "whole", folder)
        if (folder / name).stat().st_size == 0 and kind != "removed":
            continue
        damage(folder / name, kind)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            saved = Checkpoints(folder, {"seed": 3}).restore()
        np.testing.assert_array_equal(saved.arrays["w"], W + saved.step)
        assert saved.memory == {"epoch": saved.step}
        if saved.step == 2:  # else the damage was to what says nothing of the arrays
            found += 1
            assert f"checkpoint {folder / '3'} is damaged" in str(said[0].message)
            assert on_disk(folder) == [2]
    assert found >= 3


def test_an_old_one_that_is_half_removed_is_not_worth_a_word(tmp_path):
    written(tmp_path)
    shutil.rmtree(tmp_path / "2" / "default")
    assert Checkpoints(tmp_path, {"seed": 3}).restore().step == 3
    assert on_disk(tmp_path) == [3]


def test_a_half_written_one_is_named_and_left_out(tmp_path):
    written(tmp_path)
    (tmp_path / "4.orbax-checkpoint-tmp-0").mkdir()
    again = Checkpoints(tmp_path, {"seed": 3})
    with pytest.warns(UserWarning, match=r"4\.orbax-checkpoint-tmp-0 is half-written"):
        assert again.restore().step == 3
    again.save(4, {"w": W}, {}, wait=True)
    again.close()
    assert not list(tmp_path.glob("*tmp*"))


def test_all_damaged(tmp_path):
    written(tmp_path, (1,))
    shutil.rmtree(tmp_path / "1" / "default")
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoints(tmp_path, {"seed": 3}).restore() is None


def test_another_config_is_refused_with_what_differs(tmp_path):
    written(tmp_path, config={"seed": 3, "hidden": [4], "rate": 0.1})
    with pytest.raises(ValueError, match=r"hidden was \[4\], and is \[5\]; seed was 3, and is None"):
        Checkpoints(tmp_path, {"hidden": (5,), "rate": 0.1}).restore()


def test_what_is_written_is_on_the_disk_when_waited_for(tmp_path):
    saving = Checkpoints(tmp_path)
    saving.save(1, {"w": W}, {}, wait=True)
    assert on_disk(tmp_path) == [1]
    saving.close()


def test_they_take_a_fiftieth_of_the_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    saving = Checkpoints(tmp_path)
    save = saving._open().save
    monkeypatch.setattr(saving._manager, "save", lambda *a, **k: (save(*a, **k), now.__setitem__(0, 100.2)))
    manager, saving._manager = saving._manager, None
    monkeypatch.setattr(saving, "_open", lambda: manager)
    saving.save(1, {"w": W}, {})  # takes 0.2 s
    saving._manager = manager
    for at, due in [(101, False), (109.9, False), (110.1, True)]:
        now[0] = at
        assert saving.due() is due
    saving.close()


def test_they_do_so_where_training_goes_on(tmp_path):
    written(tmp_path)
    again = Checkpoints(tmp_path, {"seed": 3})
    again.restore()
    again.save(3, {"w": W + 3}, {})  # is there
    assert again.due()  # how long one takes is not known yet
    again.save(4, {"w": W}, {})
    assert not again.due()
    again.close()


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
@pytest.mark.parametrize("number", ["2", "9"])
def test_what_is_no_checkpoint_is_put_out_of_the_way(tmp_path, kind, number):
    folder = tmp_path / "checkpoints"
    written(folder, (3, 4))
    if kind == "file":
        (folder / number).write_text("mine")
    else:
        (tmp_path / "mine").mkdir()
        (folder / number).symlink_to(tmp_path / ("mine" if kind == "link" else "nowhere"))
    again = Checkpoints(folder, {"seed": 3})
    with pytest.warns(UserWarning, match=f"{number} is damaged .* now called damaged-{number}-"):
        assert again.restore().step == 4
    for step in (5, 6, 9):
        again.save(step, {"w": W}, {}, wait=True)
    again.close()
    assert on_disk(folder) == [6, 9]
    assert kind == "file" or (tmp_path / "mine").exists()


@pytest.mark.parametrize("missing", ["orbax.checkpoint", "safetensors"])
def test_what_is_not_installed_is_no_damage(tmp_path, monkeypatch, missing):
    written(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    checkpoints._orbax.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'backhand\[cli\]'"):
        Checkpoints(tmp_path, {"seed": 3}).restore()
    assert on_disk(tmp_path) == [2, 3]


def test_no_memory_is_no_damage(tmp_path, monkeypatch):
    written(tmp_path)

    def none_left(folder):
        raise MemoryError

    monkeypatch.setattr(checkpoints, "read", none_left)
    with pytest.raises(MemoryError):
        Checkpoints(tmp_path, {"seed": 3}).restore()
    assert on_disk(tmp_path) == [2, 3]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory: '.*file/a'"):
        Checkpoints(tmp_path / "file" / "a").save(1, {"w": W}, {}, wait=True)


def test_a_folder_that_is_removed_is_made_again(tmp_path):
    saving = Checkpoints(tmp_path / "a")
    saving.save(1, {"w": W}, {})
    shutil.rmtree(tmp_path / "a")
    saving.save(2, {"w": W}, {}, wait=True)
    saving.close()
    assert Checkpoints(tmp_path / "a").restore().step == 2


@pytest.mark.parametrize(("config", "error"), [({"a": object()}, TypeError), ({"a": {1, 2}}, TypeError)])
def test_a_config_that_json_cannot_hold(tmp_path, config, error):
    with pytest.raises(error, match="config should be what JSON can hold"):
        Checkpoints(tmp_path, config)
    with pytest.raises(ValueError, match="keep should be"):
        Checkpoints(tmp_path, keep=0)
    assert json.dumps(Checkpoints(tmp_path, {"a": (1, 2)}).config) == '{"a": [1, 2]}'

"""Arrays in files without names."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from apnt import budget, scratch
from apnt.memory import give_back

LARGE = (12, 1024, 1024)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what is resident")
def test_what_is_let_go_leaves_memory_and_stays(folder: Path) -> None:
    with scratch.within(1 << 40):
        array = scratch.empty(LARGE, np.float32)
        array[:] = 3
        before = budget.resident()
        scratch.let_go()
        assert budget.resident() < before - array.nbytes // 2
        assert list(folder.iterdir()) == []
    assert (array == 3).all()  # also beyond the block


def test_a_process_near_its_budget_lets_go_by_itself() -> None:
    with scratch.within(1):
        array = scratch.empty(LARGE, np.float32)
        for k in range(LARGE[0]):
            array[k] = k
        assert (array.max(axis=(1, 2)) == np.arange(LARGE[0])).all()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what is resident")
def test_room_is_what_neither_the_process_nor_files_take() -> None:
    assert scratch.room() is None
    assert scratch.at_once(4, 1 << 60) == 4
    give_back()  # what other tests have freed
    with scratch.within(budget.resident() + scratch.HELD_AT_MOST + (300 << 20)):
        room = scratch.room()
        assert room is not None
        assert room == pytest.approx(300 << 20, abs=40 << 20)
        assert scratch.at_once(4, 100 << 20) in (2, 3)
        assert scratch.at_once(4, 1 << 20) == 4
        assert scratch.at_once(4, 1 << 40) == 1
        held = np.full(25 << 20, 1.0, np.float32)  # 100 MiB
        assert scratch.room() == pytest.approx(room - held.nbytes, abs=20 << 20)


@pytest.mark.parametrize(("height", "step"), [(1, 4), (512, 4), (1031, 3)])
def test_every_so_many_pixels_by_strips(height: int, step: int) -> None:
    array = np.random.default_rng(0).random((height, 50, 3))
    assert np.array_equal(scratch.every(array, step), array[::step, ::step])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what is resident")
def test_a_look_at_a_few_pixels_does_not_bring_the_file_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system maps megabytes around each of them, in less time than the watcher rests."""
    with scratch.within(1 << 40):
        array = scratch.filled((64, 1024, 1024), 3, np.float32)
        scratch.let_go()
        most, let_go = [budget.mapped() or 0], scratch.let_go

        def watched() -> None:
            most.append(budget.mapped() or 0)
            let_go()

        monkeypatch.setattr(scratch, "let_go", watched)
        assert (scratch.every(array, 64) == 3).all()
        assert max(most) - most[0] < array.nbytes // 3


def test_without_a_limit_arrays_lie_in_memory() -> None:
    assert scratch.filled((3,), 1.0, float).sum() == 3
    with scratch.within(None):
        assert scratch.empty(LARGE, np.uint8).base is None
    with scratch.within(10**9):
        assert scratch.empty((4, 4), np.float32).base is None  # small


def test_a_full_disk_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scratch, "reserve", full)
    with scratch.within(10**9), pytest.raises(OSError, match=r"must have 50 MB of room .*TMPDIR"):
        scratch.empty(LARGE, np.float32)
    assert list(folder.iterdir()) == []

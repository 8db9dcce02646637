"""The state of a run beside a disk that is full."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from apnt.train.state import write_state


@pytest.fixture
def small_files() -> Iterator[None]:
    """Writes beyond 4096 bytes fail as they do on a full disk."""
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, small_files: None) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=r"state\.pt") as caught:
        write_state(path, {"w": torch.zeros(10_000)})
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_comes_back(tmp_path: Path) -> None:
    write_state(tmp_path / "state.pt", {"w": torch.arange(3), "step": 2})
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 2
    assert state["w"].tolist() == [0, 1, 2]

"""VGG19's weights: read from three formats, downloaded once, checked."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from apnt.errors import InputError
from apnt.nn import vgg
from apnt.nn.features import VGG19Features
from apnt.nn.vgg import KEYS, vgg19_state


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    made = {}
    for index, inputs, outputs in VGG19Features.CONVOLUTIONS:
        made[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3)
        made[f"features.{index}.bias"] = torch.randn(outputs)
    return made


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return tuple(one) == KEYS and all(torch.equal(one[key], two[key]) for key in KEYS)


def test_three_formats(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({**state, "classifier.0.weight": torch.zeros(3)}, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{key: value.numpy() for key, value in state.items()})
    for name in ("a.pth", "a.safetensors", "a.npz"):
        assert equal(vgg19_state(tmp_path / name), state), name


def test_downloaded_once_checked_and_cached_small(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APNT_CACHE", str(tmp_path / "cache"))
    published = tmp_path / "vgg19.pth"
    torch.save({**state, "classifier.0.weight": torch.zeros(100_000)}, published)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    url = published.as_uri()
    last = "0" if digest[-1] != "0" else "1"
    for wrong in ("0" * 64, digest[:-1] + last):  # every digit counts
        with pytest.raises(InputError, match=f"must have SHA-256 {wrong}.* got {digest}"):
            vgg19_state(url=url, sha256=wrong)
        assert list((tmp_path / "cache").iterdir()) == []
    assert equal(vgg19_state(url=url, sha256=digest), state)
    published.unlink()
    assert equal(vgg19_state(url=url, sha256=digest), state)
    (cached,) = (tmp_path / "cache").iterdir()
    assert cached.name == f"vgg19-{digest[:8]}-relu3_1.safetensors"


def test_a_silent_server_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vgg, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        url = f"http://127.0.0.1:{server.getsockname()[1]}/vgg19.pth"
        with pytest.raises(InputError, match=r"could not be fetched .*timed out"):
            vgg19_state(url=url, sha256="0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []
    assert socket.getdefaulttimeout() is None
    assert capfd.readouterr() == ("", "")


def test_a_killed_download_leaves_nothing_for_long(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, published = tmp_path / "cache", tmp_path / "vgg19.pth"
    monkeypatch.setenv("APNT_CACHE", str(cache))
    torch.save(state, published)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/vgg19.pth"
        code = f"from apnt.nn.vgg import vgg19_state; vgg19_state(url={url!r}, sha256='0')"
        child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(3 << 20))  # and no end
            while not any(path.stat().st_size for path in cache.iterdir()):
                time.sleep(0.01)
            child.kill()
            child.wait()
    assert len(list(cache.iterdir())) == 1
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert equal(vgg19_state(url=published.as_uri(), sha256=digest), state)
    assert [path.name for path in cache.iterdir()] == [f"vgg19-{digest[:8]}-relu3_1.safetensors"]


def test_failures_name_a_way_out(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APNT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"could not be fetched .*use match_features='learned'"):
        vgg19_state(url=(tmp_path / "none.pth").as_uri(), sha256="0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(InputError, match="must be a file"):
        vgg19_state(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match=r"must be \.pth, \.npz or \.safetensors"):
        vgg19_state(tmp_path / "text.pth")
    del state["features.7.bias"]
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"lacks \['features\.7\.bias'"):
        vgg19_state(tmp_path / "part.safetensors")

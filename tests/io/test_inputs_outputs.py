"""Files that are none, headers that lie, and what is left on disk: one sentence, and nothing touched."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from apnt.errors import InputError
from apnt.io.files import after, atomic_path, check_output, remove_stale, write_bytes
from apnt.io.folder import find_photographs
from apnt.io.photo import read_photograph
from apnt.io.radiance import read_radiance, write_radiance
from apnt.memory import explained
from apnt.nn.vgg import vgg19_state
from apnt.prepare.response import Response
from apnt.train.recipe import read_recipe


class TestInputs:
    def test_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.png")
        with pytest.raises(InputError, match=r"a\.png must be a file, and it is a pipe: copy its content"):
            read_photograph(tmp_path / "a.png")

    def test_pipe_behind_a_link(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "a.png").symlink_to("pipe")
        with pytest.raises(InputError, match="it is a pipe"):
            read_photograph(tmp_path / "a.png")

    def test_device(self) -> None:
        with pytest.raises(InputError, match="/dev/zero must be a file, and it is a device"):
            read_photograph("/dev/zero")

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a")
            with pytest.raises(InputError, match="a must be a file, and it is a socket"):
                read_photograph("a")

    @pytest.mark.parametrize("name", ["a.hdr", "a.exr"])
    def test_radiance_map(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="no file"):
            read_radiance(tmp_path / name)

    def test_a_circle_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(InputError, match="cannot be read"):
            read_photograph(tmp_path / "a")


class TestHeaders:
    """A size is refused before memory is asked for, wherever the file does not hold it."""

    def hdr(self, path: Path, height: int, width: int, data: bytes = b"\2\2\xea\x60") -> Path:
        path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + data)
        return path

    def test_hdr_beyond_every_photograph(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"a\.hdr must have at most 400 megapixels, .* 60000 x 60000"):
            read_radiance(self.hdr(tmp_path / "a.hdr", 60000, 60000))

    def test_hdr_beyond_its_data(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="whole Radiance"):
            read_radiance(self.hdr(tmp_path / "a.hdr", 15000, 15000))

    def test_hdr_without_a_size(self, tmp_path: Path) -> None:
        (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\n\n\n")
        with pytest.raises(InputError, match="whole Radiance"):
            read_radiance(tmp_path / "a.hdr")

    def test_hdr_that_is_another_image(self, tmp_path: Path) -> None:
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / "a.hdr")
        with pytest.raises(InputError, match="whole Radiance"):
            read_radiance(tmp_path / "a.hdr")

    def test_flat_and_coded_hdr_are_read(self, tmp_path: Path) -> None:
        flat = self.hdr(tmp_path / "a.hdr", 2, 3, bytes([128, 128, 128, 129]) * 6)
        np.testing.assert_allclose(read_radiance(flat), 1.0, rtol=1e-2)
        black = np.zeros((900, 1200, 3), np.float32)  # the smallest file for its pixels
        np.testing.assert_array_equal(read_radiance(write_radiance(tmp_path / "b.hdr", black)), black)

    @pytest.mark.parametrize("compression", [1, 8])
    def test_tiff_beyond_its_data(self, tmp_path: Path, compression: int) -> None:
        side = 15000
        tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, compression)]
        tags += [(262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 100)]
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        path = tmp_path / "a.tif"
        path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(304))
        with pytest.raises(InputError, match="hold too little for its pixels"):
            read_photograph(path)

    def test_jpeg_with_more_rows_than_data(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        path = tmp_path / "a.jpg"
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 2] = (96).to_bytes(2, "big")
        path.write_bytes(data)
        with pytest.raises(InputError, match="its data end before its last row"):
            read_photograph(path)


class TestMemory:
    def test_numpy(self) -> None:
        message = r"^a\.png needs more memory than there is \(1\.00 EiB at once\): scale it down$"
        with pytest.raises(MemoryError, match=message), explained("a.png", "scale it down"):
            np.empty(2**57)

    def test_torch(self) -> None:
        message = rf"^a network needs more memory than there is \({2**60} bytes at once\): x$"
        with pytest.raises(MemoryError, match=message), explained("a network", "x"):
            torch.empty(2**60, dtype=torch.uint8)

    def test_python(self) -> None:
        message = r"^x needs more memory than there is \(by how much is not known\): y$"
        with pytest.raises(MemoryError, match=message), explained("x", "y"):
            raise MemoryError

    @pytest.mark.parametrize("words", ["std::bad_alloc", "could not create a primitive"])
    def test_compiled_code(self, words: str) -> None:
        """The second is what oneDNN says where there is no memory for the code of a convolution."""
        with pytest.raises(MemoryError, match=r"^x needs more memory than there is"), explained("x", "y"):
            raise RuntimeError(words)

    def test_a_sentence_is_not_put_into_another(self) -> None:
        with pytest.raises(MemoryError, match=r"^inner "), explained("outer", "x"), explained("inner", "y"):
            raise MemoryError

    def test_other_errors_pass(self) -> None:
        with pytest.raises(RuntimeError, match=r"^a bug$"), explained("outer", "x"):
            raise RuntimeError("a bug")

    def test_a_photograph_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Image.new("RGB", (20, 20)).save(tmp_path / "a.png")

        def fail(*_: object) -> None:
            raise MemoryError("Unable to allocate 6.71 GiB for an array")

        monkeypatch.setattr("apnt.io.photo.develop", fail)
        with pytest.raises(MemoryError, match=r"a\.png needs more .* \(6\.71 GiB at once\): scale"):
            read_photograph(tmp_path / "a.png")


class TestOutputs:
    def test_onto_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.exr")
        with pytest.raises(InputError, match=r"output must be a file, and .* is a pipe"):
            check_output(tmp_path / "a.exr", [".exr"])
        assert stat.S_ISFIFO((tmp_path / "a.exr").stat().st_mode)

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
    def test_mode_of_an_overwritten_file_stays(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "a"
        path.touch()
        path.chmod(mode)
        write_bytes(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_owner_of_an_overwritten_file_stays(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only the superuser gives files away")
        path = tmp_path / "a"
        path.touch()
        os.chown(path, 12345, 23456)
        write_bytes(path, b"new")
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)

    def test_hdr_needs_no_temporary_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENCV_TEMP_PATH", str(tmp_path / "none"))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
        image = np.full((20, 30, 3), 0.25, np.float32)
        np.testing.assert_array_equal(read_radiance(write_radiance(tmp_path / "a.hdr", image)), image)

    @pytest.mark.parametrize("answer", [False, cv2.error("no")])
    def test_hdr_that_was_not_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object
    ) -> None:
        def refuse(path: str, image: np.ndarray) -> bool:
            if isinstance(answer, Exception):
                raise answer
            return False

        (tmp_path / "a.hdr").write_bytes(b"old")
        monkeypatch.setattr(cv2, "imwrite", refuse)
        with pytest.raises(OSError, match="could not be written"):
            write_radiance(tmp_path / "a.hdr", np.ones((20, 30, 3), np.float32))
        assert os.listdir(tmp_path) == ["a.hdr"]
        assert (tmp_path / "a.hdr").read_bytes() == b"old"

    def test_hdr_cut_by_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = cv2.imwrite

        def cut(path: str, image: np.ndarray) -> bool:
            write(path, image)
            os.truncate(path, os.path.getsize(path) // 2)
            return True

        monkeypatch.setattr(cv2, "imwrite", cut)
        image = np.random.default_rng(0).random((20, 30, 3)).astype(np.float32)
        with pytest.raises(OSError, match="is the disk full"):
            write_radiance(tmp_path / "a.hdr", image)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("free", "raised", "code", "words"),
    [
        (0, lambda _: OSError("460800 requested and 76612 written"), errno.ENOSPC, "No space left on device"),
        (1 << 30, lambda name: OSError(f"No {name}"), errno.EIO, "it could not be written whole, No a.tif"),
        (0, lambda name: OSError(errno.EDQUOT, "quota", name), errno.EDQUOT, "quota"),
        (0, lambda _: OSError(errno.ENOSPC, "full"), errno.ENOSPC, "full"),
    ],
)
def test_an_error_of_the_disk_names_the_file_and_says_what_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    raised: Callable[[str], OSError],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))

    def write() -> None:
        with after(Path("a.exr")), atomic_path("a.tif") as temporary:
            raise raised(str(temporary))

    with pytest.raises(OSError, match=r"a\.exr was written whole") as found:
        write()
    assert found.value.errno == code
    assert found.value.filename == str(tmp_path / "a.tif")
    assert found.value.strerror.replace(f"{tmp_path}/", "") == f"{words}, after a.exr was written whole"


class TestStale:
    def test_what_a_dead_process_left_goes(self, tmp_path: Path) -> None:
        pid = os.fork()
        if pid == 0:
            with atomic_path(tmp_path / "a.exr") as temporary:
                temporary.write_bytes(b"half")
                os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
        assert [path.suffix for path in tmp_path.iterdir()] == [".exr"]
        write_bytes(tmp_path / "b", b"whole")
        assert os.listdir(tmp_path) == ["b"]

    def test_what_a_living_process_writes_stays(self, tmp_path: Path) -> None:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_bytes(b"new")
            remove_stale(tmp_path)
            write_bytes(tmp_path / "b", b"another writer")
            assert temporary.exists()
        assert (tmp_path / "a").read_bytes() == b"new"

    def test_only_own_names(self, tmp_path: Path) -> None:
        (tmp_path / ".other").touch()
        (tmp_path / ".apnt-folder").mkdir()
        remove_stale(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [".apnt-folder", ".other"]


class TestTexts:
    """Files that people write, and that others may send."""

    def readers(self, folder: Path) -> dict[Path, Callable[[Path], object]]:
        return {
            folder / "a.toml": read_recipe,
            folder / "b.toml": Response.load,
            folder / "bracket.json": lambda path: find_photographs([path.parent]),
        }

    def test_nested(self, tmp_path: Path) -> None:
        for path, read in self.readers(tmp_path).items():
            path.write_text("[" * 100_000 if path.suffix == ".json" else "a = " + "[" * 100_000)
            with pytest.raises(InputError, match=re.escape(path.name)):
                read(path)

    def test_huge(self, tmp_path: Path) -> None:
        for path, read in self.readers(tmp_path).items():
            path.touch()
            os.truncate(path, 1 << 40)  # takes no place on the disk
            with pytest.raises(InputError, match=r"larger than any: 1048576 MiB"):
                read(path)

    def test_pipes(self, tmp_path: Path) -> None:
        for path, read in self.readers(tmp_path).items():
            os.mkfifo(path)
            if path.suffix != ".json":  # a pipe of that name is no listing
                with pytest.raises(InputError, match="a pipe"):
                    read(path)


def test_the_advice_of_libraries_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"no pickle")
    with pytest.raises(InputError, match=r"is not: .{5,200}$") as error:
        vgg19_state(tmp_path / "a.pth")
    assert "weights_only" not in str(error.value)
    assert "trust" not in str(error.value)


@pytest.mark.parametrize(
    "options", [{}, {"tile_size": (32, 32)}, {"irreversible": True, "num_resolutions": 3}]
)
def test_jpeg2000_cut_anywhere(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.jp2"
    values = np.random.default_rng(0).integers(0, 256, (60, 84, 3), np.uint8)
    Image.fromarray(values).save(path, "JPEG2000", **options)
    assert read_photograph(path).pixels.shape == (60, 84, 3)
    data = path.read_bytes()
    for end in range(200, len(data) - 2, 37):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match=r"truncated|cut off"):
            read_photograph(path)

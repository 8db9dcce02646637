"""Peak memory of reading: the pixels, the samples as stored, and little else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import apnt

PROGRAM = """
import gc, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from apnt.io.photo import read_photograph

def memory(name):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(name)]
    return int(line.split()[1]) * 1024

read_photograph(sys.argv[2])  # everything is imported
for path in sys.argv[3:]:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    photo = read_photograph(path)
    print((memory("VmHWM") - before) / photo.pixels.nbytes)
    del photo
"""


def test_peak(tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux alone tells the peak")
    rng = np.random.default_rng(0)
    small = rng.integers(0, 65536, (100, 125, 3)).astype(np.uint16)
    pixels = cv2.resize(small, (2000, 1600), interpolation=cv2.INTER_LINEAR)
    Image.new("RGB", (32, 32)).save(tmp_path / "first.jpg")
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    cv2.imwrite(str(tmp_path / "a.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="rgb", compression="zlib", rowsperstrip=64)
    names = ["a.jpg", "a.png", "a.tif", "b.tif"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(apnt.__file__).parents[1]), str(tmp_path / "first.jpg"),
         *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shares = dict(zip(names, map(float, done.stdout.split()), strict=True))
    # 16-bit samples are half of the float pixels; PNG also keeps the file and OpenCV's own array for a while.
    assert shares["a.jpg"] < 1.7, shares
    assert max(shares["a.tif"], shares["b.tif"]) < 1.8, shares
    assert shares["a.png"] < 2.1, shares

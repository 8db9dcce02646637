"""Every output of ``apnt fuse`` opened by other programs: values, orientation and metadata compared.

    python benchmarks/outputs.py [--out DIR] [--markdown FILE]

Makes three photographs that lie on their side, with EXIF, GPS and a maker's note, fuses them with the method
``weighted`` into every format of radiance and of pictures, and asks each program that is installed (Debian:
openexr, imagemagick, openimageio-tools, libimage-exiftool-perl, chromium; Python: tifffile, OpenCV, Pillow,
imagecodecs) what it finds. Ends with 1 if one of them finds another picture or other metadata than was
written. Not part of the tests: CI has none of these programs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.cli import app

SIZE = (96, 64)  # width and height, upright
TAKEN = "2026:05:04 03:02:01"
RADIANCE = ("scene.exr", "scene.hdr", "scene.tif")
PICTURES = ("look.jpg", "look.png", "look.tif", "look.avif", "gain.jpg")

Values = np.ndarray
"""(H, W, 3) float in [0, 1], or radiance."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="where the files stay; a temporary folder by default")
    parser.add_argument("--markdown", type=Path, help="where the table goes as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        write_all(out)
        lines, failures = compare(out)
    table = "\n".join(["| file | program | picture | metadata |", "|---|---|---|---|", *lines])
    print(table)
    if given.markdown:
        given.markdown.write_text(table + "\n")
    if failures:
        sys.exit(f"{failures} of {len(lines)} comparisons failed")


def write_all(out: Path) -> None:
    """The photographs, and every output of them."""
    from typer.testing import CliRunner

    frames = photographs(out)
    runs = [[name, "--no-preview"] for name in RADIANCE]
    runs += [[f"{name}.hdr", "--preview", str(out / name)] for name in PICTURES]
    runs[-1].append("--gain-map")
    for name, *options in runs:
        command = [
            "fuse",
            *map(str, frames),
            "-o",
            str(out / name),
            "--method",
            "weighted",
            "--force",
            *options,
        ]
        result = CliRunner().invoke(app, command)
        if result.exit_code:
            sys.exit(result.output)


def photographs(out: Path) -> list[Path]:
    """Three exposures, two stops apart, stored turned by a quarter (orientation 6)."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width] / np.array([height - 1, width - 1])[:, None, None]
    light = np.stack(
        [2.0 ** (6 * x - 6), 2.0 ** (5 * x - 5.5) * (0.4 + 0.6 * y), 2.0 ** (4 * x - 5)], axis=-1
    )
    paths = []
    for k, time in enumerate((IFDRational(1, 400), IFDRational(1, 100), IFDRational(1, 25))):
        exif = Image.Exif()
        exif.update({0x0112: 6, 0x010F: "Maker", 0x0110: "Model", 0x013B: "Someone"})
        exif.get_ifd(0x8769).update(
            {0x829A: time, 0x829D: IFDRational(8, 1), 0x8827: 100, 0x9003: TAKEN,
             0x9204: IFDRational(-2, 3), 0x927C: b"note" * 9}
        )  # fmt: skip
        angle = (IFDRational(48, 1), IFDRational(30, 1), IFDRational(0, 1))
        exif.get_ifd(0x8825).update({1: "S", 2: angle, 3: "E", 4: angle})
        shown = np.clip(light * 4.0**k, 0, 1) ** (1 / 2.2)
        stored = np.rot90(np.rint(shown * 255).astype(np.uint8))  # turned clockwise it is upright
        paths.append(out / f"{k}.jpg")
        Image.fromarray(np.ascontiguousarray(stored)).save(paths[-1], exif=exif, quality=98, subsampling=0)
    return paths


def compare(out: Path) -> tuple[list[str], int]:
    lines, failures = [], 0
    for name in (*RADIANCE, *PICTURES):
        path = out / name
        expected = written(path)
        for program, read, tell in programs(name):
            picture = metadata = "-"
            if read is not None:
                try:
                    picture = judged(read(path), expected, name)
                except Exception as error:
                    picture = f"FAILED: {error}"
            if tell is not None:
                try:
                    metadata = tell(path)
                except Exception as error:
                    metadata = f"FAILED: {error}"
            failures += "FAILED" in picture + metadata
            lines.append(f"| {name} | {program} | {picture} | {metadata} |")
    return lines, failures


def written(path: Path) -> Values:
    """What is in the file, by the library that is nearest to its format."""
    if path.suffix == ".exr":
        return OpenEXR.File(str(path)).channels()["RGB"].pixels.astype(np.float32)
    if path.suffix == ".tif":
        return unit(tifffile.imread(path))
    if path.suffix == ".avif":
        with Image.open(path) as image:
            return unit(np.asarray(image))
    return unit(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1])


def unit(pixels: np.ndarray) -> Values:
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return pixels.astype(np.float32) / np.float32(scale)


def judged(found: Values, expected: Values, name: str) -> str:
    """The largest difference, with its limit: what the format and the program's own depth allow."""
    if found.shape != expected.shape:
        return f"FAILED: {found.shape} instead of {expected.shape}"
    difference = float(np.abs(found - expected).max())
    limit = 0.03 if name.endswith((".jpg", ".avif")) else 0.01
    word = "FAILED" if difference > limit else "same"
    return f"{word}, {expected.shape[1]} x {expected.shape[0]}, largest difference {difference:.2g}"


def programs(name: str) -> list[tuple[str, Callable[[Path], Values] | None, Callable[[Path], str] | None]]:
    """What can open a file: its name, how it gives pixels, and what it says of metadata."""
    suffix = Path(name).suffix
    found: list[tuple[str, Callable[[Path], Values] | None, Callable[[Path], str] | None]] = []
    if shutil.which("exiftool"):
        found.append(("exiftool", None, by_exiftool))
    if shutil.which("oiiotool"):
        found.append(("OpenImageIO", by_oiiotool, oiio_metadata if suffix not in (".hdr", ".avif") else None))
    convert = shutil.which("convert", path="/usr/bin") or shutil.which("magick")
    if convert and suffix != ".exr":  # Debian's is built without
        found.append(("ImageMagick", lambda path: by_imagemagick(convert, path), None))
    if shutil.which("exrheader") and suffix == ".exr":
        found.append(("exrheader", None, by_exrheader))
    if suffix == ".tif":
        found.append(
            ("OpenCV", lambda path: unit(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]), None)
        )
    if suffix in (".jpg", ".png") or (suffix == ".tif" and name.startswith("look")):
        found.append(("Pillow", by_pillow, None))
    if shutil.which("chromium") and suffix in (".jpg", ".png", ".avif"):
        found.append(("Chromium", by_chromium, None))
    if name == "gain.jpg":
        found.append(("imagecodecs (libultrahdr)", None, by_libultrahdr))
    return found


def told(facts: dict[str, tuple[object, object]]) -> str:
    """Which facts are as expected; a wrong one fails."""
    wrong = [f"{name} is {got!r}, not {wanted!r}" for name, (got, wanted) in facts.items() if got != wanted]
    if wrong:
        raise ValueError("; ".join(wrong))
    return "right: " + ", ".join(facts)


def by_exiftool(path: Path) -> str:
    found = json.loads(run("exiftool", "-j", "-n", str(path)))[0]
    facts: dict[str, tuple[object, object]] = {
        "size": ((found["ImageWidth"], found["ImageHeight"]), SIZE),
        "software": (found.get("Software"), "apnt"),
    }
    if path.suffix == ".hdr":
        return told(facts | {"time": (found.get("Capdate") or found.get("CapDate"), TAKEN)})
    facts["exposure time"] = (round(float(Fraction(str(found["ExposureTime"]))), 6), 0.01)
    facts["time"] = (found.get("DateTimeOriginal"), TAKEN)
    if path.suffix == ".exr":
        chromaticities = [round(float(v), 4) for v in str(found["Chromaticities"]).split()]
        facts["chromaticities"] = (chromaticities, [0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329])
        return told(facts)
    facts["orientation"] = (found.get("Orientation", 1), 1)
    facts["exposure bias"] = (round(found["ExposureCompensation"], 4), -0.6667)
    facts["place"] = ((round(found["GPSLatitude"], 4), round(found["GPSLongitude"], 4)), (-48.5, 48.5))
    facts["profile"] = ("RGB" in found["ProfileDescription"], True)
    facts["no maker's note"] = ("note" in run("exiftool", "-s", "-MakerNote", str(path)).lower(), False)
    facts["warnings"] = (found.get("Warning"), None)
    return told(facts)


def by_oiiotool(path: Path) -> Values:
    with tempfile.TemporaryDirectory() as work:
        run("oiiotool", str(path), "--ch", "R,G,B", "-d", "float", "-o", f"{work}/a.tif")
        return unit(tifffile.imread(f"{work}/a.tif"))


def oiio_metadata(path: Path) -> str:
    text = run("oiiotool", "--info", "-v", str(path))
    return told({"exposure time": ("ExposureTime: 0.01" in text, True), "software": ("apnt" in text, True)})


def by_imagemagick(convert: str, path: Path) -> Values:
    plain = ["-set", "colorspace", "sRGB", "-depth", "16", "-endian", "LSB"]  # values as they are
    with tempfile.TemporaryDirectory() as work:
        run(convert, f"{path}[0]", "-auto-orient", *plain, f"rgb:{work}/a")
        samples = np.fromfile(f"{work}/a", "<u2")
    return unit(samples.reshape(SIZE[1], SIZE[0], 3))


def by_exrheader(path: Path) -> str:
    text = run("exrheader", str(path))
    return told(
        {
            "half": ("16-bit floating-point" in text, True),
            "chromaticities": ("red   (0.64 0.33)" in text, True),
            "whiteLuminance": ("whiteLuminance (type float): 30720" in text, True),
            "expTime": ("expTime (type float): 0.01" in text, True),
            "capDate": (TAKEN in text, True),
        }
    )


def by_pillow(path: Path) -> Values:
    from PIL import ImageOps

    with Image.open(path) as image:
        return unit(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


def by_chromium(path: Path) -> Values:
    """A screenshot of a page that shows the picture alone, in sRGB."""
    width, height = SIZE
    with tempfile.TemporaryDirectory() as work:
        page = Path(work) / "a.html"
        page.write_text(f'<body style="margin:0"><img src="{path.resolve().as_uri()}" width={width}></body>')
        run(
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--force-color-profile=srgb",
            f"--user-data-dir={work}/profile", f"--window-size={width + 500},{height + 400}",
            f"--screenshot={work}/a.png", page.as_uri(),
        )  # fmt: skip
        return unit(np.asarray(Image.open(f"{work}/a.png").convert("RGB")))[:height, :width]


def by_libultrahdr(path: Path) -> str:
    import imagecodecs

    decoded = imagecodecs.ultrahdr_decode(path.read_bytes())[..., :3].astype(np.float32)
    return told({"size": (decoded.shape[1::-1], SIZE), "beyond white": (bool(decoded.max() > 1.2), True)})


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


if __name__ == "__main__":
    main()

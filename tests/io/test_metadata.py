"""Exposures in every format, from EXIF or from XMP."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from apnt.errors import InputError
from apnt.io import ExifExposure, pil, read_exif
from apnt.io.exif import exif_exposures, source_of
from apnt.io.frames import read_frames
from apnt.io.kept import SOFTWARE
from apnt.io.metadata import read_metadata
from apnt.io.written import is_own
from apnt.io.xmp import read_xmp

PIXELS = np.full((20, 24, 3), 90, np.uint8)
EXPECTED = ExifExposure(time=1 / 400, iso=200, f_number=8)


def exif() -> Image.Exif:
    block = Image.Exif()
    block.get_ifd(0x8769).update({0x829A: IFDRational(1, 400), 0x829D: IFDRational(8, 1), 0x8827: 200})
    return block


def xmp(fields: str, elements: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:exifEX="http://cipa.jp/exif/1.0/" '
        f'{fields}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


ATTRIBUTES = xmp('exif:ExposureTime="1/400" exif:FNumber="8/1"', "<exif:ISOSpeedRatings><rdf:Seq><rdf:li>200"
                 "</rdf:li></rdf:Seq></exif:ISOSpeedRatings>")  # fmt: skip
ELEMENTS = xmp("", "<exif:ExposureTime>1/400</exif:ExposureTime><exif:FNumber>80/10</exif:FNumber>"
               "<exifEX:PhotographicSensitivity>200</exifEX:PhotographicSensitivity>")  # fmt: skip
APEX = xmp('exif:ShutterSpeedValue="2/1" exif:ApertureValue="6/1" exif:ISOSpeedRatings="200"')


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def write(path: Path, block: bytes | None, packet: bytes | None) -> Path:
    """A file of the kind of its name, with a block of EXIF ("Exif\\0\\0" first) and a packet of XMP."""
    options: dict[str, bytes] = {}
    if block is not None:
        options["exif"] = block
    if packet is not None:
        options["xmp"] = packet
    image = Image.fromarray(PIXELS)
    if path.suffix == ".heic":
        heif = pytest.importorskip("pillow_heif", reason="writes and reads HEIC")
        heif.from_pillow(image).save(path, **options)
    elif path.suffix == ".jxl":
        codecs = pytest.importorskip("imagecodecs", reason="writes JPEG XL")
        path.write_bytes(codecs.jpegxl_encode(PIXELS, lossless=True, usecontainer=True))
        add = b"" if block is None else box(b"Exif", b"\0\0\0\0" + block.removeprefix(b"Exif\0\0"))
        add += b"" if packet is None else box(b"xml ", packet)
        path.write_bytes(path.read_bytes() + add)
    elif path.suffix == ".jp2":
        image.save(path)
        add = b"" if block is None else box(b"uuid", b"JpgTiffExif->JP2" + block)
        uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
        add += b"" if packet is None else box(b"uuid", uuid + packet)
        path.write_bytes(path.read_bytes() + add)
    elif path.suffix == ".tif":
        tags = [] if packet is None else [(700, "B", len(packet), packet, True)]
        if block is not None:
            ifd = exif().get_ifd(0x8769)
            tags += [
                (0x829A, "2I", 1, (1, 400), True),
                (0x829D, "2I", 1, (8, 1), True),
                (0x8827, "H", 1, ifd[0x8827], True),
            ]
        tifffile.imwrite(path, PIXELS, photometric="rgb", extratags=tags)
    elif path.suffix == ".png" and packet is not None:
        image.save(path, exif=block) if block else image.save(path)
        data = path.read_bytes()
        body = b"iTXt" + b"XML:com.adobe.xmp\0\0\0\0\0" + packet
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + chunk + data[33:])
    else:
        image.save(path, **options)
    return path


SUFFIXES = [".jpg", ".png", ".webp", ".avif", ".heic", ".jxl", ".jp2", ".tif"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif(tmp_path: Path, suffix: str) -> None:
    assert read_exif(write(tmp_path / f"a{suffix}", exif().tobytes(), None)) == EXPECTED
    assert read_exif(write(tmp_path / f"b{suffix}", None, None)) == ExifExposure()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packet", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
def test_xmp_alone(tmp_path: Path, suffix: str, packet: bytes) -> None:
    assert read_exif(write(tmp_path / f"a{suffix}", None, packet)) == EXPECTED


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_before_xmp(tmp_path: Path, suffix: str) -> None:
    other = xmp('exif:ExposureTime="1/30" exif:FNumber="2/1"')
    assert read_exif(write(tmp_path / f"a{suffix}", exif().tobytes(), other)) == EXPECTED


def test_xmp_fills_what_exif_lacks(tmp_path: Path) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x829A] = IFDRational(1, 50)
    path = write(tmp_path / "a.jpg", block.tobytes(), ATTRIBUTES)
    assert read_exif(path) == ExifExposure(time=1 / 50, iso=200, f_number=8)


def test_where_exposures_come_from(tmp_path: Path) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x829A] = IFDRational(1, 50)
    found = [
        read_exif(write(tmp_path / "exif.jpg", exif().tobytes(), ATTRIBUTES)),
        read_exif(write(tmp_path / "xmp.jpg", None, ATTRIBUTES)),
        read_exif(write(tmp_path / "both.jpg", block.tobytes(), ATTRIBUTES)),
        read_exif(write(tmp_path / "none.jpg", None, None)),
    ]
    assert [each.source for each in found] == ["EXIF", "XMP", "EXIF and XMP", "EXIF"]
    (tmp_path / "none.xmp").write_bytes(ATTRIBUTES)
    assert read_exif(tmp_path / "none.jpg").source == "XMP"
    assert source_of([found[1], found[1]]) == "XMP"
    assert source_of([found[0], found[1]]) == "EXIF and XMP"
    assert source_of([found[1], found[3]]) == "XMP"
    assert source_of([found[3]]) == "EXIF"


@pytest.mark.parametrize(("packet", "named"), [(ATTRIBUTES, "XMP"), (None, "EXIF")])
def test_messages_name_the_source(tmp_path: Path, packet: bytes | None, named: str) -> None:
    block = exif().tobytes() if packet is None else None
    paths = [write(tmp_path / f"{name}.png", block, packet) for name in "ab"]
    with pytest.raises(InputError, match=f"^{named} exposures cannot be used, because .* exposed alike"):
        read_frames(paths)
    missing = write(tmp_path / "c.png", None, None)
    with pytest.raises(InputError, match=f"^{named} exposure time is missing in .*c.png"):
        read_frames([*paths, missing])


def test_apex_in_xmp(tmp_path: Path) -> None:
    assert read_exif(write(tmp_path / "a.jpg", None, APEX)) == ExifExposure(time=0.25, iso=200, f_number=8)


def test_packed_boxes_of_jpeg_xl(tmp_path: Path) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="packs the boxes")
    data = codecs.jpegxl_encode(PIXELS, lossless=True, usecontainer=True)
    content = b"\0\0\0\0" + exif().tobytes().removeprefix(b"Exif\0\0")
    path = tmp_path / "a.jxl"
    path.write_bytes(data + box(b"brob", b"Exif" + codecs.brotli_encode(content)))
    assert read_exif(path) == EXPECTED


@pytest.mark.parametrize("bias", [IFDRational(-2, 1), IFDRational(2, 1)])
def test_exposure_bias_is_not_used(tmp_path: Path, bias: IFDRational) -> None:
    block = exif()
    block.get_ifd(0x8769)[0x9204] = bias
    assert read_exif(write(tmp_path / "a.jpg", block.tobytes(), None)) == EXPECTED


def test_exposures_of_a_bracket_in_several_formats(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"a{suffix}", None, ATTRIBUTES) for suffix in (".jpg", ".tif", ".png")]
    np.testing.assert_allclose(exif_exposures(paths), [2 / 400 / 64] * 3)


@pytest.mark.parametrize(
    ("packet", "fields"),
    [
        (None, {}),
        (b"", {}),
        (b"no packet", {}),
        (ATTRIBUTES[:200], {}),
        (xmp('exif:ExposureTime="soon" exif:FNumber="8/0"'), {}),
        (xmp('exif:FNumber="5.6"'), {"FNumber": 5.6}),
        (ATTRIBUTES.replace(b"<x:xmpmeta", b"<!DOCTYPE a [<!ENTITY b 'c'>]><x:xmpmeta"), {}),
        (xmp('exif:FNumber="4"').decode(), {"FNumber": 4}),
    ],
)
def test_packets(packet: bytes | str | None, fields: dict[str, float]) -> None:
    assert read_xmp(packet) == fields


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
def test_a_broken_block_is_no_block(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", b"Exif\0\0II*\0\xff\xff\xff\x7f", None)
    assert read_exif(path) == ExifExposure()


def test_a_missing_file_has_none(tmp_path: Path) -> None:
    assert read_exif(tmp_path / "nowhere.jpg") == ExifExposure()
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "GIF")
    (tmp_path / "a.gif").write_bytes(buffer.getvalue())
    assert read_exif(tmp_path / "a.gif") == ExifExposure()


@pytest.mark.parametrize("place", ["none", "ahead", "behind"])
def test_pixels_of_a_png_are_not_decoded_for_its_exif(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[305], exif[274] = f"{SOFTWARE} 1.0", 6
    path, kept = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (40, 30), (200, 10, 10)).save(path)
    Image.new("RGB", (40, 30)).save(kept, exif=exif)
    plain, block = path.read_bytes(), kept.read_bytes()
    chunk = block[block.index(b"eXIf") - 4 :]
    chunk = chunk[: 12 + int.from_bytes(chunk[:4], "big")]
    at = {"none": None, "ahead": plain.index(b"IDAT") - 4, "behind": plain.index(b"IEND") - 4}[place]
    if at is not None:
        path.write_bytes(plain[:at] + chunk + plain[at:])
    loaded = []
    real = PngImagePlugin.PngImageFile.load
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: loaded.append(1) or real(self))
    assert is_own(path) is (place != "none")
    assert read_metadata(path).tags.get(274, 1) == (1 if place == "none" else 6)
    assert bool(loaded) is (place == "behind")
    with pil.opened(path, "PNG") as image:  # and they can be decoded after that
        pil.exif(image)
        assert image.getpixel((3, 3)) == (200, 10, 10)

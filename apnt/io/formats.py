"""Which format a file has, by its content."""

from __future__ import annotations

from apnt.errors import InputError

ASK = "give a JPEG, PNG or TIFF photograph with 8 or 16 bits, or the camera's HEIC or RAW file"
HEAD = 4096
"""Bytes from the start of a file that tell its format."""

RAW = "camera RAW"
_HDR = f"is an HDR image, and fusing takes the exposures it is made from: {ASK}"
_JPEG2000 = "JPEG 2000"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG2000),
    (b"\xff\x4f\xff\x51", _JPEG2000),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"IIRO", RAW),  # Olympus
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),  # Panasonic
    (b"\0MRM", RAW),  # Minolta
    (b"FUJIFILMCCD-RAW", RAW),
    (b"FOVb", RAW),  # Sigma
    (b"II*\0", "TIFF"),  # many RAW files too: apnt.io.tiff tells them apart
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"#?RADIANCE", _HDR),
    (b"#?RGBE", _HDR),
    (b"\x76\x2f\x31\x01", _HDR),
    (b"PF\n", _HDR),
    (b"Pf\n", _HDR),
    (b"GIF8", f"is a GIF image, whose 256 colours hold no photograph: {ASK}"),
    (b"8BPS", "is a Photoshop document, which is not read: save it as TIFF"),
    (b"II\xbc\x01", "is a JPEG XR image, which is not read: save it as TIFF"),
    (b"P3", "is a PNM image, which is not read: save it as PNG"),
    (b"P5", "is a PNM image, which is not read: save it as PNG"),
    (b"P6", "is a PNM image, which is not read: save it as PNG"),
    (b"P7", "is a PNM image, which is not read: save it as PNG"),
    (b"%PDF", "is a PDF document, which is not read: save its photograph as TIFF"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}


def sniff(head: bytes) -> str | None:
    """The format of a file that begins with these bytes; None for none that is known.

    Raises:
        InputError: a format that is known and not read; the caller puts the file's name before the sentence.
    """
    for magic, reason in _REFUSED:
        if head.startswith(magic):
            raise InputError(reason)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _ftyp(head)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def _ftyp(head: bytes) -> str:
    """The kind of an ISO base media file, by its brands (ISO/IEC 14496-12, 4.3)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    brands = {major, *(head[n : n + 4] for n in range(16, size, 4))}
    if major == b"crx ":
        return RAW  # Canon CR3
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    raise InputError(f"is a video or another media file ({major.decode('latin-1').strip()}): {ASK}")

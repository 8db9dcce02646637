"""JPEG with a gain map (Ultra HDR 1.1): a picture for every display, and how much brighter for better ones.

Two JPEGs, one behind the other. The first is the picture; its XMP lists both, its MPF segment (CIPA DC-007)
says where the second begins. That is the gain map, whose XMP says what its values mean.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

from apnt.errors import InputError

_OFFSET = 1 / 64  # the format's usual one, in linear light of both pictures
_QUALITY = 90
_RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
_HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
_GOOGLE = "http://ns.google.com/photos/1.0/container/"
_SOI, _APP2 = b"\xff\xd8", b"\xff\xe2"
_MPF = b"MPF\0"
_PRIMARY = 0x030000  # "baseline MP primary image"


def with_gain_map(encode: Callable[[bytes], bytes], gain: np.ndarray) -> bytes:
    """A JPEG with a gain map.

    Args:
        encode: makes the JPEG of the picture, with the packet of XMP that it is given.
        gain: (H, W) float, stops, finite and not negative; of the picture's size.

    Raises:
        InputError: another gain.
    """
    if gain.ndim != 2 or not np.isfinite(gain).all() or gain.min() < 0:
        raise InputError("gain must be (H, W), finite and not negative")
    top = max(float(gain.max()), 1e-3)
    buffer = io.BytesIO()
    # At full size: of a smaller map decoders do not agree where its first pixel lies.
    Image.fromarray(np.rint(gain / top * 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=_QUALITY, xmp=_packet(_HDRGM, _meaning(top))
    )
    second = buffer.getvalue()
    first = encode(
        _packet(f'{_HDRGM} xmlns:Container="{_GOOGLE}" xmlns:Item="{_GOOGLE}item/"', "", _listed(len(second)))
    )
    place = _after_headers(first)
    length = len(_mpf(0, 0, 0))
    # Offsets in MPF count from its own byte-order mark, behind marker, length and name.
    mark = place + 4 + len(_MPF)
    total = len(first) + length
    return first[:place] + _mpf(total, len(second), total - mark) + first[place:] + second


def _meaning(top: float) -> str:
    fields = {
        "GainMapMin": 0, "GainMapMax": top, "Gamma": 1, "OffsetSDR": _OFFSET, "OffsetHDR": _OFFSET,
        "HDRCapacityMin": 0, "HDRCapacityMax": top, "BaseRenditionIsHDR": "False",
    }  # fmt: skip
    return " ".join(f'hdrgm:{name}="{value if isinstance(value, str) else format(value, ".6g")}"'
                    for name, value in fields.items())  # fmt: skip


def _listed(length: int) -> str:
    items = (
        'Item:Semantic="Primary" Item:Mime="image/jpeg"',
        f'Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="{length}"',
    )
    inner = "".join(f'<rdf:li rdf:parseType="Resource"><Container:Item {item}/></rdf:li>' for item in items)
    return f"<Container:Directory><rdf:Seq>{inner}</rdf:Seq></Container:Directory>"


def _packet(spaces: str, fields: str, content: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {_RDF}>'
        f'<rdf:Description rdf:about="" {spaces} {fields}>{content}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def _mpf(first: int, second: int, offset: int) -> bytes:
    entries = struct.pack(">IIIHH", _PRIMARY, first, 0, 0, 0) + struct.pack(">IIIHH", 0, second, offset, 0, 0)
    directory = struct.pack(">H", 3)
    directory += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    directory += struct.pack(">HHII", 0xB001, 4, 1, 2)
    directory += struct.pack(">HHII", 0xB002, 7, len(entries), 8 + 2 + 3 * 12 + 4)
    body = _MPF + b"MM\0*" + struct.pack(">I", 8) + directory + bytes(4) + entries
    return _APP2 + struct.pack(">H", len(body) + 2) + body


def _after_headers(data: bytes) -> int:
    """Where the segments of a JPEG that describe it (APP0 to APP15) end."""
    place = len(_SOI)
    while data[place] == 0xFF and 0xE0 <= data[place + 1] <= 0xEF:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place

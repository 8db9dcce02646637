"""Exposure fields of XMP, for files whose EXIF lacks them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

_NAMESPACES = ("{http://ns.adobe.com/exif/1.0/}", "{http://cipa.jp/exif/1.0/}")
_RDF_ITEM = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
_PACKET = re.compile(rb"<(?:\w+:)?(xmpmeta|RDF)\b.*</(?:\w+:)?\1\s*>", re.DOTALL)


def read_xmp(packet: bytes | str | None) -> dict[str, float]:
    """Numbers of the ``exif:`` namespace by name, such as ``{"ExposureTime": 0.0025, "FNumber": 8}``.

    Both writings are read: as attributes and as elements (XMP specification, part 1, 7); of a list, its first
    item. What is no number is left out, and a broken packet has none.
    """
    data = packet.encode() if isinstance(packet, str) else packet or b""
    match = _PACKET.search(data)
    if match is None or b"<!ENTITY" in data:
        return {}
    try:
        root = ElementTree.fromstring(match[0])
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    found: dict[str, float] = {}
    for element in root.iter():
        item = next(element.iter(_RDF_ITEM), element)
        for key, text in (*element.items(), (element.tag, item.text)):
            for namespace in _NAMESPACES:
                number = _number(text) if key.startswith(namespace) else None
                if number is not None:
                    found.setdefault(key.removeprefix(namespace), number)
    return found


def _number(text: str | None) -> float | None:
    numerator, slash, denominator = (text or "").strip().partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        return None

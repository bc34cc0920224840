"""The smallest JPEG and PNG there are, with whatever else a telephone would write into them."""

from __future__ import annotations

import zlib

# A grey JPEG of 8 x 8 pixels, as small as one can be: tables, one scan.
_QUANT = b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
_FRAME = b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00"
_HUFFMAN = b"\xff\xc4\x00\x14\x00\x01" + bytes(15) + b"\x00" + b"\xff\xc4\x00\x14\x10\x01" + bytes(15) + b"\x00"
_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\x00\x7f"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00"


def segment(code: int, body: bytes) -> bytes:
    """One segment of a JPEG."""
    return bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body


def exif(side: int, order: str = "little", beside: bytes = b"GPS 31.2304 121.4737") -> bytes:
    """An Exif segment that says which side is up, and more."""
    mark = b"II*\0" if order == "little" else b"MM\0*"

    def number(one: int, octets: int) -> bytes:
        return one.to_bytes(octets, "little" if order == "little" else "big")

    entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(side, 2) + b"\0\0"
    return segment(0xE1, b"Exif\0\0" + mark + number(8, 4) + number(1, 2) + entry + bytes(4) + beside)


def jpeg(*between: bytes, after: bytes = b"") -> bytes:
    """A JPEG with segments `between` its head and its picture, and octets `after` it."""
    return b"\xff\xd8" + b"".join(between) + _QUANT + _FRAME + _HUFFMAN + _SCAN + b"\xff\xd9" + after


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(*between: bytes, width: int = 3, height: int = 2) -> bytes:
    """A PNG with chunks `between` its head and its picture."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    rows = zlib.compress(b"".join(b"\0" + bytes(width) for _ in range(height)))
    picture = chunk(b"IHDR", size) + b"".join(between) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + picture

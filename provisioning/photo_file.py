"""A photo as it is kept and named: the picture alone, without what a telephone writes beside it.

Where and by whom a photo was taken is said in signed records, not in the file: a telephone also writes the owner's
name, the flat's coordinates and a second picture. So everything that is not needed to show the picture goes, except
which side is up. What is left is named by its SHA-256, so it is stripped before it is named; stripping it again gives
the same octets.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from metering.envelope import digest_of
from metering.errors import SenderError

PHOTO_OCTETS_MAX = 12 << 20
"""A telephone's photo is 2 to 6 MiB; the largest sensors make 12."""
SIDE_MAX = 12_000
"""Pixels: 144 million at most, so that nobody unpacks a bomb."""
JPEG, PNG = "image/jpeg", "image/png"
MEDIA = (JPEG, PNG)

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_PNG_BEGIN = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MARKER = 0xFF
_SOS, _APP0, _APP1, _APP14 = 0xDA, 0xE0, 0xE1, 0xEE
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_FRAMES = tuple(code for code in range(0xC0, 0xD0) if code not in (0xC4, 0xC8, 0xCC))
_TABLES = (0xC4, 0xCC, 0xDB, 0xDC, 0xDD)
_ORIENTATION = 0x0112
_UPRIGHT = 1


class PhotoRefused(SenderError):
    """The octets are no photo that can be kept."""

    reason = "photo-refused"


@dataclass(frozen=True, slots=True)
class PlainPhoto:
    """A photo without anything beside the picture, named by the SHA-256 of its octets. Width and height in pixels."""

    octets: bytes
    sha256: bytes
    media: str
    width: int
    height: int


def plain_photo(octets: bytes) -> PlainPhoto:
    """Strip a JPEG or PNG of all metadata; raises PhotoRefused. A plain photo comes out as it is."""
    if len(octets) > PHOTO_OCTETS_MAX:
        raise PhotoRefused(f"the photo has {len(octets)} octets; at most {PHOTO_OCTETS_MAX}: take it with fewer pixels")
    if octets.startswith(_SOI):
        media, (plain, width, height) = JPEG, _plain_jpeg(octets)
    elif octets.startswith(_PNG_BEGIN):
        media, (plain, width, height) = PNG, _plain_png(octets)
    else:
        raise PhotoRefused("neither a JPEG nor a PNG; set the camera to JPEG (on an iPhone: Formats, Most Compatible)")
    if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        raise PhotoRefused(f"the photo is {width} x {height} pixels; at most {SIDE_MAX} a side")
    return PlainPhoto(plain, digest_of(plain), media, width, height)


def _plain_jpeg(octets: bytes) -> tuple[bytes, int, int]:
    kept, side, size, scans = [_SOI], _UPRIGHT, (0, 0), False
    for code, segment in _segments(octets):
        body = segment[4:]
        if code == _APP1:
            side = _orientation(body) or side
        elif code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            # The thumbnail that may follow shows what the picture was before it was cropped.
            kept.append(b"\xff\xe0\x00\x10" + body[:12] + b"\0\0")
        elif (code == _APP14 and body.startswith(b"Adobe")) or code in _TABLES:
            kept.append(segment)
        elif code in _FRAMES:
            if len(body) < 5:
                raise PhotoRefused("the JPEG is cut off in its frame header; take the photo again")
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
            kept.append(segment)
        elif code == _SOS:
            kept.append(segment)
            scans = True
    if not scans or not all(size):
        raise PhotoRefused("the JPEG holds no picture; take the photo again")
    if side != _UPRIGHT:
        kept.insert(2 if len(kept) > 1 and kept[1][1] == _APP0 else 1, _exif_of(side))
    return b"".join([*kept, _EOI]), *size


def _segments(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Give code and octets of each segment up to the end of the first picture; a scan comes with its coded octets."""
    at = len(_SOI)
    while True:
        while octets[at : at + 2] == b"\xff\xff":
            at += 1
        if len(octets) < at + 2 or octets[at] != _MARKER:
            raise PhotoRefused("the JPEG is cut off or damaged; take the photo again")
        code = octets[at + 1]
        if code == _EOI[1]:
            return
        if code in _STANDALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(octets[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(octets):
            raise PhotoRefused("the JPEG is cut off or damaged; take the photo again")
        if code == _SOS:
            end = _end_of_scan(octets, end)
        yield code, octets[at:end]
        at = end


def _end_of_scan(octets: bytes, at: int) -> int:
    while (at := octets.find(b"\xff", at)) >= 0 and at + 1 < len(octets):
        following = octets[at + 1]
        if following == 0 or following in _STANDALONE:
            at += 2
        elif following == _MARKER:
            at += 1
        else:
            return at
    raise PhotoRefused("the JPEG ends in the middle of the picture; take the photo again")


def _orientation(body: bytes) -> int | None:
    """Find which side is up in an Exif segment; None where it does not say."""
    if not body.startswith(b"Exif\0\0"):
        return None
    tiff = body[6:]
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return None

    def number(at: int, octets: int) -> int:
        return int.from_bytes(tiff[at : at + octets], "little" if order == "little" else "big")

    first = number(4, 4)
    for entry in range(min(number(first, 2), 256)):
        at = first + 2 + 12 * entry
        if number(at, 2) == _ORIENTATION:
            side = number(at + 8, 2)
            return side if 1 <= side <= 8 else None
    return None


def _exif_of(side: int) -> bytes:
    """Give an Exif segment that says which side is up and nothing else."""
    entry = _ORIENTATION.to_bytes(2, "big") + b"\0\x03\0\0\0\x01" + side.to_bytes(2, "big") + b"\0\0"
    body = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def _plain_png(octets: bytes) -> tuple[bytes, int, int]:
    kept, at = [_PNG_BEGIN], len(_PNG_BEGIN)
    while True:
        length = int.from_bytes(octets[at : at + 4], "big")
        chunk = octets[at : at + 12 + length]
        kind = chunk[4:8]
        if len(chunk) < 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise PhotoRefused("the PNG is cut off or damaged; take the photo again")
        if at == len(_PNG_BEGIN) and (kind != b"IHDR" or length != 13):
            raise PhotoRefused("the PNG does not begin with its size; take the photo again")
        if kind in _PNG_KEPT:
            kept.append(chunk)
        at += 12 + length
        if kind == b"IEND":
            break
    if not any(chunk[4:8] == b"IDAT" for chunk in kept[1:]):
        raise PhotoRefused("the PNG holds no picture; take the photo again")
    return b"".join(kept), int.from_bytes(kept[1][8:12], "big"), int.from_bytes(kept[1][12:16], "big")

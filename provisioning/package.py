"""The package: a file that carries a gateway's installation to the centre, by telephone or stick.

It is a plain ZIP whose members are stored as they are, so that anyone can look into it with what he has:

    order.cose              the order file the engineer brought
    bundle.cose             the enrolment bundle, until a grant has come
    events/000001.cose ...  sealed installation events, from number 1
    photos/<sha256>         pictures that the events name, hexadecimal

What it holds proves itself (signatures, digests); the package adds nothing to it and needs no seal of its own.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from os import SEEK_END
from pathlib import Path
from typing import IO

from metering.errors import SenderError
from provisioning.enrolment import BUNDLE_OCTETS_MAX
from provisioning.installation import EVENTS_MAX, PHOTO_OCTETS_MAX
from provisioning.installation_events import EVENT_OCTETS_MAX
from provisioning.order_file import ORDER_OCTETS_MAX

PACKAGE_SUFFIX = ".metertree-package"
PACKAGE_OCTETS_MAX = 512 * 1024 * 1024
"""Some hundred photos; what is larger is sent in parts."""
EVENTS_OCTETS_MAX = 64 * 1024 * 1024
"""All events together: they are read at once, and ten thousand usual ones have 20 MiB."""
_ORDER, _BUNDLE, _EVENTS, _PHOTOS = "order.cose", "bundle.cose", "events/", "photos/"
DIRECTORY_OCTETS_MAX = 4 * 1024 * 1024
"""Of the list of members at the end, which is read whole: some thirty thousand of them."""
_END, _END_LARGE = b"PK\x05\x06", b"PK\x06\x07"
_END_OCTETS, _END_LARGE_OCTETS = 22, 20
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_PHOTO_NAME = 64


class PackageInvalid(SenderError):
    """A file is no package, or one of its members is not what its name says. The text says which, and the mend."""

    reason = "package-invalid"


@dataclass(frozen=True, slots=True)
class Package:
    """What a package holds, besides the photos; `photos` are their digests, to be read one by one."""

    order: bytes | None
    bundle: bytes | None
    events: tuple[bytes, ...]
    photos: tuple[bytes, ...]


def write_package(
    stream: IO[bytes],
    *,
    order: bytes | None,
    bundle: bytes | None,
    events: Iterable[bytes],
    photos: Mapping[bytes, Path],
) -> None:
    """Write a package; equal contents give equal octets. `photos` are files by SHA-256."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, octets in ((_ORDER, order), (_BUNDLE, bundle)):
            if octets is not None:
                _put(archive, name, octets)
        for number, octets in enumerate(events, 1):
            _put(archive, f"{_EVENTS}{number:06d}.cose", octets)
        for digest in sorted(photos):
            _put(archive, _PHOTOS + digest.hex(), photos[digest].read_bytes())


def read_package(stream: IO[bytes]) -> Package:
    """Read all but the photos; raises PackageInvalid."""
    with _opened(stream) as archive:
        members = {one.filename: one for one in archive.infolist()}
        numbered = sorted(name for name in members if name.startswith(_EVENTS))
        if len(numbered) > EVENTS_MAX:
            raise PackageInvalid(f"{len(numbered)} events; at most {EVENTS_MAX} are allowed: send it in parts")
        if sum(members[name].file_size for name in numbered) > EVENTS_OCTETS_MAX:
            raise PackageInvalid(f"its events have more than {EVENTS_OCTETS_MAX} octets together: send it in parts")
        return Package(
            order=_get(archive, members[_ORDER], ORDER_OCTETS_MAX) if _ORDER in members else None,
            bundle=_get(archive, members[_BUNDLE], BUNDLE_OCTETS_MAX) if _BUNDLE in members else None,
            events=tuple(_get(archive, members[name], EVENT_OCTETS_MAX) for name in numbered),
            photos=tuple(_digest(name) for name in members if name.startswith(_PHOTOS)),
        )


def photos_in(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give digest and octets of each photo, one at a time; raises PackageInvalid if one is not what its name says."""
    with _opened(stream) as archive:
        for one in archive.infolist():
            if one.filename.startswith(_PHOTOS):
                octets, digest = _get(archive, one, PHOTO_OCTETS_MAX), _digest(one.filename)
                if hashlib.sha256(octets).digest() != digest:
                    raise PackageInvalid(
                        f"{one.filename} is another picture than its name says: write the package anew"
                    )
                yield digest, octets


def package_name(gateway: str, at: datetime) -> str:
    """Give a file name that sorts by gateway and time."""
    return f"{gateway}-{at:%Y%m%dT%H%M%SZ}{PACKAGE_SUFFIX}"


def _opened(stream: IO[bytes]) -> zipfile.ZipFile:
    _check_end(stream)
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise PackageInvalid(f"not a package: {error}; write it anew at the gateway") from error
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise PackageInvalid("not a package: it names a member twice; write it anew at the gateway")
    return archive


def _check_end(stream: IO[bytes]) -> None:
    """Raise PackageInvalid unless the file ends as ours do: a list of members of bounded length, and no more.

    The library reads that list whole and makes an object of each member, before anyone has proven anything.
    """
    whole = stream.seek(0, SEEK_END)
    stream.seek(max(0, whole - _END_OCTETS - _END_LARGE_OCTETS))
    before, end = (tail := stream.read())[:-_END_OCTETS], tail[-_END_OCTETS:]
    if len(end) < _END_OCTETS or not end.startswith(_END) or end[-2:] != bytes(2) or before.startswith(_END_LARGE):
        raise PackageInvalid("not a package: it does not end as one; write it anew at the gateway")
    octets = int.from_bytes(end[12:16], "little")
    if octets > DIRECTORY_OCTETS_MAX:
        told = f"its list of members has {octets} octets; at most {DIRECTORY_OCTETS_MAX} are allowed"
        raise PackageInvalid(f"not a package: {told}: send it in parts")


def _put(archive: zipfile.ZipFile, name: str, octets: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EARLIEST), octets)


def _get(archive: zipfile.ZipFile, member: zipfile.ZipInfo, octets_max: int) -> bytes:
    """Read a member that is stored as it is: nothing in a package can swell."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > octets_max:
        raise PackageInvalid(f"{member.filename} is packed, or larger than {octets_max} octets: write it anew")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise PackageInvalid(f"{member.filename} cannot be read: {error}; write the package anew") from error


def _digest(name: str) -> bytes:
    digits = name.removeprefix(_PHOTOS)
    try:
        if len(digits) == _PHOTO_NAME and digits == digits.lower():
            return bytes.fromhex(digits)
    except ValueError:
        pass
    raise PackageInvalid(f"{name} does not name a photo by its SHA-256: write the package anew")

"""A package holds what was put into it, swells to nothing, and its photos are what their names say."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from pathlib import Path

import pytest

from provisioning.package import PackageInvalid, package_name, photos_in, read_package, write_package
from tests.doubles.installer import NOW

PICTURE = b"\xff\xd8picture"
DIGEST = hashlib.sha256(PICTURE).digest()


def package(tmp_path: Path, *, bundle: bytes | None = b"bundle", picture: bytes = PICTURE) -> io.BytesIO:
    photo = tmp_path / "photo"
    photo.write_bytes(picture)
    stream = io.BytesIO()
    write_package(stream, order=b"order", bundle=bundle, events=[b"one", b"two"], photos={DIGEST: photo})
    return stream


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, octets in members.items():
            archive.writestr(name, octets)
    return stream


def test_a_package_gives_back_what_was_put_into_it(tmp_path: Path) -> None:
    stream = package(tmp_path)
    found = read_package(stream)
    assert (found.order, found.bundle, found.events, found.photos) == (b"order", b"bundle", (b"one", b"two"), (DIGEST,))
    assert list(photos_in(stream)) == [(DIGEST, PICTURE)]
    assert package(tmp_path).getvalue() == stream.getvalue()


def test_after_the_grant_a_package_has_no_bundle(tmp_path: Path) -> None:
    assert read_package(package(tmp_path, bundle=None)).bundle is None


def test_another_picture_than_the_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match="another picture"):
        list(photos_in(package(tmp_path, picture=b"other")))


def listed(members: int, entry: bytes, local: bytes, *, large: bool = False) -> io.BytesIO:
    """Give an archive whose list of members is one entry, over and over."""
    start, octets = len(local), len(entry) * members
    counts = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if large else (members, members, octets, start)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, *counts, 0)
    if large:
        end64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, members, members, octets, start)
        end = end64 + b"PK\x06\x07" + struct.pack("<IQI", 0, start + octets, 1) + end
    return io.BytesIO(local + entry * members + end)


def one_entry(name: str, octets: bytes) -> tuple[bytes, bytes]:
    """Give the entry and the local part of an archive with one member."""
    whole = zipped({name: octets}).getvalue()
    directory, end = whole.rindex(b"PK\x01\x02"), whole.rindex(b"PK\x05\x06")
    return whole[directory:end], whole[:directory]


@pytest.mark.parametrize(("members", "large"), [(60_000, False), (100_000, True)])
def test_a_list_of_very_many_members_is_refused_before_it_is_read(
    members: int, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = listed(members, *one_entry("x" * 60, b""), large=large)
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("the list was read"))
    with pytest.raises(PackageInvalid):
        read_package(stream)


def test_one_photo_is_not_read_a_thousand_times() -> None:
    stream = listed(1000, *one_entry(f"photos/{DIGEST.hex()}", PICTURE))
    for read in (read_package, lambda it: list(photos_in(it))):
        with pytest.raises(PackageInvalid, match="twice"):
            read(stream)


def test_events_that_are_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioning.package.EVENTS_OCTETS_MAX", 10)
    with pytest.raises(PackageInvalid, match="together"):
        read_package(zipped({f"events/{number:06d}.cose": b"four" for number in range(3)}))


@pytest.mark.parametrize("octets", [b"", b"no zip", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_package_is_refused(octets: bytes) -> None:
    with pytest.raises(PackageInvalid):
        read_package(io.BytesIO(octets))


def test_a_cut_package_is_refused(tmp_path: Path) -> None:
    octets = package(tmp_path).getvalue()
    for length in range(0, len(octets), 7):
        with pytest.raises(PackageInvalid):
            read_package(io.BytesIO(octets[:length]))


def test_nothing_in_a_package_can_swell() -> None:
    with pytest.raises(PackageInvalid, match="packed"):
        read_package(zipped({"bundle.cose": bytes(10_000)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(PackageInvalid, match="larger"):
        read_package(zipped({"events/000001.cose": bytes(70_000)}))


@pytest.mark.parametrize("name", ["photos/", "photos/xyz", "photos/" + "AB" * 32, "photos/" + "zz" * 32])
def test_a_photo_is_named_by_its_digest(name: str) -> None:
    with pytest.raises(PackageInvalid, match="SHA-256"):
        read_package(zipped({name: b"x"}))


def test_a_package_is_named_by_gateway_and_time() -> None:
    assert package_name("gw-a", NOW) == "gw-a-20260701T080000Z.metertree-package"

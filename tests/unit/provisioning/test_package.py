"""A package holds what was put into it, swells to nothing, and its photos are what their names say."""

from __future__ import annotations

import hashlib
import io
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

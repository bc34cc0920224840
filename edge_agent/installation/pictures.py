"""Photos on the gateway's disk: each named by its SHA-256, without anything but the picture, written whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from metering.errors import MeteringError
from provisioning.photo_file import PlainPhoto, plain_photo


class PictureFolder:
    """The folder of one gateway's photos."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, picture: bytes) -> PlainPhoto:
        """Strip a picture of its metadata and keep it, synced; raises PhotoRefused."""
        photo = plain_photo(picture)
        path = self.path_of(photo.sha256)
        if path.exists():
            return photo
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        spare = path.with_suffix(".new")
        try:
            descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(photo.octets)
                stream.flush()
                os.fsync(stream.fileno())
            spare.replace(path)
        except OSError as error:
            raise MeteringError(f"{path} cannot be written: {error}; make room on the disk, then try again") from error
        return photo

    def path_of(self, digest: bytes) -> Path:
        """Give where a photo is kept."""
        return self._path / digest.hex()

    def read(self, digest: bytes) -> bytes:
        """Give a photo; raises MeteringError where it is gone."""
        try:
            return self.path_of(digest).read_bytes()
        except OSError as error:
            raise MeteringError(f"photo {digest.hex()[:16]} is gone from the disk: {error}; take it again") from error

    def there(self, digests: Iterable[bytes]) -> dict[bytes, Path]:
        """Give the files of those photos that are there."""
        return {one: self.path_of(one) for one in digests if self.path_of(one).exists()}

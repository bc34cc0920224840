"""Photos by their hash: put once, never changed. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from ingest.store.database import Connection, load_queries
from metering.envelope import digest_of
from metering.errors import BooksError, SenderError
from provisioning.photo_file import PlainPhoto, plain_photo


class PhotoNotPlain(SenderError):
    """A photo carries more than the picture, so its hash would name what is not kept."""

    reason = "photo-not-plain"


class PhotoMisnamed(SenderError):
    """A photo is not the one that its hash names: it was damaged on the way."""

    reason = "photo-misnamed"


class PhotoUnknown(BooksError):
    """No photo of this hash is kept."""


def put_photo(
    connection: Connection, digest: bytes, octets: bytes, media: str, at: datetime, *, by: str = "service"
) -> bool:
    """Keep a photo under its SHA-256 and say whether it is new; raises PhotoRefused, PhotoNotPlain, PhotoMisnamed.

    media   what its sender says it is, "" where he does not
    """
    if digest_of(octets) != digest:
        told = f"the octets have SHA-256 {digest_of(octets).hex()}, not {digest.hex()}"
        raise PhotoMisnamed(f"{told}: send the photo again")
    photo = plain_photo(octets)
    if photo.octets != octets:
        raise PhotoNotPlain("the photo carries metadata: strip it first, as `metertree reading add --photo` does")
    if media and media != photo.media:
        raise PhotoMisnamed(f"the photo is {photo.media}, not {media}: name it for what it is")
    row = {
        "photo": digest,
        "media": photo.media,
        "width": photo.width,
        "height": photo.height,
        "put_at": at,
        "put_by": by,
        "octets": octets,
    }
    return connection.execute(load_queries("photos")["put_photo"], row).rowcount == 1


def find_photo(connection: Connection, digest: bytes) -> PlainPhoto:
    """Give a photo; raises PhotoUnknown."""
    row = connection.execute(load_queries("photos")["find_photo"], {"photo": digest}).fetchone()
    if row is None:
        raise PhotoUnknown(f"photo {digest.hex()} is not kept here: put it first")
    octets, media, width, height = row
    return PlainPhoto(bytes(octets), digest, media, width, height)


def photos_there(connection: Connection, digests: Collection[bytes]) -> frozenset[bytes]:
    """Say which of these photos are kept."""
    rows = connection.execute(load_queries("photos")["photos_there"], {"photos": list(digests)})
    return frozenset(bytes(row[0]) for row in rows)

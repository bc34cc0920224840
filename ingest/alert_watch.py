"""What the machine tells: how full watched disks are, and until when watched certificates hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ingest.alert_findings import Watched

PEM_OCTETS_MAX = 1 << 20
FILES_MAX = 10_000
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_REVOKED = b"-----BEGIN X509 CRL-----"


def look_at_disks(folders: Iterable[Path]) -> Iterator[Watched]:
    """Say how full the disk of each folder is, as `df` does; what cannot be looked at is told with its fault."""
    for folder in folders:
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            yield Watched(str(folder), fault=str(error))
        else:
            # What only root may still write is not there for the database.
            yield Watched(str(folder), full_percent=100 * usage.used // max(1, usage.used + usage.free))


def look_at_certificates(folder: Path) -> Iterator[Watched]:
    """Read when each certificate and list of revoked ones in `folder` ends; of a chain, what ends first.

    Files are `*.pem`, `*.crt` and `*.crl`; keys and other things in them are passed over. A certificate of a gateway
    is named after it (`gw-a.crt`).
    """
    try:
        files = sorted(one for one in folder.iterdir() if one.suffix in (".pem", ".crt", ".crl"))[:FILES_MAX]
    except OSError as error:
        yield Watched(str(folder), fault=str(error))
        return
    for file in files:
        try:
            ends = list(_ends_of(file))
        except (OSError, ValueError) as error:
            yield Watched(file.name, fault=str(error))
        else:
            if ends:
                yield Watched(file.name, ends_at=min(ends))


def certificate_ends(folder: Path | None) -> dict[str, datetime]:
    """Give when each readable certificate in `folder` ends, by file name without its ending: a gateway's id."""
    if folder is None:
        return {}
    found = look_at_certificates(folder)
    return {Path(one.name).stem: one.ends_at for one in found if one.ends_at is not None}


def _ends_of(file: Path) -> Iterator[datetime]:
    """Give when what is in a file ends; raises OSError, ValueError."""
    with file.open("rb") as opened:
        octets = opened.read(PEM_OCTETS_MAX)
    if _CERTIFICATE in octets:
        for certificate in x509.load_pem_x509_certificates(octets):
            yield certificate.not_valid_after_utc
    if _REVOKED in octets:
        ends = x509.load_pem_x509_crl(octets[octets.index(_REVOKED) :]).next_update_utc
        if ends is not None:
            yield ends

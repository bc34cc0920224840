"""Bringing the installation to the centre, by the gateway's network or as a file, and taking the answer."""

from __future__ import annotations

import io

from edge_agent.installation.acts import Delivered, Granted
from edge_agent.installation.courier import CentreAway, CentreRefuses, Courier
from edge_agent.installation.gateway_file import write_octets
from edge_agent.installation.home import Home
from edge_agent.installation.journal import Journal
from edge_agent.installation.pictures import PictureFolder
from edge_agent.installation.view import Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Worksheet
from metering.clock import Clock
from metering.errors import MeteringError
from provisioning.enrolment import open_bundle
from provisioning.grant import GRANT_FILE, open_grant
from provisioning.installation import photos_of
from provisioning.package import write_package
from provisioning.tls_key import install_certificate

GATEWAY = Who("gateway", "gateway")
"""Who acts where nobody stands by."""


class Posting:
    """The way of one gateway's installation to its centre."""

    def __init__(self, home: Home, journal: Journal, pictures: PictureFolder, clock: Clock) -> None:
        self._home = home
        self._journal = journal
        self._pictures = pictures
        self._clock = clock

    def post(self, courier: Courier) -> bytes | None:
        """Send what the centre does not have; gives the grant where it came. Notes how it went; never raises for it."""
        grant, problem = None, None
        try:
            sheet = self._journal.worksheet()
            if sheet.bundle is not None and sheet.grant is None:
                grant = courier.enrol(sheet.bundle)
                self._check(grant)
                self._delivered(sorted(sheet.in_bundle()))
            for one in sheet.undelivered_events():
                courier.send_event(one.octets)
                self._delivered([one.event.id])
            self._post_photos(courier, sheet)
        except (CentreAway, CentreRefuses, MeteringError) as error:
            problem = str(error)
        self._journal.note_attempt(self._clock.now(), problem)
        return grant

    def _post_photos(self, courier: Courier, sheet: Worksheet) -> None:
        """Send photos in packages with the events that name them: by that the centre knows that they are wanted."""
        for one in sheet.events:
            lacking = [each.sha256 for each in photos_of(one.event) if each.sha256 in sheet.undelivered_photos()]
            for digest in lacking:
                stream = io.BytesIO()
                photos = self._pictures.there([digest])
                write_package(stream, order=None, bundle=None, events=[one.octets], photos=photos)
                kept = courier.send_package(stream.getvalue())
                for name, reason in kept:
                    if reason:
                        raise CentreRefuses(f"photo {name[:16]}: {reason}")
                self._delivered([digest.hex()])

    def package(self) -> bytes:
        """Give the file for a telephone or a stick: the order, the bundle, all events, the photos the centre lacks.

        Behind a change of the key only what the new one signed: whoever takes a package believes one key at a time.
        """
        sheet = self._journal.worksheet()
        if not sheet.is_sealed:
            raise refused("not-sealed")
        stream = io.BytesIO()
        write_package(
            stream,
            order=sheet.order_file,
            bundle=sheet.bundle if sheet.epoch == sheet.bundle_epoch else None,
            events=[one.octets for one in sheet.events_of(sheet.epoch)],
            photos=self._pictures.there(sheet.undelivered_photos()),
        )
        return stream.getvalue()

    def take_grant(self, octets: bytes) -> None:
        """Believe the centre's answer and keep it; the certificate is in the key folder before the journal says so."""
        sheet = self._journal.worksheet()
        if sheet.order is None or sheet.bundle is None:
            raise refused("not-sealed")
        grant = open_grant(octets, sheet.order.voucher.centre)
        ours = (sheet.gateway, sheet.bundle_epoch, open_bundle(sheet.bundle).key_id, sheet.digest)
        if (grant.gateway, grant.epoch, grant.key_id, grant.bundle_digest) != ours:
            raise refused("grant-foreign", gateway=sheet.gateway)
        if grant.centre_public_key != sheet.order.voucher.voucher.centre_public_key:
            raise refused("grant-foreign", gateway=sheet.gateway)
        if grant.certificates:
            install_certificate(self._home.keys, sheet.gateway, grant.certificates)
        write_octets(self._home.keys / GRANT_FILE, octets)
        with self._journal.writing(GATEWAY, self._clock.now()) as (newest, write):
            if newest.grant_octets != octets:
                write(Granted(octets))

    def _check(self, grant: bytes) -> None:
        order = self._journal.worksheet().order
        assert order is not None
        open_grant(grant, order.voucher.centre)

    def _delivered(self, what: list[str]) -> None:
        with self._journal.writing(GATEWAY, self._clock.now()) as (_, write):
            write(Delivered(tuple(what)))

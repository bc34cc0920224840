"""Settings for gateways, ordered by a person: numbered, signed, sent until the gateway says what became of them."""

from __future__ import annotations

from ingest.audit_log import Verb
from ingest.store import gateway_reports, sites
from ingest.store.audit import note
from ingest.store.database import Database
from ingest.store.gateway_reports import Ordered
from ingest.store.gateways import gateway_state
from metering.clock import Clock
from metering.envelope import Signer, digest_of
from metering.errors import BooksError
from metering.identity import GatewayId
from metering.order import SettingsOrder, seal_order
from provisioning.remote_settings import RemoteSettings
from provisioning.site import Site


class GatewayNotEnrolled(BooksError):
    """No gateway of this id is enrolled."""


class SettingsDesk:
    """Orders settings and shows what became of them. `signer` is the centre's key."""

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    def site_of(self, gateway: GatewayId) -> Site:
        """Give the newest version of the site that a gateway belongs to; raises GatewayNotEnrolled."""
        with self._database.transaction() as connection:
            state = gateway_state(connection, gateway)
            if state is None:
                raise GatewayNotEnrolled(f"gateway {gateway} is not enrolled; list those that are: metertree fleet")
            return sites.require_site(connection, state.site).site

    def order(self, gateway: GatewayId, settings: RemoteSettings, ordered_by: str) -> SettingsOrder:
        """Order settings for the gateway's newest epoch; raises GatewayNotEnrolled."""
        now = self._clock.now()
        with self._database.transaction() as connection:
            place = gateway_reports.next_order(connection, gateway)
            if place is None:
                raise GatewayNotEnrolled(f"gateway {gateway} is not enrolled; list those that are: metertree fleet")
            epoch, version = place
            order = SettingsOrder(gateway, epoch, version, now, settings.to_toml())
            octets = seal_order(order, self._signer)
            kept = Ordered(gateway, version, epoch, octets, ordered_by, now, 0, None, "", None)
            gateway_reports.add_order(connection, kept)
            after = {"version": version, "epoch": epoch, "by": ordered_by, "digest": digest_of(octets).hex()}
            note(connection, Verb.SETTINGS_ORDERED, f"gateway/{gateway}", after=after)
        return order

    def orders(self, gateway: GatewayId) -> tuple[Ordered, ...]:
        """List what was ordered for a gateway, the newest first."""
        with self._database.transaction() as connection:
            return gateway_reports.orders(connection, gateway)

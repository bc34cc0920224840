"""A centre that knows the park, with operators at its desk and engineers on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from device_profiles.catalogue import Catalogue
from ingest.caller import Caller
from ingest.installation_desk import InstallationDesk, Ordered, Presented, Terms
from ingest.store.database import Database
from ingest.store.sites import import_site, require_site
from metering.clock import Clock
from metering.identity import GatewayId, SiteId
from provisioning.enrolment import Enrolled
from provisioning.keys import FileSigner
from provisioning.order_file import ExpectedMeter
from provisioning.site import Site
from tests.doubles.installer import NOW, Installer, park

CENTRE = FileSigner.from_seed(b"\x01" * 32)
ADMIN = Caller("admin", "10.0.0.1", "test")
ENGINEER = Caller("eng-1", "10.0.0.2", "test", in_person=True)
SECOND = Caller("office-2", "10.0.0.3", "test", in_person=True)


class SteadyClock:
    """Says one time until it is set."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        """Give the time."""
        return self.at


def phone(name: str) -> Caller:
    """A gateway whose package comes by the engineer's telephone."""
    return Caller(name, "10.0.0.9", "phone-1")


@dataclass
class Centre:
    """The desk over a database into which `site` was imported."""

    database: Database
    clock: Clock
    site: Site

    def __post_init__(self) -> None:
        with self.database.transaction() as connection:
            import_site(connection, self.site, {}, imported_at=NOW)
        self.desk = InstallationDesk(
            self.database, self.clock, CENTRE, CENTRE.public_key, Catalogue.shipped(), Terms("http://centre", "b:1883")
        )

    def order(self, gateway: str = "gw-a", *expected: ExpectedMeter, days: int = 7) -> Ordered:
        """Order the installation of a gateway."""
        return self.desk.order(
            ADMIN,
            site=self.site.id,
            gateway=GatewayId(gateway),
            engineer="eng-1",
            expires_at=NOW + timedelta(days=days),
            expected=expected,
            terms=Terms(),
        )

    def present(self, installer: Installer, order: Ordered) -> Presented:
        """Present what was done so far; it must be accepted."""
        made = self.desk.enrol(installer.bundle(order.claim), phone)
        assert isinstance(made.outcome, Enrolled), made.outcome
        return made

    def now_there(self) -> Site:
        """Give the site as it stands."""
        with self.database.transaction() as connection:
            return require_site(connection, SiteId(self.site.id)).site

    def states(self) -> dict[str, str]:
        """Give where each binding stands."""
        return {one.act.binding: str(one.state) for one, _ in self.desk.bindings(site=self.site.id, state=None)}


def park_centre(database: Database) -> Centre:
    """A centre for the park as its files have it."""
    return Centre(database, SteadyClock(), park())  # type: ignore[arg-type]

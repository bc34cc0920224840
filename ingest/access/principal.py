"""Who asks, as the policy knows him: kind, roles, sites, and what his key is limited to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ingest.caller import ADMIN, STRANGER, Caller
from metering.identity import SiteId

ADMINISTRATOR, READER = "administrator", "reader"
"""Roles that code speaks of; all others stand in the table only."""


class Kind(StrEnum):
    """By what somebody was known."""

    OPERATOR = "operator"
    CLIENT = "client"
    ADMIN = "admin"
    READER = "reader"
    TENANT = "tenant"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks.

    sites       those he may see and change; None: all
    caller      as the audit log names him
    viewing_as  role through whose eyes an administrator looks; he can change nothing then
    scopes      permissions that his key is limited to; None: all of his roles
    """

    name: str
    roles: frozenset[str]
    sites: frozenset[SiteId] | None
    kind: Kind
    caller: Caller
    viewing_as: str | None = None
    scopes: frozenset[str] | None = None

    @property
    def is_known(self) -> bool:
        """Say whether he showed who he is: a person, a program, or the admin token."""
        return self.kind in (Kind.OPERATOR, Kind.CLIENT, Kind.ADMIN)

    def reaches(self, site: str | None) -> bool:
        """Say whether `site` is one of his."""
        return self.sites is None or site in self.sites


def site_scope(sites: Iterable[str] | None) -> frozenset[SiteId] | None:
    """Give the scope that a list of sites is; None means all."""
    return None if sites is None else frozenset(map(SiteId, sites))


def stranger(caller: Caller) -> Principal:
    """Give somebody who has shown nothing."""
    return Principal(STRANGER, frozenset(), frozenset(), Kind.STRANGER, caller)


def open_reader(caller: Caller) -> Principal:
    """Give whoever reaches a listener with open reads and shows nothing."""
    return Principal(STRANGER, frozenset({READER}), None, Kind.READER, caller)


def admin_principal(caller: Caller) -> Principal:
    """Give the bearer of the admin token: nobody in person, so he may do all but what takes one."""
    return Principal(ADMIN, frozenset({ADMINISTRATOR}), None, Kind.ADMIN, caller)

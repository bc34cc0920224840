"""The policy: who may do what at which site, and who sees which field. Pure; the table is read by policy_file.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ingest.access.fields import HIDDEN, SITE, Classes, Eyes, Node, classes_at, field_tree, is_whole, without_rule
from ingest.access.principal import Principal
from metering.errors import MeteringError


class PolicyIncomplete(MeteringError):
    """A route has no row in the policy table, or a row names what is not there."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """The row of one route.

    permission  what one must have; None where it is open, with the reason
    resource    whose field rules its answer is seen through; "" where it answers nothing but problems
    site        where the site of a call is found, see policy/roles.toml
    masks       "door": the answer is masked on its way out. "itself": the handler asks the principal
    filters     query parameter -> field that must be seen to ask by it
    sorts       path below which the name given as `sort` stands
    media       type of an answer that is no document, for the contract
    is_limited  whether calls are counted; of those that a signature or claim opens, the handler counts
    """

    method: str
    path: str
    permission: str | None
    open_because: str = ""
    resource: str = ""
    site: str = "all"
    masks: str = "door"
    filters: Mapping[str, str] = field(default_factory=dict)
    sorts: str = ""
    is_limited: bool = True
    media: str = ""

    @property
    def key(self) -> str:
        """Name the row."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its names, what it may, and which classes of fields it sees."""

    name: str
    zh: str
    en: str
    permissions: frozenset[str]
    sees: Classes


@dataclass(frozen=True)
class Policy:
    """The whole table. `fields`: rules of each resource."""

    roles: Mapping[str, Role]
    permissions: Mapping[str, frozenset[str]]
    classes: Classes
    routes: Mapping[str, RouteRule]
    fields: Mapping[str, Mapping[str, Classes]]

    @cached_property
    def _trees(self) -> dict[str, Node]:
        return {name: field_tree(rules) for name, rules in self.fields.items()}

    @cached_property
    def _needed(self) -> dict[str, Classes]:
        return {name: frozenset().union(*tree.rules()) for name, tree in self._trees.items()}

    def permissions_of(self, principal: Principal) -> frozenset[str]:
        """Give all that somebody may, at his sites."""
        granted = frozenset[str]().union(
            *(self.roles[role].permissions for role in principal.roles if role in self.roles)
        )
        return granted if principal.scopes is None else granted & principal.scopes

    def may(self, principal: Principal, permission: str, site: str | None = None) -> bool:
        """Say whether somebody may do something, at `site` where it is done at one."""
        if permission not in self.permissions_of(principal):
            return False
        return site is None or principal.reaches(site)

    def classes_of(self, principal: Principal) -> Classes:
        """Give the classes of fields that somebody sees."""
        return frozenset[str]().union(*(self.roles[role].sees for role in principal.roles if role in self.roles))

    def sees(self, principal: Principal, resource: str, path: str) -> bool:
        """Say whether somebody sees a field; of a list or table, whether he sees anything in it."""
        tree = self._trees.get(resource)
        classes = None if tree is None else classes_at(tree, path)
        return classes is not None and classes <= self.classes_of(principal)

    def sees_whole(self, principal: Principal, resource: str) -> bool:
        """Say whether nothing of a resource is hidden from somebody, whichever of its fields there are."""
        needed = self._needed.get(resource)
        return needed is not None and needed <= self.classes_of(principal)

    def is_whole(self, resource: str) -> bool:
        """Say whether a resource is of one piece, given whole or refused."""
        return is_whole(self.tree(resource))

    def has_site(self, resource: str) -> bool:
        """Say whether rows of a resource say of which site they are, so that those of others can be left out."""
        return any(SITE in one for one in self.tree(resource).rules())

    def is_plain(self, principal: Principal, resource: str) -> bool:
        """Say whether an answer can pass as it is: nothing hidden, no site left out."""
        if not self.sees_whole(principal, resource):
            return False
        return principal.sites is None or not self.has_site(resource)

    def mask(self, principal: Principal, resource: str, document: Any) -> Any:
        """Give what somebody may see of a document; what no rule names is hidden. None where nothing is left."""
        eyes = Eyes(self.classes_of(principal), principal.sites)
        seen = eyes.look(document, self.tree(resource))
        return None if seen is HIDDEN else seen

    def visible(self, principal: Principal, resource: str, prefix: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """Give those of `names` that somebody sees below `prefix`, in their order: for columns of files and streams."""
        return tuple(one for one in names if self.sees(principal, resource, f"{prefix}.{one}" if prefix else one))

    def without_rule(self, resource: str, document: Any) -> tuple[str, ...]:
        """Name the fields of a document that no rule names."""
        return tuple(without_rule(document, self.tree(resource)))

    def tree(self, resource: str) -> Node:
        """Give the rules of a resource as a tree; raises PolicyIncomplete."""
        found = self._trees.get(resource)
        if found is None:
            raise PolicyIncomplete(f"the policy has no [fields.{resource}]")
        return found

"""Reads the policy table from policy/*.toml and holds it together; raises DocumentError with every fault and its line.

    [roles.finance]         zh, en, sees = [classes]
    [permissions]           "runs.read" = [roles that have it]
    [routes]                "GET /v1/runs/{run}" = { permission = "runs.read", resource = "run", site = "run:run" }
    [fields.run]            "lines[].amount_minor" = "money"

Of a route: `permission`, or `open` with the reason; `resource`, "" for answers without a document; `site`, how the site
of a call is found: "none" (nothing of any site), "all" (only who has all sites, also where nothing is said), "rows"
(the door leaves out what is of other sites), or `<kind>:<parameter>` for the site a run, statement, gateway ... is of,
`path:site`, `query:site` and `body:site` for the name of the site itself. `masks = "itself"` where the handler masks.
`filters` and `sorts` name the fields that a call chooses and sorts by. `limited = false` where handlers count;
`media` names the type of an answer that is a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from ingest.access.fields import SITE, Classes
from ingest.access.policy import Policy, Role, RouteRule
from metering.errors import DocumentError, Fault
from metering.toml_source import TomlSource

CLASSES = frozenset({"public", "operating", "money", "personal", "tenant-trade", "secret", SITE})
SITE_WORDS = frozenset({"none", "all", "rows"})
SITE_KINDS = frozenset(
    (
        *("path", "query", "body", "run", "statement", "charge", "dispute"),
        *("gateway", "binding", "alert", "reading", "quarantine"),
    )
)
_ROUTE = frozenset({"permission", "open", "resource", "site", "masks", "filters", "sorts", "limited", "media"})
_SECTIONS = frozenset({"roles", "permissions", "routes", "fields"})


@cache
def shipped_policy() -> Policy:
    """Give the policy of this program; raises DocumentError."""
    folder = resources.files(__package__).joinpath("policy")
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return read_policy([TomlSource.parse(one.read_text(encoding="utf-8"), one.name) for one in files])


def read_policy(sources: list[TomlSource]) -> Policy:
    """Make one table of several files; raises DocumentError."""
    faults = list(_Checker(sources).faults())
    if faults:
        raise DocumentError(tuple(faults))
    roles, permissions, routes, fields = (
        _merged(sources, name) for name in ("roles", "permissions", "routes", "fields")
    )
    granted = {name: frozenset(those) for name, those in permissions.items()}
    return Policy(
        roles={name: _role(name, one, granted) for name, one in roles.items()},
        permissions=granted,
        classes=CLASSES,
        routes={key: _route(key, row) for key, row in routes.items()},
        fields={name: {path: _classes(told) for path, told in rules.items()} for name, rules in fields.items()},
    )


def _merged(sources: list[TomlSource], section: str) -> dict[str, Any]:
    return {key: row for source in sources for key, row in source.content.get(section, {}).items()}


def _role(name: str, row: Mapping[str, Any], granted: Mapping[str, frozenset[str]]) -> Role:
    permissions = frozenset(permission for permission, roles in granted.items() if name in roles)
    return Role(name, row["zh"], row["en"], permissions, frozenset(row["sees"]))


def _route(key: str, row: Mapping[str, Any]) -> RouteRule:
    method, _, path = key.partition(" ")
    return RouteRule(
        method=method,
        path=path,
        permission=row.get("permission"),
        open_because=row.get("open", ""),
        resource=row.get("resource", ""),
        site=row.get("site", "none" if "open" in row else "all"),
        masks=row.get("masks", "door"),
        filters=row.get("filters", {}),
        sorts=row.get("sorts", ""),
        is_limited=row.get("limited", True),
        media=row.get("media", ""),
    )


def _classes(told: str | list[str]) -> Classes:
    return frozenset({told} if isinstance(told, str) else told)


class _Checker:
    """Finds what does not fit together."""

    def __init__(self, sources: list[TomlSource]) -> None:
        self._sources = sources
        self._roles = set(_merged(sources, "roles"))
        self._permissions = set(_merged(sources, "permissions"))
        self._resources = set(_merged(sources, "fields"))

    def faults(self) -> Iterator[Fault]:
        """Give every fault."""
        yield from self._twice()
        for source in self._sources:
            for section in source.content.keys() - _SECTIONS:
                yield self._fault(
                    source, (section,), f"[{section}] is no part of the table", f"one of {sorted(_SECTIONS)}"
                )
            for name, role in source.content.get("roles", {}).items():
                yield from self._unknown(source, ("roles", name), role.get("sees", ()), CLASSES, "class")
            for name, roles in source.content.get("permissions", {}).items():
                yield from self._unknown(source, ("permissions", name), roles, self._roles, "role")
            for key, row in source.content.get("routes", {}).items():
                yield from self._route(source, key, row)
            for name, rules in source.content.get("fields", {}).items():
                for path, told in rules.items():
                    yield from self._unknown(source, ("fields", name, path), _classes(told), CLASSES, "class")

    def _route(self, source: TomlSource, key: str, row: Mapping[str, Any]) -> Iterator[Fault]:
        place = ("routes", key)
        yield from self._unknown(source, place, row, _ROUTE, "setting of a route")
        if ("permission" in row) == ("open" in row):
            yield self._fault(source, place, f"{key} has neither or both of permission and open", "give one of them")
        if "permission" in row:
            yield from self._unknown(source, place, (row["permission"],), self._permissions, "permission")
        if row.get("resource"):
            yield from self._unknown(source, place, (row["resource"],), self._resources, "resource")
        if row.get("masks", "door") not in ("door", "itself"):
            yield self._fault(source, place, f"{key}: masks is {row['masks']!r}", 'say "door" or "itself"')
        kind, _, parameter = row.get("site", "none").partition(":")
        if not (kind in SITE_KINDS if parameter else kind in SITE_WORDS):
            mend = f"one of {sorted(SITE_WORDS)}, or one of {sorted(SITE_KINDS)} with :parameter"
            yield self._fault(source, place, f"{key}: site is {row['site']!r}", mend)

    def _twice(self) -> Iterator[Fault]:
        seen: set[tuple[str, str]] = set()
        for source in self._sources:
            for section in _SECTIONS & source.content.keys():
                for key in source.content[section]:
                    if (section, key) in seen:
                        yield self._fault(source, (section, key), f"{key} stands twice in [{section}]", "keep one")
                    seen.add((section, key))

    def _unknown(self, source: TomlSource, place: tuple[str, ...], told: Any, known: Any, what: str) -> Iterator[Fault]:
        for one in told:
            if one not in known:
                yield self._fault(source, place, f"{one!r} is no {what}", f"take one of {sorted(known)}")

    def _fault(self, source: TomlSource, place: tuple[str, ...], problem: str, mend: str) -> Fault:
        return Fault(path=source.path, line=source.line(*place), problem=problem, mend=mend)

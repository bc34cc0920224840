"""Gateways as pages show them, and alerts, for the database in memory: `queries/fleet.sql` and `queries/alerts.sql`.

Nothing is in quarantine here, and nothing raises alarms: what looks for causes is tested on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]
ALGORITHM = -8
_FIELDS = (
    *("alert", "kind", "scope", "subject", "severity", "opened_at", "seen_at", "closed_at", "times", "detail"),
    *("acknowledged_at", "acknowledged_by", "note", "change"),
)


class FleetAnswers:
    """Answers the queries about gateways and alerts from `Tables`."""

    _tables: Any

    def _gateway_chains(self, a: Arguments) -> Iterator[Row]:
        for (gateway, epoch), key in sorted(self._tables.gateway_keys.items(), key=lambda one: (one[0][0], -one[0][1])):
            if a["gateway"] in (None, gateway):
                yield self._chain(gateway, epoch, key[2], a)

    def _chain(self, gateway: str, epoch: int, key_id: bytes, a: Arguments) -> Row:
        site, newest, enrolled_at = self._tables.gateways[gateway]
        head = self._tables.heads.get((gateway, epoch), {})
        held = {place[2]: row for place, row in sorted(self._tables.ledger.items()) if place[:2] == (gateway, epoch)}
        contiguous, highest = head.get("contiguous_seq", 0), head.get("highest_seq", 0)
        behind = [row[2] for seq, row in held.items() if seq > contiguous and highest > contiguous][: a["looked"]]
        accepted = [seq for seq, row in held.items() if row[3] is None]
        shown = accepted[-1:] if epoch == newest else []
        octets = self._tables.envelopes[gateway, epoch, shown[0]][: a["octets"]] if shown else None
        kinds = [one["kind"] for one in self._kept() if one["closed_at"] is None and one["subject"] == gateway]
        return (
            *(gateway, site, epoch, epoch == newest, enrolled_at, key_id, ALGORITHM, contiguous, highest),
            *(head.get("newest_mark"), head.get("envelopes", 0), head.get("repeats", 0), head.get("received_at"), 0),
            *(min(behind, default=None), len(behind), octets, held[shown[0]][2] if shown else None, sorted(kinds)),
            False,
        )

    def _chain_gaps(self, a: Arguments) -> Iterator[Row]:
        for (gateway, epoch), head in sorted(self._tables.heads.items(), reverse=True):
            before = head["contiguous_seq"]
            for place, row in sorted(self._tables.ledger.items()) if gateway == a["gateway"] else ():
                if place[:2] == (gateway, epoch) and place[2] > before:
                    if place[2] > before + 1:
                        yield (epoch, before + 1, place[2] - 1, row[2])
                    before = place[2]

    def _key_facts(self, a: Arguments) -> list[Row]:
        return [
            (epoch, None, None)
            for gateway, epoch in sorted(self._tables.gateway_keys, reverse=True)
            if gateway == a["gateway"]
        ]

    def _set_key_level(self, _: Arguments) -> None:
        pass

    def _certificates_of(self, _: Arguments) -> list[Row]:
        return []

    def _quarantine_of_gateway(self, _: Arguments) -> list[Row]:
        return []

    def _equivocations_of(self, _: Arguments) -> list[Row]:
        return []

    def _site_faces(self, _: Arguments) -> list[Row]:
        newest = {site: row[3] for (site, _), row in sorted(self._tables.sites.items())}
        return [(site, one["calendar"]["zone"], *map(one["names"].get, ("zh", "en"))) for site, one in newest.items()]

    def _lock_alerts(self, _: Arguments) -> None:
        pass

    def _add_alerts(self, a: Arguments) -> None:
        columns = zip(a["kinds"], a["scopes"], a["subjects"], a["severities"], a["details"], strict=True)
        for kind, scope, subject, severity, detail in columns:
            number = len(self._tables.alerts) + 1
            begun = {"alert": number, "kind": kind, "scope": scope, "subject": subject, "severity": severity}
            blank = dict.fromkeys(("closed_at", "acknowledged_at", "acknowledged_by"))
            self._tables.alerts[number] = {
                **begun,
                **blank,
                "opened_at": a["now"],
                "seen_at": a["now"],
                "times": 1,
                "note": "",
                "detail": detail.obj,
                "change": self._next_change(),
            }

    def _close_alerts(self, a: Arguments) -> None:
        for number in a["alerts"]:
            self._change(number, closed_at=a["now"])

    def _acknowledge(self, a: Arguments) -> None:
        told = {"acknowledged_at": a["now"], "acknowledged_by": a["by"], "note": a["note"]}
        self._change(a["alert"], **told, **({"closed_at": a["now"]} if a["closes"] else {}))

    def _find_alert(self, a: Arguments) -> list[Row]:
        return [_row(one) for one in self._kept() if one["alert"] == a["alert"]]

    def _open_alerts(self, _: Arguments) -> list[Row]:
        return [_row(one) for one in self._kept() if one["closed_at"] is None]

    def _list_alerts(self, a: Arguments) -> list[Row]:
        ordered = sorted(self._wanted(a), key=lambda one: (one["closed_at"] is not None, -one["change"]))
        return [_row(one) for one in ordered[: a["most"]]]

    def _changed_alerts(self, a: Arguments) -> list[Row]:
        found = [one for one in self._wanted(a) if one["change"] > a["after"]]
        return [_row(one) for one in sorted(found, key=lambda one: one["change"])[: a["most"]]]

    def _newest_change(self, _: Arguments) -> list[Row]:
        return [(self._next_change() - 1,)]

    def _wanted(self, a: Arguments) -> list[dict[str, Any]]:
        return [
            one
            for one in self._kept()
            if (one["closed_at"] is None or not a["only_open"])
            and all(a[name] in (None, one[name]) for name in ("kind", "scope", "subject"))
        ]

    def _change(self, number: int, **told: Any) -> None:
        self._tables.alerts[number] = self._tables.alerts[number] | told | {"change": self._next_change()}

    def _next_change(self) -> int:
        return max((one["change"] for one in self._kept()), default=0) + 1

    def _kept(self) -> list[dict[str, Any]]:
        return list(self._tables.alerts.values())


def _row(one: Mapping[str, Any]) -> Row:
    return tuple(one[name] for name in _FIELDS)

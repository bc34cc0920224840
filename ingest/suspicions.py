"""What makes a gateway suspect, for its history: two contents under one seq, a claim in wrong hands.

An alert comes with the next look and closes when somebody acknowledges it; the history of a gateway keeps the cause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ingest.alert_findings import claims_misused, equivocations
from ingest.alert_rules import Finding
from ingest.alert_words import cause_mend, cause_text, kind_word
from ingest.console.words import Language
from ingest.store.alerts import clones, misuses_counted
from ingest.store.database import Connection


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One cause, as the rules find it; `at` is when it showed last."""

    at: datetime
    finding: Finding

    def to_document(self) -> dict[str, Any]:
        """Give it for programs, with its words in both languages."""
        cause = self.finding.cause
        return {
            "at": self.at.isoformat(),
            "gateway": cause.subject,
            "kind": str(cause.kind),
            "detail": dict(self.finding.detail),
            "title": {str(language): kind_word(cause.kind, language) for language in Language},
            "text": {str(language): cause_text(cause, self.finding.detail, language) for language in Language},
            "mend": {str(language): cause_mend(cause, language) for language in Language},
        }


def suspicions(connection: Connection, gateways: Collection[str]) -> tuple[Suspicion, ...]:
    """Give what makes any of `gateways` suspect, acknowledged or not, the oldest first."""
    return tuple(sorted(_found(connection, frozenset(gateways)), key=lambda one: one.at))


def _found(connection: Connection, gateways: Collection[str]) -> Iterator[Suspicion]:
    # As if nobody had acknowledged anything: history forgets nothing.
    for clone in clones(connection):
        if clone.gateway in gateways:
            for finding in equivocations([replace(clone, covered=0)], {}):
                yield Suspicion(clone.raised_at, finding)
    for misuse in misuses_counted(connection):
        if misuse.gateway in gateways:
            for finding in claims_misused([replace(misuse, covered=0)], {}):
                yield Suspicion(misuse.noted_at, finding)

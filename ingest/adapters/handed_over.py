"""The consumer's part where a caller hands envelopes over itself, as over HTTP: receipts are collected for him."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.ports import Arrival


class HandedOver:
    """Has nothing to receive from anywhere; keeps the receipts of what was handed over."""

    def __init__(self) -> None:
        self.receipts: list[bytes] = []

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:  # noqa: ARG002 - as the port says
        """Give nothing."""
        return ()

    def publish(self, topic: str, octets: bytes) -> None:  # noqa: ARG002 - as the port says
        """Keep a receipt."""
        self.receipts.append(octets)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """There is no broker to tell."""

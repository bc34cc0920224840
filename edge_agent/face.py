"""What a running gateway shows: one document for a person's `status`, and the same numbers as metrics for Prometheus.

Nothing secret is in it, and nothing of it changes anything. A reading is shown with the times it was read at.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge_agent.figures import LineFigures
from edge_agent.ordered_settings import Shelf
from edge_agent.ports import Outbox
from edge_agent.uplink import Link
from edge_agent.vitals import Vitals
from metering.clock import Clock
from metering.identity import MeterId, PortId
from provisioning.gateway_config import GatewayConfig

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]


class Uplinked(Protocol):
    """What is asked of the uplink."""

    @property
    def link(self) -> Link:
        """State of the session with the broker."""


@dataclass(frozen=True, slots=True)
class Face:
    """Where the numbers of one running gateway come from.

    offsets_s   by meter, how far its own clock is ahead [s]
    figures     what each line has carried
    """

    config: GatewayConfig
    vitals: Vitals
    outbox: Outbox
    uplink: Uplinked
    clock: Clock
    shelf: Callable[[], Shelf]
    offsets_s: Callable[[], Mapping[MeterId, int]] = dict
    figures: Callable[[], Mapping[PortId, LineFigures]] = dict

    def document(self) -> dict[str, Any]:
        """Give the status as plain parts."""
        config, state, shelf = self.config, self.clock.state(), self.shelf()
        head, receipted = self.outbox.head(config.epoch), self.outbox.receipted(config.epoch)
        heard = self.vitals.receipt()
        return {
            "gateway": config.gateway,
            "epoch": config.epoch,
            "up_s": round(self.vitals.up_s),
            "idle_s": round(self.vitals.idle_s, 1),
            "clock": {
                "now": self.clock.now().isoformat(),
                "quality": state.quality.name.lower(),
                "error_ms": state.error_ms,
            },
            "centre": {
                "link": self.uplink.link.value,
                "receipt_age_s": None if heard is None else round(heard[1]),
                "server_time": None if heard is None else heard[0].server_time.isoformat(),
            },
            "outbox": {"last_seq": head.seq, "receipted_seq": receipted, "waiting": head.seq - receipted},
            "settings": {
                "seen": shelf.seen,
                "ordered": shelf.in_force is not None,
                "on_trial": shelf.trial is not None,
            },
            "ports": [self._port(port.id) for port in config.ports],
            "meters": self._meters(),
        }

    def metrics(self) -> str:
        """Give the same in Prometheus's text form."""
        lines: list[str] = []
        for name, kind, told, samples in self._samples():
            lines.append(f"# HELP metertree_gateway_{name} {told}")
            lines.append(f"# TYPE metertree_gateway_{name} {kind}")
            lines.extend(f"metertree_gateway_{name}{_labels(labels)} {amount:g}" for labels, amount in samples)
        return "\n".join(lines) + "\n"

    def _port(self, port: PortId) -> dict[str, Any]:
        vitals = self.vitals.ports().get(port)
        if vitals is None:
            return {"port": port, "swept_at": None}
        return {
            "port": port,
            "swept_at": None if vitals.swept_at is None else vitals.swept_at.isoformat(),
            "sweep_s": round(vitals.sweep_s, 3),
            "sweeps": vitals.sweeps,
            "answered": vitals.answered,
            "silent": vitals.silent,
        }

    def _meters(self) -> list[dict[str, Any]]:
        offsets_s = self.offsets_s()
        return [
            {
                "meter": meter,
                "quality": reading.quality.name.lower(),
                "read_at": reading.ended_at.isoformat(),
                "clock_ahead_s": offsets_s.get(meter),
            }
            for meter, reading in sorted(self.vitals.meters().items())
        ]

    def _samples(self) -> Iterator[tuple[str, str, str, Sequence[Sample]]]:
        state, config, shelf = self.clock.state(), self.config, self.shelf()
        waiting = self.outbox.head(config.epoch).seq - self.outbox.receipted(config.epoch)
        heard = self.vitals.receipt()
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield "info", "gauge", "Which gateway this is.", [({"gateway": config.gateway, "epoch": str(config.epoch)}, 1)]
        yield "up_seconds", "gauge", "Since the start with these settings.", [({}, self.vitals.up_s)]
        yield "poll_idle_seconds", "gauge", "Since the poll cycle last gave a sign.", [({}, self.vitals.idle_s)]
        yield "clock_quality", "gauge", "0 unknown, 1 estimated, 2 synchronised.", [({}, int(state.quality))]
        if state.error_ms is not None:
            yield "clock_error_seconds", "gauge", "How wrong the clock may be.", [({}, state.error_ms / 1000)]
        yield "broker_connected", "gauge", "1 while the session stands.", [({}, float(self.uplink.link is Link.ONLINE))]
        if heard is not None:
            yield "receipt_age_seconds", "gauge", "Since the centre's newest receipt.", [({}, heard[1])]
        yield "outbox_waiting", "gauge", "Batches without receipt.", [({}, waiting)]
        yield "settings_seen", "gauge", "Highest number of settings ordered.", [({}, shelf.seen)]
        yield "settings_on_trial", "gauge", "1 while settings are on trial.", [({}, float(shelf.trial is not None))]
        yield from self._port_samples()
        ahead = [({"meter": meter}, float(one)) for meter, one in sorted(self.offsets_s().items())]
        yield "meter_clock_ahead_seconds", "gauge", "How far a meter's own clock is ahead.", ahead
        yield "resident_bytes_max", "gauge", "Most memory ever used.", [({}, used.ru_maxrss * 1024.0)]
        yield "cpu_seconds_total", "counter", "Processor time used.", [({}, used.ru_utime + used.ru_stime)]

    def _port_samples(self) -> Iterator[tuple[str, str, str, Sequence[Sample]]]:
        ports = sorted(self.vitals.ports().items())
        figures = sorted(self.figures().items())
        yield (
            "sweep_seconds",
            "gauge",
            "The newest sweep, from its mark on.",
            [({"port": p}, v.sweep_s) for p, v in ports],
        )
        yield "sweeps_total", "counter", "Sweeps.", [({"port": p}, v.sweeps) for p, v in ports]
        yield "meters_silent", "gauge", "Not answered in the newest sweep.", [({"port": p}, v.silent) for p, v in ports]
        read = [({"port": p, "quality": q.name.lower()}, n) for p, v in ports for q, n in sorted(v.by_quality.items())]
        yield "readings_total", "counter", "Readings by quality.", read
        for name, told in (
            ("exchanges", "Requests sent."),
            ("silent", "Conversations without answer."),
            ("spoiled", "Conversations with a wrong answer."),
            ("refused", "Error replies."),
            ("strays", "Octets that belonged to no answer."),
            ("busy_s", "Time with a conversation on the line."),
        ):
            samples = [({"port": p}, float(getattr(one, name))) for p, one in figures]
            yield f"line_{name.replace('busy_s', 'busy_seconds')}_total", "counter", told, samples


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f"{name}={json.dumps(text)}" for name, text in labels.items()) + "}"

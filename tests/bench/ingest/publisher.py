"""Sends a recorded load over MQTT 3.1.1 and waits for its receipts, as lean as a socket allows.

`python -m tests.bench.ingest.publisher PORT FILE WINDOW`: FILE holds pickled `Item`s; at most WINDOW envelopes of one
gateway are sent beyond its last receipt, as a real gateway does. Prints when it began and ended, and how long an
envelope waited for its receipt: a live one if there are any, else any.
"""

from __future__ import annotations

import json
import pickle
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Collection
from pathlib import Path

from metering.receipt import open_receipt
from metering.topics import receipt_topic
from tests.conftest import SeededSigner

Item = tuple[str, str, bytes, float]
"""Gateway, topic, octets, and when it is sealed [s after the beginning]; 0: it has waited for long."""
LOGIN = ("load", "l")
CENTRE = SeededSigner("metertree test centre").verifier
CHUNK = 1 << 18


def text(content: bytes) -> bytes:
    """A length of two octets, and the content."""
    return len(content).to_bytes(2, "big") + content


def packet(first: int, body: bytes) -> bytes:
    """An MQTT packet."""
    length, remaining = bytearray(), len(body)
    while True:
        remaining, digit = divmod(remaining, 128)
        length.append(digit | (0x80 if remaining else 0))
        if not remaining:
            return bytes([first]) + bytes(length) + body


def connect(port: int, topics: list[str]) -> socket.socket:
    """Log in and subscribe."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    user, password = LOGIN
    body = b"\x00\x04MQTT\x04\xc2\x00\x00" + text(b"bench-load") + text(user.encode()) + text(password.encode())
    link.sendall(packet(0x10, body))
    assert link.recv(4, socket.MSG_WAITALL)[3] == 0, "login refused"
    filters = b"".join(text(topic.encode()) + b"\x00" for topic in topics)
    link.sendall(packet(0x82, b"\x00\x01" + filters))
    return link


class Packets:
    """Cuts what comes into packets."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, octets: bytes) -> list[tuple[int, bytes]]:
        """Give every whole packet."""
        held = self._held
        held += octets
        found, at = [], 0
        while len(held) - at >= 2:
            length, shift, to = 0, 0, at + 1
            while to < len(held) and shift < 28:
                length |= (held[to] & 127) << shift
                shift += 7
                to += 1
                if not held[to - 1] & 128:
                    break
            else:
                break
            if held[to - 1] & 128 or len(held) < to + length:
                break
            found.append((held[at], bytes(held[to : to + length])))
            at = to + length
        del held[:at]
        return found


class Play:
    """What is still to be sent, what was, and what was receipted."""

    def __init__(self, load: list[Item], window: int) -> None:
        self.queues: dict[str, deque[tuple[float, bytes]]] = {}
        for number, (gateway, topic, octets, at) in enumerate(load):
            body = text(topic.encode()) + (number % 65535 + 1).to_bytes(2, "big") + octets
            self.queues.setdefault(gateway, deque()).append((at, packet(0x32, body)))
        self.live = {gateway for gateway, _, _, at in load if at > 0}
        self.totals = {gateway: len(queue) for gateway, queue in self.queues.items()}
        self.sent, self.receipted = dict.fromkeys(self.totals, 0), dict.fromkeys(self.totals, 0)
        self.waits: list[float] = []
        self._window = window
        self._sealed: dict[tuple[str, int], float] = {}

    def is_over(self, but: Collection[str] = ()) -> bool:
        """Whether everything is receipted, but for what those gateways sent."""
        return all(self.receipted[one] == total for one, total in self.totals.items() if one not in but)

    def fill(self, out: bytearray, elapsed: float) -> None:
        """Add what may be sent now."""
        for gateway, queue in self.queues.items():
            while queue and queue[0][0] <= elapsed and len(out) < 4 * CHUNK:
                if self.sent[gateway] - self.receipted[gateway] >= self._window:
                    break
                at, octets = queue.popleft()
                out += octets
                self.sent[gateway] += 1
                self._sealed[gateway, self.sent[gateway]] = at or elapsed

    def take(self, body: bytes, elapsed: float) -> None:
        """Note a receipt."""
        length = int.from_bytes(body[:2], "big")
        receipt = open_receipt(body[2 + length :], CENTRE)
        gateway = receipt.gateway
        for seq in range(self.receipted[gateway] + 1, receipt.contiguous_seq + 1):
            sealed_at = self._sealed.pop((gateway, seq))
            if not self.live or gateway in self.live:
                self.waits.append(elapsed - sealed_at)
        self.receipted[gateway] = max(self.receipted[gateway], receipt.contiguous_seq)


def main(port: str, file: str, window: str) -> None:
    """Send everything; end with the last receipt."""
    play = Play(pickle.loads(Path(file).read_bytes()), int(window))
    link = connect(int(port), [receipt_topic(gateway) for gateway in play.totals])  # type: ignore[arg-type]
    packets, out = Packets(), bytearray()
    began = time.time()
    backlog_ended = None
    while not play.is_over():
        play.fill(out, time.time() - began)
        readable, writable, _ = select.select([link], [link] if out else [], [], 0.02 if play.live else 30)
        assert readable or writable or play.live, "nothing moves"
        if writable:
            del out[: link.send(out[:CHUNK])]
        for first, body in packets.take(link.recv(CHUNK)) if readable else ():
            if first >> 4 == 3:
                play.take(body, time.time() - began)
        if backlog_ended is None and play.is_over(play.live):
            backlog_ended = time.time()
    waits = sorted(play.waits)
    told = {"began": began, "ended": time.time(), "backlog_ended": backlog_ended, "waits": len(waits)}
    told |= {"p50": waits[len(waits) // 2], "p99": waits[int(0.99 * (len(waits) - 1))], "cpu": time.process_time()}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

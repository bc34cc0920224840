"""What a broker says of its limits when a session begins, held against what intake needs. Only MQTT 5 says it.

Mosquitto besides counts what it dropped for want of room in a queue, which it tells neither sender nor receiver.
"""

from __future__ import annotations

from paho.mqtt.properties import Properties

from metering.envelope import ENVELOPE_OCTETS_MAX

PACKET_OCTETS_MIN = ENVELOPE_OCTETS_MAX + 1024
"""The longest envelope with its topic."""
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
"""Where Mosquitto says how many messages it dropped since it was started; other brokers say nothing there."""
SILENT = "over MQTT 3.1.1 a broker does not tell its limits; receipts and resending make up for what it drops"


def limits_too_low(properties: Properties | None) -> list[str]:
    """Name what is too low for intake; `properties` are those of the CONNACK, None where MQTT 3.1.1 is spoken."""
    found: list[str] = []
    octets = getattr(properties, "MaximumPacketSize", None)
    if octets is not None and octets < PACKET_OCTETS_MIN:
        found.append(f"it takes packets of {octets} octets; the longest envelope needs {PACKET_OCTETS_MIN}")
    if getattr(properties, "MaximumQoS", None) == 0:
        found.append("it has no QoS 1, so envelopes are lost while a worker is away")
    if getattr(properties, "WildcardSubscriptionAvailable", 1) == 0:
        found.append("it has no wildcard subscriptions, which every intake worker needs")
    return found


def dropped_told(octets: bytes) -> list[str]:
    """Say what a count of dropped messages means; nothing for none, or for what is no count."""
    text = octets.decode("ascii", "replace").strip()
    if not text.isdigit() or int(text) == 0:
        return []
    mend = "raise max_queued_messages and max_queued_bytes; gateways send these again"
    return [f"it has dropped {text} messages since it was started, their queue was full; {mend}"]

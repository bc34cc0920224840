"""The latency timer of USB serial adapters: how long their chip holds octets back before it hands them over.

FTDI chips start with 16 ms, which costs every exchange that much; 1 ms is right for a bus. The kernel shows and takes
the number in /sys/bus/usb-serial/devices/<tty>/latency_timer; a udev rule sets it for good.
"""

from __future__ import annotations

from pathlib import Path

DEVICES = Path("/sys/bus/usb-serial/devices")
LATENCY_MS_MAX = 2
"""More than this is worth a hint [ms]."""
UDEV_RULE = (
    'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
    "   (a file such as /etc/udev/rules.d/60-metertree.rules)"
)


def latency_ms(device: str, devices: Path = DEVICES) -> int | None:
    """Give the latency timer of a serial device [ms]; None where it has none."""
    name = Path(device).resolve().name
    try:
        return int((devices / name / "latency_timer").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def latency_hint(device: str, devices: Path = DEVICES) -> str | None:
    """Say what is wrong with the adapter's latency timer and how to mend it; None where nothing is."""
    found_ms = latency_ms(device, devices)
    if found_ms is None or found_ms <= LATENCY_MS_MAX:
        return None
    place = devices / Path(device).resolve().name / "latency_timer"
    return (
        f"{device} holds octets back for {found_ms} ms in every exchange: echo 1 > {place}; for good by a udev rule: "
        f"{UDEV_RULE}"
    )

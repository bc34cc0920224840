"""An independent DLMS client, `dlms-cosem` 21.3.2 (MIT), reads our simulated meter: an oracle, never a dependency.

    uv venv /tmp/oracle && uv pip install --python /tmp/oracle dlms-cosem==21.3.2 cbor2
    PYTHONPATH=. /tmp/oracle/bin/python -m tests.long.dlms_oracle

Says for each way whether the client read the true register, and for two known faults of the client whether they are
still there (docs/adr/0076). Ends with 1 when something is not as said.
"""

from __future__ import annotations

import contextlib
import io
import sys
from datetime import UTC, datetime
from typing import Any

from device_profiles.families.dlms import DlmsSource
from device_profiles.families.dlms_end import DlmsEnd, SimulatedObject
from device_profiles.framing import dlms_history
from device_profiles.framing.acse import Mechanism
from device_profiles.framing.cosem import moment_to_octets
from device_profiles.framing.dlms import DlmsOptions
from device_profiles.framing.hdlc_link import LinkLimits
from device_profiles.framing.published_secrets import AUTHENTICATION, CLIENT_TITLE, ENCRYPTION, PASSWORD
from device_profiles.framing.xdlms import Attribute
from device_profiles.profile import Channel, ChannelKind
from metering.obis import Obis
from metering.quantity import Unit

REGISTER = 0x12345678
WITH_FLAGS = 0x7E7E0000
COUNT = 4
PUBLIC = DlmsOptions(16)


def meter(options: DlmsOptions, address: str, register: int = REGISTER, **more: Any) -> DlmsEnd:
    """Give a simulated meter with COUNT registers, each one higher than the one before."""
    objects = []
    for tariff in range(COUNT):
        obis = Obis.parse(f"1-0:1.8.{tariff}")
        value, scaler = Attribute(3, obis, 2), Attribute(3, obis, 3)
        channel = Channel(obis, Unit.WH, 0, ChannelKind.COUNTER, None, DlmsSource(value))
        objects.append(SimulatedObject(channel, value, None, scaler))
    return DlmsEnd(tuple(objects), options, address, lambda obis: register + obis.e, is_wrapped=False, **more)


class Wire:
    """What the client takes for a serial port: a request is answered at once, silence is a timeout."""

    def __init__(self, end: DlmsEnd) -> None:
        self._end = end
        self._octets = b""

    def write(self, octets: bytes) -> None:
        """Take a request."""
        self._octets += self._end.answer(bytes(octets)) or b""

    def read_until(self, mark: bytes) -> bytes:
        """Give octets up to `mark`."""
        at = self._octets.find(mark) + 1 or len(self._octets)
        octets, self._octets = self._octets[:at], self._octets[at:]
        if not octets:
            raise TimeoutError("silence")
        return octets


def read_by_client(
    end: DlmsEnd, options: DlmsOptions, address: str, *, is_list: bool = False, **secrets: Any
) -> list[int]:
    """Have the client associate and read; gives the registers it found."""
    from dlms_cosem import cosem, enumerations
    from dlms_cosem.clients.dlms_client import DlmsClient
    from dlms_cosem.clients.hdlc_transport import SerialHdlcTransport

    logical, _, physical = address.partition("/")
    transport = SerialHdlcTransport(
        client_logical_address=options.client,
        server_logical_address=int(logical),
        server_physical_address=int(physical) if physical else None,
        serial_port="none",
        serial=Wire(end),
    )
    client = DlmsClient(options.client, int(logical), transport, **secrets)
    client.connect()
    client.associate()
    names = [
        cosem.CosemAttribute(enumerations.CosemInterface.REGISTER, cosem.Obis(1, 0, 1, 8, tariff), 2)
        for tariff in range(COUNT)
    ]
    if is_list:
        chosen = [cosem.CosemAttributeWithSelection(attribute=name, access_selection=None) for name in names]
        return [each.value for each in client.get_many(chosen).response_data]
    return [int.from_bytes(client.get(name)[1:]) for name in names]


def same_range() -> bool:
    """Say whether the client asks for rows between two moments in our octets, where both leave the zone unsaid."""
    from dlms_cosem import cosem, enumerations
    from dlms_cosem.cosem.capture_object import CaptureObject
    from dlms_cosem.cosem.selective_access import RangeDescriptor

    first, last = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)
    clock = cosem.CosemAttribute(enumerations.CosemInterface.CLOCK, cosem.Obis(0, 0, 1, 0, 0), 2)
    theirs = bytes(
        RangeDescriptor(CaptureObject(clock), first.replace(tzinfo=None), last.replace(tzinfo=None)).to_bytes()
    )
    moments = [int(each.timestamp()) for each in (first, last)]
    read = dlms_history.history_between(Obis.parse("1-0:99.1.0"), *moments, PUBLIC)
    ours = read.attributes[-1].to_wire()[10:]
    for moment in moments:  # weekday, hundredths, zone and state are left unsaid in different ways
        known = moment_to_octets(moment)
        ours = ours.replace(known, known[:4])
        start = theirs.index(known[:4])
        theirs = theirs[: start + 4] + theirs[start + 12 :]
    return ours == theirs


def main() -> int:
    """Try every way."""
    from dlms_cosem.enumerations import AuthenticationMechanism

    password = {"authentication_method": AuthenticationMechanism.LLS, "password": PASSWORD}
    keys = {
        "authentication_method": AuthenticationMechanism.HLS_GMAC,
        "encryption_key": ENCRYPTION,
        "authentication_key": AUTHENTICATION,
        "client_system_title": CLIENT_TITLE,
        "client_initial_invocation_counter": 1,
    }
    low, ciphered = DlmsOptions(1, Mechanism.LOW), DlmsOptions(1, Mechanism.GMAC, is_ciphered=True)
    small = {"limits": LinkLimits(16, 128)}
    ways: list[tuple[str, DlmsOptions, str, dict[str, Any], dict[str, Any], bool]] = [
        ("lowest", PUBLIC, "1/17", {}, {}, True),
        ("lowest, address of one octet", PUBLIC, "1", {}, {}, True),
        ("a list", PUBLIC, "1/17", {}, {"is_list": True}, True),
        ("a list in segments", PUBLIC, "1/17", small, {"is_list": True}, True),
        ("blocks", PUBLIC, "1/17", {"pdu_octets": 24}, {}, True),
        ("password", low, "1/17", {}, password, True),
        ("GMAC, ciphered", ciphered, "1/17", {}, keys, True),
        ("GMAC, ciphered, a list", ciphered, "1/17", {}, {"is_list": True, **keys}, True),
        ("a register with 7E in it", PUBLIC, "1/17", {"register": WITH_FLAGS}, {}, False),
        ("an address of four octets", PUBLIC, "1/200", {}, {}, False),
    ]
    faults = 0
    for name, options, address, of_meter, of_client, works in ways:
        register = of_meter.get("register", REGISTER)
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # the client writes out what it deciphers
                found = read_by_client(meter(options, address, **of_meter), options, address, **of_client)
            is_read = found == [register + tariff for tariff in range(COUNT)]
        except TimeoutError:
            is_read = False
        faults += is_read is not works
        sys.stdout.write(f"{name:32} {'read' if is_read else 'not read'}{'' if is_read is works else '  UNEXPECTED'}\n")
    is_same = same_range()
    sys.stdout.write(f"{'rows between two moments':32} {'asked alike' if is_same else 'asked otherwise  UNEXPECTED'}\n")
    return int(bool(faults) or not is_same)


if __name__ == "__main__":
    sys.exit(main())

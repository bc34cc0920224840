"""Protocol families: everything about a protocol's sources that the rest need not know.

Owns: what a source table holds, which reads a group takes, how a body becomes mantissas, and the meter's end for
simulation. Does not own: frames (device_profiles/framing) and what a profile says in general (profile.py).
Read `family.py` first, then `dlt645.py`, the smallest.
"""

from __future__ import annotations

from device_profiles.families.cjt188 import CJT188
from device_profiles.families.dlms import DLMS
from device_profiles.families.dlt645 import DLT645
from device_profiles.families.family import Family
from device_profiles.families.hand import HAND
from device_profiles.families.iec62056_21 import IEC62056_21
from device_profiles.families.mbus import MBUS
from device_profiles.families.modbus import MODBUS
from device_profiles.families.pulse import PULSE
from device_profiles.profile import Protocol
from metering.errors import MeteringError

FAMILIES: tuple[Family, ...] = (
    MODBUS,
    DLT645,
    CJT188,
    MBUS,
    IEC62056_21,
    DLMS,
    PULSE,
    HAND,
)
_BY_PROTOCOL = {protocol: family for family in FAMILIES for protocol in family.protocols}


class FamilyUnknown(MeteringError):
    """No family of this version reads by the protocol."""


def family_of(protocol: Protocol) -> Family:
    """Give the family of `protocol`; raises FamilyUnknown."""
    if protocol not in _BY_PROTOCOL:
        raise FamilyUnknown(f"{protocol} is not spoken by this version")
    return _BY_PROTOCOL[protocol]

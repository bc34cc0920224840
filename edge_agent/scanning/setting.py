"""Give a meter another address or speed over the line, where its profile says how. Never without being asked to.

Before anything is written: one meter alone answers at the old address, its model is known for certain, and nobody
answers at the new one. Afterwards the meter is looked for where it should be now, by its number if it has one.
"""

from __future__ import annotations

from dataclasses import replace

from device_profiles.catalogue import Catalogue
from device_profiles.families.modbus_source import form_of, own
from device_profiles.framing import codec_of, modbus_write
from device_profiles.framing.modbus_pdu import check_address
from device_profiles.framing.modbus_write import ModbusWrite
from device_profiles.identification import setting_channel
from device_profiles.profile import Profile, Protocol, Setting
from edge_agent.ports import Bus
from edge_agent.scanning.identification import Examination
from edge_agent.scanning.listening import Heard, Sound, listen, silence_after
from edge_agent.scanning.result import FoundMeter, line_text
from edge_agent.scanning.searches import PRESENCE, SECOND_ANSWER_S
from metering.errors import MeteringError
from provisioning.site import LineSettings

WAIT_S = 1.0
"""How long a meter may take to answer, or to store what it was told [s]."""
LOOKS = 3
_RTU = (Protocol.MODBUS_RTU, Protocol.MODBUS_RTU_OVER_TCP)


class SettingRefused(MeteringError):
    """A meter is not set, or cannot be found where it was set to; the text says why and what to do."""


def set_address(bus: Bus, catalogue: Catalogue, meter: FoundMeter, address: str) -> FoundMeter:
    """Give `meter` another address; gives the meter as it is read from now on. Raises SettingRefused or PortLost."""
    check_address(address)
    profile = _profile(catalogue, meter)
    setting = _allowed(profile, profile.settable.address, "address")
    if address == meter.address:
        raise SettingRefused(f"unit {address} has this address already; choose another one")
    _require_alone(bus, catalogue, meter)
    if (there := _look(bus, address, meter.line)).sound is not Sound.SILENCE:
        what = "somebody answers" if there.is_somebody else "something is heard"
        raise SettingRefused(f"{what} at unit {address} already; choose an address that is free")
    _write(bus, meter, setting, int(address))
    moved = replace(meter, address=address)
    _require_there(bus, catalogue, moved, f"unit {address}", meter)
    return moved


def set_baud(bus: Bus, catalogue: Catalogue, meter: FoundMeter, baud: int) -> FoundMeter:
    """Give `meter` another speed [bit/s]; the rest as for an address."""
    if meter.line is None:
        raise SettingRefused("the line has no speed that could be changed from here; set its converter")
    profile = _profile(catalogue, meter)
    setting = _allowed(profile, profile.settable.baud, "speed")
    if setting.mantissa(baud) is None:
        known = ", ".join(str(each) for each, _ in sorted(setting.codes))
        raise SettingRefused(f"{profile.id} cannot be set to {baud} bit/s; it knows {known}")
    if baud == meter.line.baud:
        raise SettingRefused(f"unit {meter.address} is set to {baud} bit/s already")
    _require_alone(bus, catalogue, meter)
    line = replace(meter.line, baud=baud)
    if _look(bus, meter.address, line).sound is not Sound.SILENCE:
        raise SettingRefused(f"somebody answers as unit {meter.address} at {line_text(line)} already; mend that first")
    _write(bus, meter, setting, baud)
    moved = replace(meter, line=line)
    _require_there(bus, catalogue, moved, line_text(line), meter)
    return moved


def _profile(catalogue: Catalogue, meter: FoundMeter) -> Profile:
    if meter.protocol not in _RTU:
        raise SettingRefused(f"meters that speak {meter.protocol} are not set from here; use the meter's own way")
    if meter.profile is None:
        told = ", ".join(each.profile for each in meter.candidates) or "no known model"
        raise SettingRefused(
            f"unit {meter.address} may be {told}: no setting is written to a model that is not certain"
        )
    return catalogue.by_id(meter.profile)


def _allowed(profile: Profile, setting: Setting | None, what: str) -> Setting:
    if setting is None:
        raise SettingRefused(f"the profile of {profile.id} does not say how its {what} is set; set it at the meter")
    return setting


def _require_alone(bus: Bus, catalogue: Catalogue, meter: FoundMeter) -> None:
    if not _is_there(bus, catalogue, meter):
        raise SettingRefused(
            f"unit {meter.address} does not answer alone and under its number any more; scan the line again"
        )


def _require_there(bus: Bus, catalogue: Catalogue, moved: FoundMeter, place: str, before: FoundMeter) -> None:
    for _ in range(LOOKS):
        if _is_there(bus, catalogue, moved):
            return
    if _is_there(bus, catalogue, before):
        told = catalogue.by_id(before.profile or "").settable.told.get(
            "en", "look whether the meter locks its settings"
        )
        raise SettingRefused(f"the meter says it is set, but it is where it was: {told}")
    raise SettingRefused(f"the meter is not found at {place} after it was set: some need their supply cut; scan again")


def _is_there(bus: Bus, catalogue: Catalogue, meter: FoundMeter) -> bool:
    """Say whether one meter alone answers, of this model and with this number."""
    if not _look(bus, meter.address, meter.line).is_somebody:
        return False
    if listen(bus, silence_after(SECOND_ANSWER_S), SECOND_ANSWER_S, meter.line).octets:
        return False
    codec = codec_of(meter.protocol)
    examination = Examination(
        meter.protocol, lambda read, _: listen(bus, codec.converse(meter.address, read), WAIT_S, meter.line)
    )
    found = examination.identify([catalogue.by_id(meter.profile or "")])
    return bool(found.candidates) and not found.broken and found.serial == meter.serial


def _look(bus: Bus, address: str, line: LineSettings | None) -> Heard:
    """Ask whether somebody is at `address`."""
    return listen(bus, codec_of(Protocol.MODBUS_RTU).converse(address, PRESENCE), WAIT_S, line)


def _write(bus: Bus, meter: FoundMeter, setting: Setting, number: int) -> None:
    mantissa = setting.mantissa(number)
    if mantissa is None:
        raise SettingRefused(f"{number} cannot be written")
    octets = form_of(setting_channel(setting)).to_octets(mantissa)
    write = ModbusWrite(int(meter.address), own(setting.source).address, octets)
    heard = listen(bus, modbus_write.converse(write), WAIT_S, meter.line)
    if heard.sound is Sound.REFUSAL:
        raise SettingRefused(f"unit {meter.address} refuses to be set; unlock it at the meter and try again")
    # A meter that answers at its new address or speed already, or not at all, is looked for there.

"""Scan a line: what is likeliest for its cost is asked first, who answers is examined, and it ends by itself.

    scan(port, catalogue, expected, progress) -> ScanResult

Theory of operation. Lanes (`lanes.py`) say what to ask next; a search (`searches.py`) asks it and spots meters; each is
examined at once (`identification.py`), since it may be the last that is expected. Every block that was asked and every
meter that was found goes into the state file, so an interrupted scan goes on where it was. See docs/adr/0082.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.framing import codec_of
from device_profiles.framing.conversation import MeterSecrets
from device_profiles.framing.modbus_pdu import UNIT_ID_MAX
from device_profiles.profile import Profile, Protocol, ReadRequest
from edge_agent.port_readers import bus_of
from edge_agent.ports import Bus
from edge_agent.scanning import searches
from edge_agent.scanning.identification import Examination
from edge_agent.scanning.journal import Journal
from edge_agent.scanning.lanes import Lane, Lanes, lanes_for
from edge_agent.scanning.listening import Heard, Sound, listen
from edge_agent.scanning.matching import NUMBERED, missing_of
from edge_agent.scanning.result import (
    Duplicate,
    ExpectedMeter,
    Foreign,
    FoundMeter,
    Progress,
    ScanEnd,
    ScanProgress,
    ScanResult,
    SerialSource,
    line_text,
)
from edge_agent.scanning.searches import Question, Search, Several, Spotted
from metering.clock import Clock, SystemClock
from metering.errors import MeteringError
from provisioning.site import LineSettings, SerialPort, StreamPort, TcpPort

READ_S_MIN, READ_S_MAX = 0.25, 1.5
"""Bounds of how long a register of a meter that has answered is waited for [s]."""
TELL_S = 0.2
"""How often progress is told, finds apart [s]."""
FREE_TOLD = 10
BROKEN_READS = 2
"""So many reads that stay broken, at an address where something answers, are more than one meter."""


class ScanCancelled(MeteringError):
    """Somebody told the scan to stop."""


@dataclass(slots=True)
class _Known:
    """What a scan knows so far."""

    found: list[FoundMeter] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)
    asked: int = 0


def scan(
    port: SerialPort | StreamPort | TcpPort,
    catalogue: Catalogue,
    expected: Sequence[ExpectedMeter] = (),
    progress: Progress | None = None,
    *,
    everything: bool = False,
    cancel: threading.Event | None = None,
    state: Path | None = None,
    bus: Bus | None = None,
    clock: Clock | None = None,
) -> ScanResult:
    """Find the meters on `port`; nobody else may use the line meanwhile. Raises PortLost.

    expected     meters that the plan says hang there: they are looked for first, and finding all of them ends the scan
    everything   ask also what is unlikely, and go on when all expected are found
    cancel       set to have the scan end after the present question; what was found is given all the same
    state        a file that lets an interrupted scan go on; removed when the scan has ended by itself
    bus          the line, for tests; opened and closed here otherwise
    """
    clock = clock or SystemClock()
    line = bus or bus_of(port, clock)
    line.open()
    try:
        return Scan(port, catalogue, expected, line, clock, progress, cancel, Journal(state)).run(everything=everything)
    finally:
        if bus is None:
            line.close()


class Scan:
    """One scan of one line."""

    def __init__(
        self,
        port: SerialPort | StreamPort | TcpPort,
        catalogue: Catalogue,
        expected: Sequence[ExpectedMeter],
        bus: Bus,
        clock: Clock,
        progress: Progress | None,
        cancel: threading.Event | None,
        journal: Journal,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._expected = tuple(expected)
        self._progress = progress
        self._cancel = cancel
        self._models = catalogue.profiles
        self._lanes: Lanes = lanes_for(port, self._models, self._expected)
        self._journal = journal
        self._known = _Known()
        self._everything = False
        self._began = clock.now()
        self._before_s = 0.0
        self._told_s = -TELL_S
        self._block_before: tuple[Lane, tuple[str, ...], float] | None = None
        self._late = False
        self._odd = 0  # octets and answers that came from somebody who was not asked just then

    def run(self, *, everything: bool) -> ScanResult:
        """Ask until all is found, or what is likely has been asked."""
        self._everything = everything
        twice = self._resume()
        end = ScanEnd.ALL_FOUND
        try:
            self._ask_again(twice)
            while not self._is_complete():
                lane = self._lanes.next(everything=everything)
                if lane is None:
                    end = ScanEnd.ALL_ASKED if self._lanes.share_asked > 0.999 else ScanEnd.LIKELY_ASKED
                    break
                self._ask_block(lane)
        except ScanCancelled:
            end = ScanEnd.CANCELLED
        if end is not ScanEnd.CANCELLED:
            self._journal.remove()
        known = self._known
        return ScanResult(
            found=tuple(known.found),
            duplicates=tuple(known.duplicates),
            foreign=tuple(known.foreign),
            missing=self._missing(),
            free_addresses=self._free(),
            end=end,
            asked=known.asked,
            elapsed_s=self._elapsed_s,
        )

    def _resume(self) -> tuple[Duplicate, ...]:
        """Take over what an interrupted scan of the same line knew; give where it heard two meters at one address."""
        earlier = self._journal.read()
        if earlier is None:
            return ()
        self._known.found.extend(earlier.found)
        self._known.foreign.extend(_foreign(each) for each in earlier.found if not each.candidates)
        self._before_s = earlier.elapsed_s
        for lane in self._lanes.lanes:
            lane.at = min(earlier.blocks.get(lane.key, 0), len(lane.blocks))
        for meter in earlier.found:
            self._lanes.note_find(meter.protocol, meter.line)
        return tuple(earlier.duplicates)

    def _ask_again(self, twice: Iterable[Duplicate]) -> None:
        """Ask where two meters answered: since then one may have been taken off, or given another address."""
        for each in twice:
            at = (each.protocol, each.line)
            lane = next((one for one in self._lanes.lanes if (one.protocol, one.line) == at), None)
            if lane is None:
                continue
            if each.protocol.is_modbus:
                self._run(searches.modbus_ids((each.address,), (), searches.SLOW_S, each.protocol), lane)
            else:
                lane.at = 0

    def _has_all(self, protocol: Protocol) -> bool:
        """Say whether the expected meters of a protocol are found, and only they are wanted."""
        if self._everything or not self._expected:
            return False
        spoken = {each.id: set(each.links) for each in self._models}
        return not any(
            protocol in ({each.protocol} if each.protocol else spoken.get(each.profile, {protocol}))
            for each in self._missing()
        )

    def _is_found(self, protocol: Protocol, address: str) -> bool:
        return any(each.protocol is protocol and each.address == address for each in self._known.found)

    def _is_complete(self) -> bool:
        return bool(self._expected) and not self._everything and not self._missing()

    def _ask_block(self, lane: Lane) -> None:
        """Ask one block, and the block before it again where somebody seems to have answered it late."""
        before, self._late = self._block_before, False
        if not self._run(self._search(lane), lane):
            return
        if self._late and before is not None:
            again, units = before[0], [each for each in before[1] if not self._is_found(before[0].protocol, each)]
            if not self._run(searches.modbus_ids(units, (), searches.SLOW_S, again.protocol), again):
                return
        block = lane.blocks[lane.at]
        self._block_before = (lane, block, self._elapsed_s) if lane.protocol.is_modbus else None
        lane.at += 1
        self._journal.note_block(lane.key, lane.at, self._elapsed_s)

    def _run(self, search: Search, lane: Lane) -> bool:
        """Run a search to its end; False when with it the last expected meter was found."""
        heard: Heard | None = None
        try:
            step = search.send(None)
            while True:
                heard = None
                if isinstance(step, Question):
                    heard = self._hear(step, lane)
                elif isinstance(step, Spotted):
                    before = self._odd
                    self._examine(lane, step)
                    if self._is_complete():
                        return False
                    heard = Heard(Sound.SILENCE, strays=self._odd - before)
                else:
                    self._note_several(lane, step)
                step = search.send(heard)
        except StopIteration:
            pass
        finally:
            search.close()
        return True

    def _search(self, lane: Lane) -> Search:
        block = lane.blocks[lane.at]
        earlier = lane.blocks[lane.at - 1] if lane.at else ()
        numbers = [each.address or each.serial for each in self._expected if each.address or each.serial]
        if lane.protocol in (Protocol.DLT645_2007, Protocol.DLT645_1997):
            return searches.dlt645(lane.protocol, numbers, partial(self._has_all, lane.protocol))
        if lane.protocol is Protocol.CJT188_2004:
            return searches.cjt188(numbers)
        if lane.protocol is Protocol.MBUS:
            return searches.mbus(self._lanes.wait_s(lane))
        if lane.protocol is Protocol.IEC62056_21:
            return searches.iec62056_21(numbers)
        if lane.protocol is Protocol.DLMS_HDLC:
            return searches.dlms()
        return searches.modbus_ids(block, earlier, self._lanes.wait_s(lane), lane.protocol)

    def _hear(self, question: Question, lane: Lane) -> Heard:
        if self._cancel is not None and self._cancel.is_set():
            raise ScanCancelled
        heard = listen(self._bus, question.conversation(), question.wait_s, lane.line)
        self._known.asked += 1
        odd = heard.strays + (heard.sound is Sound.BROKEN)
        self._odd += odd
        if odd and self._block_before is not None:
            other, _, ended_s = self._block_before
            self._late |= other is not lane and self._elapsed_s - ended_s < 2 * searches.SLOW_S
        if heard.is_somebody:
            self._lanes.note_turnaround(lane.protocol, heard.turnaround_s)
        self._tell(question.told, lane)
        return heard

    def _examine(self, lane: Lane, spotted: Spotted) -> None:
        """Find out which model answers, and take it up; broken reads are two meters at one address."""
        protocol, address = lane.protocol, spotted.address
        if self._is_found(protocol, address):
            return
        wait_s = min(max(4 * spotted.heard.turnaround_s + 0.1, READ_S_MIN), READ_S_MAX)

        def ask(read: ReadRequest, secrets: MeterSecrets) -> Heard:
            question = Question(partial(codec_of(protocol).converse, address, read, secrets), wait_s, address)
            return self._hear(question, lane)

        identity = Examination(protocol, ask).identify(self._models_for(protocol, lane.line))
        if len(identity.broken) >= BROKEN_READS:
            self._note_several(lane, Several(address, identity.broken[0].octets))
            return
        serial, source = identity.serial, identity.serial_source
        if serial is None and protocol in NUMBERED:
            serial, source = address, SerialSource.ADDRESS
        elif serial is not None and protocol in NUMBERED:
            serial = serial.rjust(len(address), "0")
        elif serial is None and protocol is Protocol.MBUS and len(address) == 16:
            serial, source = address[:8], SerialSource.ADDRESS
        turnaround_s = max(spotted.heard.turnaround_s, identity.turnaround_s)
        meter = FoundMeter(
            protocol=protocol,
            address=address,
            line=lane.line,
            candidates=identity.candidates,
            serial=serial,
            serial_source=source,
            registers=identity.registers,
            turnaround_ms=round(turnaround_s * 1000),
        )
        self._take_up(lane, meter, spotted.told)

    def _take_up(self, lane: Lane, meter: FoundMeter, told: str) -> None:
        known = self._known
        known.found.append(meter)
        if not meter.candidates:
            known.foreign.append(_foreign(meter, told))
        self._lanes.note_find(meter.protocol, meter.line)
        self._journal.note_found(meter, self._elapsed_s)
        self._tell(meter.address, lane, meter)

    def _note_several(self, lane: Lane, several: Several) -> None:
        key = (lane.protocol, several.address)
        if any((each.protocol, each.address) == key for each in self._known.duplicates):
            return
        self._lanes.note_find(lane.protocol, lane.line)
        duplicate = Duplicate(lane.protocol, several.address, lane.line, octets=several.octets)
        self._known.duplicates.append(duplicate)
        self._journal.note_duplicate(duplicate, self._elapsed_s)

    def _models_for(self, protocol: Protocol, line: LineSettings | None) -> list[Profile]:
        """Order the models that speak `protocol`: expected ones, those found already, those delivered set like this."""
        expected = {each.profile for each in self._expected}
        found = {each.candidates[0].profile for each in self._known.found if each.candidates}

        def rank(profile: Profile) -> tuple[bool, bool, int, str]:
            serial = profile.links[protocol].serial if protocol in profile.links else None
            fits = serial is not None and line is not None and serial.parity == line.parity.value
            place = serial.bauds.index(line.baud) if fits and serial and line and line.baud in serial.bauds else 99
            return profile.id not in expected, profile.id not in found, place, profile.id

        spoken = {protocol, Protocol.MODBUS_RTU} if protocol.is_modbus else {protocol}
        return sorted((each for each in self._models if spoken & set(each.links)), key=rank)

    def _missing(self) -> tuple[ExpectedMeter, ...]:
        return missing_of(self._expected, self._known.found)

    def _free(self) -> dict[Protocol, tuple[str, ...]]:
        """Give the lowest unit ids at which nobody answers, at whatever setting."""
        modbus = [lane.protocol for lane in self._lanes.lanes if lane.protocol.is_modbus]
        if not modbus:
            return {}
        taken = {each.address for each in self._known.found if each.protocol.is_modbus}
        taken |= {each.address for each in self._known.duplicates if each.protocol.is_modbus}
        taken |= {each.address for each in self._expected}
        free = [str(unit) for unit in range(1, UNIT_ID_MAX + 1) if str(unit) not in taken]
        return {modbus[0]: tuple(free[:FREE_TOLD])}

    @property
    def _elapsed_s(self) -> float:
        return self._before_s + (self._clock.now() - self._began).total_seconds()

    def _tell(self, asking: str, lane: Lane, newest: FoundMeter | None = None) -> None:
        now_s = self._elapsed_s
        if self._progress is None or (newest is None and now_s - self._told_s < TELL_S):
            return
        self._told_s = now_s
        self._progress(
            ScanProgress(
                asking=f"{lane.protocol.value} {line_text(lane.line)} {asking}".replace("  ", " "),
                asked=self._known.asked,
                elapsed_s=now_s,
                left_s=self._lanes.left_s(everything=self._everything),
                likely=self._lanes.share_asked,
                found=tuple(self._known.found),
                duplicates=tuple(self._known.duplicates),
                newest=newest,
                protocol=lane.protocol,
                line=lane.line,
            )
        )


def _foreign(meter: FoundMeter, told: str = "") -> Foreign:
    return Foreign(meter.protocol, meter.address, meter.line, told)

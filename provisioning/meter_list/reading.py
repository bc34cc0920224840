"""The rows of a meter list as meters of a site: each taken as it stands, or told with row, column and mend.

Nothing is guessed. A model, a vague heading or a system of coordinates is decided by a person, once for the whole list
(`Choices`), and the finding says with which words. What only one answer fits is no guess and is told as a note: the one
protocol of a model, the one node of a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.profile import Profile, Protocol
from metering.errors import DocumentError, Fault
from metering.identity import IdentifierInvalid, MeterId, NodeId, PortId, UnitId, check_identifier
from provisioning.meter_list.cells import Row, find_named
from provisioning.meter_list.columns import NEEDED, NEEDED_OF_EXPECTED, Columns, find_columns, is_heading
from provisioning.meter_list.findings import ListFinding, Severity, finding
from provisioning.meter_list.model_names import model_suggestion, protocol_of
from provisioning.meter_list.table import Table, read_tables
from provisioning.order_file import ExpectedMeter
from provisioning.place import Place
from provisioning.site import Meter, Site, SiteInvalid, Span
from provisioning.toml_table import near

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decided about a list.

    columns            heading to field; "-" leaves a column out
    models             model as written to profile id
    sheet              name of the sheet, where there are several
    numbers_are_whole  number cells of serials and addresses were compared with the plates
    coordinates        "wgs84" where longitude and latitude are that; None: they are not read
    is_plan            the list says what an engineer is to find: where a meter hangs on the bus is not known yet
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    numbers_are_whole: bool = False
    coordinates: str | None = None
    is_plan: bool = False


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """A meter of the list: the row it stands in, the unit it serves, its start in local time as written."""

    row: int
    meter: Meter
    unit: UnitId | None
    start: datetime | None


@dataclass(frozen=True, slots=True)
class MeterList:
    """What a list gives: meters that are new to the site, or are expected, and all findings in reading order.

    rows     how many rows hold a meter; `known` of them the site has already, the same
    columns  heading and letter of each field that was read
    """

    sheet: str
    rows: int
    known: int
    columns: Mapping[str, str]
    meters: tuple[ListedMeter, ...]
    expected: tuple[ExpectedMeter, ...]
    findings: tuple[ListFinding, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every row can be taken: nothing is wrong and nothing waits for a decision."""
        return all(one.severity is Severity.NOTE for one in self.findings)


def read_meter_list(path: Path, site: Site, choices: Choices, catalogue: Catalogue | None = None) -> MeterList:
    """Read a CSV or XLSX list against a site; raises DocumentError where there is no list to be read at all."""
    catalogue = catalogue or Catalogue.shipped()
    table, columns, findings = _chosen_table(path, choices)
    missing = _missing(columns, choices)
    header = table.rows[columns.header][0]
    findings += [finding("column-missing", header, None, field=name) for name in missing]
    if table.encoding not in (None, "utf-8", "utf-8-sig"):
        findings.append(finding("encoding", encoding=table.encoding))
    if {"longitude", "latitude"} & columns.of.keys() and choices.coordinates is None:
        findings.append(finding("coordinates-vague", header, columns.place("longitude")))
    body = table.rows[columns.header + 1 :]
    meters: list[ListedMeter] = []
    expected: list[tuple[int, ExpectedMeter]] = []
    known = 0
    if not missing:
        reader = _Reader(site, catalogue, choices)
        for number, cells in body:
            row = Row(number, cells, columns, choices.numbers_are_whole)
            if choices.is_plan:
                planned = reader.expected(row)
                expected += [(number, planned)] if planned is not None else []
            else:
                listed = reader.meter(row)
                meters += [listed] if listed is not None else []
            findings += row.findings
            known += any(one.code == "already" for one in row.findings)
        named = [one.meter.id for one in meters] + [one.meter for _, one in expected]
        if "id" not in columns.of and named:
            findings.append(finding("ids-made", text=named[0]))
        twice = _twice(meters, expected, columns)
        findings += twice
        again = {one.row for one in twice}
        meters = [one for one in meters if one.row not in again]
        expected = [one for one in expected if one[0] not in again]
    titles = {name: table.rows[columns.header][1][column].text for name, column in columns.of.items()}
    ordered = sorted(findings, key=lambda one: (one.row or 0, len(one.column or ""), one.column or ""))
    plan = tuple(one for _, one in expected)
    return MeterList(table.name, len(body), known, titles, tuple(meters), plan, tuple(ordered))


def _places_of(port: object) -> tuple[str, str]:
    """Give how else people call a port: by its device, or by its host with and without the number."""
    host = getattr(port, "host", None)
    if host is None:
        return (str(getattr(port, "device", "")),) * 2
    return str(host), f"{host}:{getattr(port, 'port', '')}"


def _missing(columns: Columns, choices: Choices) -> list[str]:
    """Name the columns that must be there and are not."""
    missing = [name for name in (NEEDED_OF_EXPECTED if choices.is_plan else NEEDED) if name not in columns.of]
    missing += [] if {"node", "unit"} & columns.of.keys() else ["node"]
    if not choices.is_plan and not ({"ct", "pt"} <= columns.of.keys() or "multiplier" in columns.of):
        missing += ["ct", "pt"]
    return missing


def _chosen_table(path: Path, choices: Choices) -> tuple[Table, Columns, list[ListFinding]]:
    decided = set(choices.columns)
    tables = read_tables(path, is_heading=lambda text: is_heading(text) or text in decided)
    if choices.sheet is not None:
        names = [table.name for table in tables]
        tables = tuple(table for table in tables if table.name == choices.sheet)
        if not tables:
            raise _no_list(path, f"no sheet {choices.sheet!r}", near(choices.sheet, names))
    found = [(table, *find_columns(table, choices.columns)) for table in tables]
    fitting = [(table, columns, findings) for table, columns, findings in found if columns is not None]
    if not fitting:
        mend = "write headings such as 序列号/serial, 型号/model, 端口/port, 通信地址/address, 计量点/node, CT, PT"
        raise _no_list(path, "no row of headings is recognised in the first 20 rows", mend)
    if len(fitting) > 1:
        names = [table.name for table, _, _ in fitting]
        raise _no_list(path, f"several sheets hold lists: {', '.join(names)}", f"say --sheet {names[0]!r}")
    return fitting[0]


def _no_list(path: Path, problem: str, mend: str) -> DocumentError:
    return DocumentError((Fault(path=str(path), line=1, problem=problem, mend=mend),))


class _Reader:
    """Makes meters of rows."""

    def __init__(self, site: Site, catalogue: Catalogue, choices: Choices) -> None:
        self._site = site
        self._catalogue = catalogue
        self._choices = choices
        self._nodes = {str(one.id): (one.names.zh, one.names.en) for one in site.nodes}
        self._units = {str(one.id): (one.names.zh, one.names.en) for one in site.units}
        self._gateways = {str(one.id): (one.names.zh, one.names.en) for one in site.gateways}
        self._ports = {str(one.id): _places_of(one) for one in site.ports}
        self._by_serial = {one.serial: one for one in site.meters}

    def meter(self, row: Row) -> ListedMeter | None:
        """Give the meter of a row; None where the row cannot be taken, or the site has it already."""
        serial = row.digits("serial", zeros_count=True)
        profile = self._profile(row)
        port = self._port(row)
        protocol = self._protocol(row, profile)
        zeros = protocol is not None and not protocol.is_modbus
        address = row.digits("address", zeros_count=zeros)
        unit, node = self._node(row)
        ratios = self._ratios(row)
        start = row.moment("from")
        place = self._place(row)
        present = self._by_serial.get(serial or "")
        name = self._id(row, node) if present is None else str(present.id)
        if not row.is_taken:
            return None
        # Everything is there now: what is missing left a finding.
        if None in (serial, profile, port, protocol, address, node, ratios, name):
            return None
        meter = Meter(
            id=MeterId(name or ""),
            serial=serial or "",
            profile="" if profile is None else profile.id,
            protocol=Protocol(protocol or ""),
            port=PortId(port or ""),
            address=address or "",
            node=NodeId(node or ""),
            span=Span(None if start is None else start.replace(tzinfo=self._site.calendar.tz).astimezone(UTC)),
            ct=(ratios or (1, 1))[0],
            pt=(ratios or (1, 1))[1],
            place=place,
        )
        if present is not None:
            self._compare(row, meter, present)
            return None
        for other in self._site.meters_at(meter.node):
            if other.span.overlaps(meter.span):
                row.tell("node-taken", "node", text=meter.node, other=other.id, serial=other.serial)
                return None
        return ListedMeter(row.number, meter, None if unit is None else UnitId(unit), start)

    def expected(self, row: Row) -> ExpectedMeter | None:
        """Give what a row says of a meter that is to be found; what is not written stays open."""
        serial = row.digits("serial", zeros_count=True)
        profile = self._profile(row) if row.text("profile") is not None else None
        unit, node = self._node(row)
        ct, pt = row.ratio("ct"), row.ratio("pt")
        if row.ratio("multiplier") == 1:
            ct, pt = ct or 1, pt or 1
        place = self._place(row)
        name = self._id(row, node)
        if not row.is_taken or node is None or name is None:
            return None
        return ExpectedMeter(
            meter=MeterId(name),
            node=NodeId(node),
            unit=None if unit is None else UnitId(unit),
            serial=serial,
            profile=None if profile is None else profile.id,
            ct=ct,
            pt=pt,
            place=place,
        )

    def _compare(self, row: Row, listed: Meter, present: Meter) -> None:
        """Say how a meter that the site has already differs; a serial of the site is never taken a second time."""
        alike = replace(listed, id=present.id, line=present.line)
        if "from" not in row.columns.of:
            alike = replace(alike, span=present.span)
        if listed.place is None:
            alike = replace(alike, place=present.place)
        if alike == present:
            row.tell("already", "serial")
            return
        names = ("profile", "protocol", "port", "address", "node", "span", "ct", "pt", "place")
        pairs = [(name, getattr(present, name), getattr(alike, name)) for name in names]
        what = "; ".join(f"{name} {there} / {here}" for name, there, here in pairs if there != here)
        row.tell("differs", "serial", serial=listed.serial, what=what)

    def _profile(self, row: Row) -> Profile | None:
        text = row.needed("profile")
        if text is None:
            return None
        try:
            return self._catalogue.by_id(self._choices.models.get(text, text))
        except ProfileUnknown:
            close, suggestion = model_suggestion(text, self._catalogue)
            row.tell("model-said" if close else "model-unknown", "profile", text=text, suggestion=suggestion)
            return None

    def _protocol(self, row: Row, profile: Profile | None) -> Protocol | None:
        known = sorted(str(one) for one in (profile.links if profile is not None else Protocol))
        text = row.text("protocol")
        if text is not None:
            protocol = protocol_of(text)
            if protocol is None:
                row.tell("protocol-unknown", "protocol", text=text, known=", ".join(known))
            return protocol
        if profile is None:
            return None
        if len(profile.links) == 1:
            row.tell("protocol-only", "profile", protocol=known[0])
            return next(iter(profile.links))
        row.tell("protocol-empty", "protocol", known=", ".join(known))
        return None

    def _port(self, row: Row) -> str | None:
        port = self._named(row, "port", self._ports)
        if port is not None and row.columns.place("gateway") is not None and row.text("gateway") is not None:
            gateway = self._named(row, "gateway", self._gateways)
            expected = self._site.port(PortId(port)).gateway
            if gateway is not None and gateway != expected:
                row.tell("port-elsewhere", "port", port=port, expected=expected, gateway=gateway)
        return port

    def _node(self, row: Row) -> tuple[str | None, str | None]:
        """Give unit and node of a row; a unit names its node, and where both are written they must agree."""
        unit = self._named(row, "unit", self._units) if row.text("unit") is not None else None
        node_of_unit = None if unit is None else str(self._site.unit(UnitId(unit)).node)
        if row.text("node") is None and unit is not None:
            return unit, node_of_unit
        node = self._named(row, "node", self._nodes)
        if node is not None and node_of_unit not in (None, node):
            row.tell("unit-elsewhere", "unit", unit=unit, expected=node_of_unit, node=node)
        return unit, node

    def _named(self, row: Row, name: str, named: Mapping[str, tuple[str, str]]) -> str | None:
        text = row.needed(name)
        if text is None:
            return None
        found = find_named(text, named)
        if len(found) == 1:
            return found[0]
        if found:
            row.tell("name-vague", name, text=text, known=", ".join(found))
        else:
            row.tell("name-unknown", name, text=text, near=near(text, list(named)))
        return None

    def _ratios(self, row: Row) -> tuple[int, int] | None:
        ct, pt = row.ratio("ct"), row.ratio("pt")
        multiplier = row.ratio("multiplier")
        if multiplier is not None and ct is not None and pt is not None and ct * pt != multiplier:
            row.tell("multiplier-differs", "multiplier", text=multiplier, product=ct * pt)
        if multiplier == 1 and ct is None and pt is None:
            return 1, 1
        if multiplier is not None and (ct is None or pt is None):
            row.tell("multiplier-alone", "multiplier", text=multiplier)
            return None
        for name, ratio in (("ct", ct), ("pt", pt)):
            if ratio is None and row.is_taken:
                row.tell("empty", name)
        return None if ct is None or pt is None else (ct, pt)

    def _place(self, row: Row) -> Place | None:
        if self._choices.coordinates is None:
            return None
        lat, lon = row.degrees_e7("latitude", 90), row.degrees_e7("longitude", 180)
        if row.is_taken and (lat is None) != (lon is None):
            row.tell("half-a-place", "latitude" if lat is None else "longitude")
        return None if lat is None or lon is None else Place(lat, lon, None, row.text("place"))

    def _id(self, row: Row, node: str | None) -> str | None:
        text = row.text("id")
        if text is None and node is not None:
            text = f"m-{node}"
        if text is None:
            return None
        try:
            return check_identifier(text)
        except (IdentifierInvalid, SiteInvalid) as error:
            row.tell("id-bad", "id", text=text, why=error)
            return None


def _twice(meters: list[ListedMeter], expected: list[tuple[int, ExpectedMeter]], columns: Columns) -> list[ListFinding]:
    """Tell serials, ids, nodes of a plan and addresses of a port that stand in two rows."""
    stated: list[tuple[str, str, int]] = []
    for listed in meters:
        meter = listed.meter
        stated += [("serial", meter.serial, listed.row)]
        stated += [("id" if "id" in columns.of else "node", meter.id if "id" in columns.of else meter.node, listed.row)]
        stated += [("address", f"{meter.port} {meter.address}", listed.row)]
    for row, one in expected:
        stated += [("serial", one.serial or "", row), ("node", one.node, row)]
        stated += [("id", one.meter, row)] if "id" in columns.of else []
    first: dict[tuple[str, str], int] = {}
    found: list[ListFinding] = []
    for name, text, row in stated:
        other = first.setdefault((name, text), row)
        if other != row:
            found.append(finding("listed-twice", row, columns.place(name), field=name, text=text, other=other))
    return found

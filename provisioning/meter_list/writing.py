"""Meters of a list put into the files of a site: checked as a whole first, then the file is replaced at once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from device_profiles.catalogue import Catalogue
from metering.errors import DocumentError, Fault
from provisioning.meter_list.findings import ListFinding, finding
from provisioning.meter_list.reading import ListedMeter
from provisioning.place import Place, degrees_text
from provisioning.site import Site
from provisioning.site_draft import GATEWAYS_FILE, SITE_FILES, read_draft
from provisioning.site_file import read_site, site_of


def to_toml(listed: ListedMeter) -> str:
    """Give the entry of a meter as it stands in gateways.toml."""
    meter = listed.meter
    lines = ["[[meters]]"]
    for key in ("id", "serial", "profile", "protocol", "port", "address", "node"):
        lines.append(f"{key} = {json.dumps(str(getattr(meter, key)), ensure_ascii=False)}")
    lines += [f"ct = {meter.ct}", f"pt = {meter.pt}"]
    if listed.start is not None:
        lines.append(f"from = {listed.start.isoformat()}")
    if meter.place is not None:
        lines.append(f"place = {_place(meter.place)}")
    return "\n".join(lines) + "\n"


def _place(place: Place) -> str:
    note = "" if place.note is None else f", note = {json.dumps(place.note, ensure_ascii=False)}"
    return f'{{ lat = "{degrees_text(place.lat_e7)}", lon = "{degrees_text(place.lon_e7)}"{note} }}'


def with_meters(text: str, meters: Sequence[ListedMeter]) -> str:
    """Give the text of gateways.toml with the meters at its end."""
    return text.rstrip("\n") + "\n\n" + "\n".join(map(to_toml, meters))


def read_unfinished(directory: Path) -> Site:
    """Read a site that may lack meters still; raises DocumentError for what is no well-formed entry."""
    draft = read_draft(directory)
    if draft.faults:
        raise DocumentError(tuple(draft.faults))
    return site_of(draft)


def site_findings(directory: Path, meters: Sequence[ListedMeter], catalogue: Catalogue | None) -> list[ListFinding]:
    """Say what would be wrong with the site by these meters that is not wrong without them, each at its row."""
    if not meters:
        return []
    text = (directory / GATEWAYS_FILE).read_text(encoding="utf-8")
    before = len(text.rstrip("\n").splitlines())
    lines = enumerate(with_meters(text, meters).splitlines(), start=1)
    starts = [number for number, line in lines if line == "[[meters]]" and number > before]
    found = []
    for fault in _new_faults(directory, meters, catalogue):
        index = sum(start <= fault.line for start in starts) - 1
        ours = index >= 0 and Path(fault.path).name == GATEWAYS_FILE
        problem = fault.problem if ours else f"{Path(fault.path).name}:{fault.line}: {fault.problem}"
        found.append(finding("site", meters[index].row if ours else None, problem=problem, mend=fault.mend))
    return found


def write_meters(directory: Path, meters: Sequence[ListedMeter], catalogue: Catalogue | None = None) -> None:
    """Put the meters into gateways.toml of a site. Meters that the site lacks still are not asked for.

    Raises DocumentError, and writes nothing, where the site would not allow them.
    """
    faults = _new_faults(directory, meters, catalogue)
    if faults:
        raise DocumentError(tuple(faults))
    path = directory / GATEWAYS_FILE
    draft = path.with_name(f".{GATEWAYS_FILE}.import")
    with draft.open("w", encoding="utf-8") as file:
        file.write(with_meters(path.read_text(encoding="utf-8"), meters))
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, draft)
    draft.replace(path)


def _new_faults(directory: Path, meters: Sequence[ListedMeter], catalogue: Catalogue | None) -> list[Fault]:
    text = (directory / GATEWAYS_FILE).read_text(encoding="utf-8")
    present = {(fault.line, fault.problem) for fault in _faults(directory, text, catalogue)}
    after = _faults(directory, with_meters(text, meters), catalogue)
    return [fault for fault in after if (fault.line, fault.problem) not in present]


def _faults(directory: Path, gateways: str, catalogue: Catalogue | None) -> tuple[Fault, ...]:
    """Give all faults that the site would have with this gateways.toml."""
    with tempfile.TemporaryDirectory(prefix="metertree-import-") as folder:
        for name in SITE_FILES:
            if name != GATEWAYS_FILE and (directory / name).exists():
                shutil.copyfile(directory / name, Path(folder) / name)
        (Path(folder) / GATEWAYS_FILE).write_text(gateways, encoding="utf-8")
        try:
            read_site(Path(folder), catalogue)
        except DocumentError as error:
            return error.faults
    return ()

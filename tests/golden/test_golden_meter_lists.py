"""Meter lists as people keep them, and all that is said of them in both languages, finding by finding.

A case is a folder `meter-list-...` with the list, and `told.json`: what a person decided (`choices`), the meters that
the list gives and every finding with its place. The site is the park and a building C, whose units have no meters yet.
`python -m tests.golden.test_golden_meter_lists` writes what is told now, to be read before it is committed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from provisioning.document import to_document
from provisioning.meter_list import Choices, ListFinding, read_meter_list, read_unfinished, site_findings, write_meters
from provisioning.meter_list.findings import finding_codes
from provisioning.site import Site
from tests.doubles.readable_json import readable

HERE = Path(__file__).parent
PARK = HERE.parents[1] / "examples" / "park"
CASES = sorted(path.parent for path in HERE.glob("meter-list-*/told.json"))
READY = [
    case
    for case in CASES
    if (told := json.loads((case / "told.json").read_text("utf-8")))["meters"]
    and all(one["severity"] == "note" for one in told["findings"])
]
"""Cases that wait for nobody."""
SHOPS = 8


def building_c() -> str:
    """Give the tables of a building with shops, and of a place for its own meter."""
    accuracy = 'accuracy_class = "1"'
    names = 'names = { zh = "C 栋", en = "Building C" }'
    tables = [f'[[nodes]]\nid = "bldg-c"\nkind = "branch"\nparent = "main"\n{names}\n{accuracy}\n']
    for shop in range(1, SHOPS + 1):
        names = f'names = {{ zh = "C10{shop} 铺", en = "Shop C10{shop}" }}'
        tables.append(f'[[nodes]]\nid = "u-c10{shop}"\nkind = "end"\nparent = "bldg-c"\n{names}\n{accuracy}\n')
        area = f'building = "bldg-c"\narea_m2 = "4{shop}.50"\nnode = "u-c10{shop}"'
        tables.append(f'[[units]]\nid = "c10{shop}"\n{area}\n{names}\n')
    for spare in (1, 2):  # two places of one name
        names = 'names = { zh = "备用", en = "Spare" }'
        tables.append(f'[[nodes]]\nid = "spare-{spare}"\nkind = "end"\nparent = "bldg-c"\n{names}\n{accuracy}\n')
    return "\n" + "\n".join(tables)


@pytest.fixture(scope="module")
def site_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the park's folder with building C."""
    return made_site(tmp_path_factory.mktemp("park") / "site")


def made_site(folder: Path) -> Path:
    """Make the folder."""
    shutil.copytree(PARK, folder)
    path = folder / "site.toml"
    path.write_text(path.read_text(encoding="utf-8") + building_c(), encoding="utf-8")
    return folder


def told_of(case: Path, folder: Path, site: Site) -> dict[str, Any]:
    """Read a case's list as its choices say, and give all that comes of it."""
    choices = json.loads((case / "told.json").read_text(encoding="utf-8"))["choices"]
    (path,) = (path for path in case.iterdir() if path.suffix in {".csv", ".txt"})
    found = read_meter_list(path, site, Choices(**choices))
    findings = [*found.findings, *site_findings(folder, found.meters, None)]
    return {
        "choices": choices,
        "columns": dict(found.columns),
        "rows": found.rows,
        "known": found.known,
        "meters": [{"row": one.row, **to_document(one.meter)} for one in found.meters],
        "expected": [to_document(one) for one in found.expected],
        "findings": [shown(one) for one in findings],
    }


def shown(finding: ListFinding) -> dict[str, str]:
    """Give a finding as the case has it."""
    words = {language: finding.line(language) for language in ("zh", "en")}
    return {"code": finding.code, "severity": str(finding.severity), **words}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_list_is_told_as_its_case_says(case: Path, site_dir: Path) -> None:
    wanted = json.loads((case / "told.json").read_text(encoding="utf-8"))
    assert told_of(case, site_dir, read_unfinished(site_dir)) == wanted


@pytest.mark.parametrize("case", READY, ids=lambda case: case.name)
def test_a_list_that_nothing_stands_against_is_written_and_then_known(
    case: Path, site_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site_dir, folder)
    told = told_of(case, folder, read_unfinished(folder))
    (path,) = (path for path in case.iterdir() if path.suffix in {".csv", ".txt"})
    choices = Choices(**told["choices"])
    write_meters(folder, read_meter_list(path, read_unfinished(folder), choices).meters)
    again = read_meter_list(path, read_unfinished(folder), choices)
    assert (again.known, again.meters) == (told["known"] + len(told["meters"]), ())


def test_there_is_a_case_for_every_finding_that_a_text_file_can_give() -> None:
    codes = {one["code"] for case in CASES for one in json.loads((case / "told.json").read_text("utf-8"))["findings"]}
    only_in_sheets = {"number-cell", "formula", "formula-result"}
    assert set(finding_codes()) - codes == only_in_sheets


def main() -> None:
    """Write what is told of each case."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = made_site(Path(scratch) / "site")
        for case in CASES:
            told = told_of(case, folder, read_unfinished(folder))
            (case / "told.json").write_text(readable(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

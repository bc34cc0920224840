"""Meter lists that people keep in spreadsheets, read into a site; nothing is guessed.

`table` gives the cells of a CSV or XLSX file as a person sees them there. `columns` knows what headings mean. `reading`
makes meters of rows against a site, and a finding, with row and column, of all that it cannot take as it stands.
`writing` puts the meters into the site's files. Read `reading` first.
"""

from provisioning.meter_list.findings import ListFinding, Severity
from provisioning.meter_list.reading import Choices, ListedMeter, MeterList, read_meter_list
from provisioning.meter_list.writing import read_unfinished, site_findings, write_meters

__all__ = [
    "Choices",
    "ListFinding",
    "ListedMeter",
    "MeterList",
    "Severity",
    "read_meter_list",
    "read_unfinished",
    "site_findings",
    "write_meters",
]

"""The commissioning report: what was installed, by whom, with what proof, as HTML and PDF that prove themselves.

`files` makes and checks report files; read it first. `evidence` is what a report is made of, `facts` what that proves,
`composing` what of it is told and in which order (`blocks`, `words`, `drawings`), `page` and `paper` how it looks,
`seal` how a file carries evidence and signature. Nothing here asks a network.
"""

from provisioning.report.evidence import Evidence, evidence_of
from provisioning.report.facts import Installation, ReportImpossible, prove
from provisioning.report.files import CheckedReport, check_report, make_report
from provisioning.report.seal import ReportFileInvalid, ReportKind

__all__ = [
    "CheckedReport",
    "Evidence",
    "Installation",
    "ReportFileInvalid",
    "ReportImpossible",
    "ReportKind",
    "check_report",
    "evidence_of",
    "make_report",
    "prove",
]

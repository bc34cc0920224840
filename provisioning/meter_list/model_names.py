"""Models and protocols as people write them. A model is never taken for a profile unasked: it is proposed."""

from __future__ import annotations

import difflib
import re

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol

_SIGNS = re.compile(r"[\W_]+")


def bare(text: str) -> str:
    """Give letters and digits alone, in small letters."""
    return _SIGNS.sub("", text.casefold())


_PROTOCOLS = {bare(protocol): protocol for protocol in Protocol} | {
    "modbusrtuovertcp": Protocol.MODBUS_RTU_OVER_TCP,
    "dlt6452007": Protocol.DLT645_2007,
    "6452007": Protocol.DLT645_2007,
    "dlt64507": Protocol.DLT645_2007,
    "dlt6451997": Protocol.DLT645_1997,
    "6451997": Protocol.DLT645_1997,
    "dlt64597": Protocol.DLT645_1997,
    "cjt1882004": Protocol.CJT188_2004,
    "cjt1882018": Protocol.CJT188_2018,
    "1882004": Protocol.CJT188_2004,
    "1882018": Protocol.CJT188_2018,
    "iec6205621": Protocol.IEC62056_21,
}


def protocol_of(text: str) -> Protocol | None:
    """Give the protocol that is written as `text` (DL/T 645-2007, Modbus RTU); None where it may be several."""
    return _PROTOCOLS.get(bare(text))


def model_suggestion(text: str, catalogue: Catalogue) -> tuple[bool, str]:
    """Propose profiles for a model as written: whether any fits, and the words with which a person says so."""
    wanted = bare(text)
    names: dict[str, list[str]] = {}
    for one in catalogue.profiles:
        names[one.id] = [bare(one.id), bare(one.id.partition("/")[2]), *map(bare, one.names.values())]
    fitting = [one for one, known in names.items() if wanted and any(wanted in name for name in known)]
    if not fitting and wanted:
        tails = {known[1]: one for one, known in names.items()}
        fitting = [tails[close] for close in difflib.get_close_matches(wanted, list(tails), n=2, cutoff=0.75)]
    options = " | ".join(f"--model '{text}={one}'" for one in fitting[:4])
    return bool(fitting), options or "metertree-gateway profile list"

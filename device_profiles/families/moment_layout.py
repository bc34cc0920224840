"""How a moment's layout is written in a source table; shared by the families whose meters keep digits."""

from __future__ import annotations

from device_profiles.checked_table import CheckedTable
from device_profiles.wall_time import LayoutInvalid, WallTimeForm

_FALLBACK = "YYMMDD"


def read_layout(table: CheckedTable) -> str:
    """Read `layout`, how a moment stands in its octets; "" for a number."""
    layout = table.text("layout", "")
    try:
        if layout:
            WallTimeForm(layout)
    except LayoutInvalid as error:
        table.fault("layout", str(error), "write the parts in the order in which they come")
        return _FALLBACK
    return layout

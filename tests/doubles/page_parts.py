"""What a page of the console loads, as its tests look at it."""

from __future__ import annotations

import re

_PART = re.compile(r"<(?:script|link|img|style|iframe)\b[^>]*>|<[a-z][^>]*\s(?:style|on[a-z]+)=[^>]*>")
_OWN = re.compile(r"""<(?:script defer|script type="module"|link|img)[^>]*\s(?:src|href)="/static/""")


def foreign_parts(page: str) -> list[str]:
    """Give scripts, styles and pictures of a page that are no files of this service, and style or script inside it."""
    return [one for one in _PART.findall(page) if not _OWN.match(one)]

"""Says on the console where the page is and how to get in; the page itself is loaded only where one is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from device_profiles.catalogue import Catalogue
from edge_agent.installation.desk import Desk
from edge_agent.installed import Page, no_page
from metering.clock import SystemClock

log = logging.getLogger(__name__)

_TOLD = """
  安装页面 / installation page   {url}
  PIN                            {pin}
"""
_TOLD_TLS = "  证书指纹 / certificate         {fingerprint}\n"


def page_for(address: str | None, profiles: list[Path]) -> Page:
    """Give what shows the page at `address`; nothing for None. Raises PageUnreachable for what is no address."""
    if address is None:
        return no_page
    from edge_agent.page.server import PageAddress, PageUnreachable, page_shown

    where = PageAddress.parse(address)

    @contextmanager
    def page(desk: Desk) -> Iterator[None]:
        folders = [*profiles, *([desk.home.profiles] if desk.home.profiles.is_dir() else [])]
        with ExitStack() as opened:
            try:
                shown = opened.enter_context(page_shown(where, desk, Catalogue.load(*folders), SystemClock()))
            except PageUnreachable as error:
                if not desk.home.config.exists():
                    raise
                log.error(
                    "page-unreachable", extra={"reason": str(error)}
                )  # an installed gateway measures all the same
            else:
                told = _TOLD.format(url=shown.url, pin=" ".join((shown.pin[:4], shown.pin[4:])))
                told += "" if shown.fingerprint is None else _TOLD_TLS.format(fingerprint=shown.fingerprint)
                print(told, flush=True)
            yield

    return page

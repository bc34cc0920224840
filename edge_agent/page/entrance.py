"""Signing in and out, the language, the first page, and the install order."""

from __future__ import annotations

from typing import Any

import bottle

from edge_agent.page.access import SESSION_S
from edge_agent.page.call import COOKIE, Call, House, redirected
from edge_agent.page.words import LANGUAGES, Words

BY_LENGTH_MAX = 60
GROUPS_TYPED = 2
"""So many groups of the fingerprint are typed: enough that somebody looked, few enough to be done on a ladder."""


class Entrance:
    """The pages before and around the work."""

    def __init__(self, house: House) -> None:
        self._house = house

    def sign_in_form(self, words: Words) -> str:
        """Ask for the PIN."""
        return self._house.render("sign_in.html", w=words, call=None, flash=None, state=None)

    def sign_in(self, words: Words) -> Any:
        """Let in, or say why not."""
        form = bottle.request.forms.decode()
        by = form.get("by", "").strip()
        if not by or len(by) > BY_LENGTH_MAX or not by.isprintable():
            return self._again(words, words("sign-in.no-name"))
        came = self._house.door.sign_in(form.get("pin", ""), by, words.language)
        if came.session is None:
            waits = words("sign-in.closed", wait=int(came.wait_s) + 1)
            return self._again(words, waits if came.wait_s else words("sign-in.wrong"))
        answer = redirected("/")
        options = {"httponly": True, "samesite": "strict", "path": "/", "secure": self._house.is_secure}
        answer.set_cookie(COOKIE, came.session.key, max_age=int(SESSION_S), **options)
        return answer

    def sign_out(self, call: Call) -> str:
        """Close the session."""
        self._house.door.sign_out(call.session)
        return "/sign-in"

    def language(self, call: Call) -> str | None:
        """Speak the other language from now on."""
        call.session.language = next(one for one in LANGUAGES if one != call.session.language)
        return None

    def home(self, call: Call) -> str:
        """Show how far the installation is, and what is next."""
        return call.page("home.html")

    def order_form(self, call: Call) -> str:
        """Ask for the order file, or show the one that was opened or taken."""
        octets = call.session.kept.get("order")
        shown = None if octets is None else call.desk.look_at(octets)
        return call.page("order.html", shown=shown)

    def open_order(self, call: Call) -> str | None:
        """Look into an order file; nothing is kept of it on the machine."""
        octets = call.file("order")
        if octets is None:
            call.flash(call.words("order.no-file"))
            return None
        call.desk.look_at(octets)
        call.session.kept["order"] = octets
        return "/order"

    def forget_order(self, call: Call) -> str:
        """Choose another file."""
        call.session.kept.pop("order", None)
        return "/order"

    def take_order(self, call: Call) -> str | None:
        """Take the order that was opened; its fingerprint was compared."""
        octets = call.session.kept.get("order")
        if octets is None:
            return "/order"
        shown = call.desk.look_at(octets)
        if not shown.is_anchored and not is_end_of(call.text("groups") or "", shown.fingerprint):
            call.flash(call.words("order.groups-wrong"))
            return None
        call.desk.begin(octets, call.who, confirmed=shown.fingerprint, claim=call.text("claim"))
        del call.session.kept["order"]
        return "/"

    def _again(self, words: Words, told: str) -> str:
        return self._house.render("sign_in.html", w=words, call=None, flash=(told, "bad"), state=None)


def is_end_of(typed: str, fingerprint: str) -> bool:
    """Say whether what was typed is how a fingerprint ends: its last two groups at least."""
    wanted = "".join(fingerprint.replace(":", " ").split()[-GROUPS_TYPED:]).lower()
    given = "".join(typed.replace(":", " ").split()).lower()
    whole = "".join(fingerprint.replace(":", " ").split()).lower()
    return len(given) >= len(wanted) and whole.endswith(given)

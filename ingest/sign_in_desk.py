"""Signing in: a name and a password, then a second factor where one is set up; a link for who has no password yet.

Outcomes that are expected are values, each with the word by which a page tells it. Guessing is counted before anything
is hashed, and what is wrong is not told: an unknown name, a wrong password and a removed operator are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ingest.access.principal import ADMINISTRATOR
from ingest.caller import SERVICE, Caller
from ingest.passwords import HashingBusy, is_password, needs_renewal, require_good, step_of
from ingest.store.database import Connection, Database, load_queries
from ingest.store.operators import Post, add_operator
from ingest.store.sessions import end_session, session_of, start_session
from ingest.store.sign_in_failures import Attempt, forgive, is_held, note_failure
from ingest.store.sign_ins import (
    SignIn,
    hold_sign_in,
    link_of,
    make_link,
    renew_hash,
    set_password,
    set_ups,
    sign_in_of,
    use_code,
    use_link,
    use_recovery,
)
from metering.clock import Clock

FIRST_NAME = "administrator"
"""Who is made at the first start of a centre that has nobody."""


class Outcome(StrEnum):
    """What came of an attempt."""

    IN = "in"
    CODE = "code"
    WRONG = "wrong"
    HELD = "held"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt, and what the session's cookie holds where there is one.

    recovery_left  codes that are left after one was used
    """

    outcome: Outcome
    token: str = ""
    recovery_left: int | None = None


@dataclass(frozen=True, slots=True)
class SignInDesk:
    """Lets operators in, over one store."""

    database: Database
    clock: Clock

    def sign_in(self, name: str, password: str, caller: Caller) -> Answer:
        """Look at name and password. `caller` names where it comes from; who it is, is what has to be shown."""
        now, attempt = self.clock.now(), Attempt(name, caller.where)
        with self.database.transaction() as connection:
            if is_held(connection, attempt, now):
                return Answer(Outcome.HELD)
            known = sign_in_of(connection, name)
        # Outside of a transaction: hashing takes long, and waits for room.
        try:
            is_right = is_password(password, None if known is None else known.password_hash)
        except HashingBusy:
            return Answer(Outcome.HELD)
        if not is_right or known is None:
            with self.database.transaction() as connection:
                note_failure(connection, attempt, now)
            return Answer(Outcome.WRONG)
        person = _in_person(caller, name)
        with self.database.transaction() as connection:
            # What was changed while it was hashed counts, and whoever changes it now ends this session too.
            held = hold_sign_in(connection, name)
            if held is None or held.password_hash != known.password_hash:
                note_failure(connection, attempt, now)
                return Answer(Outcome.WRONG)
            if needs_renewal(known.password_hash):
                renew_hash(connection, known, password)
            if held.code_secret is not None:
                return Answer(Outcome.CODE, start_session(connection, person, now, awaits_code=True))
            forgive(connection, attempt, now)
            return Answer(Outcome.IN, start_session(connection, person, now, awaits_code=False))

    def show_code(self, token: str, code: str, caller: Caller) -> Answer:
        """Look at the second factor of who has shown his password: a code of the phone, or a recovery code."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            half = session_of(connection, token, now)
            known = None if half is None or not half.awaits_code else hold_sign_in(connection, half.operator)
            # Again, now that his password stays as it is: with another one, half a session is over.
            half = session_of(connection, token, now)
            if half is None or known is None or known.code_secret is None:
                return Answer(Outcome.OVER)
            attempt = Attempt(known.operator, caller.where)
            if is_held(connection, attempt, now):
                return Answer(Outcome.HELD)
            found, left = self._is_code(connection, known, code)
            if not found:
                note_failure(connection, attempt, now)
                return Answer(Outcome.WRONG)
            forgive(connection, attempt, now)
            end_session(connection, half.session, half.operator, now)
            fresh = start_session(connection, _in_person(caller, known.operator), now, awaits_code=False)
            return Answer(Outcome.IN, fresh, left)

    def _is_code(self, connection: Connection, known: SignIn, code: str) -> tuple[bool, int | None]:
        assert known.code_secret is not None
        step = step_of(known.code_secret, code, self.clock.now())
        if step is not None:
            return use_code(connection, known.operator, step), None
        left = use_recovery(connection, known.operator, code)
        return left is not None, left

    def sign_out(self, token: str) -> None:
        """End the session of a cookie, if there is one."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            found = session_of(connection, token, now)
            if found is not None:
                end_session(connection, found.session, found.operator, now)

    # Links

    def operator_of_link(self, token: str) -> str | None:
        """Name whose link this is, if it still counts."""
        with self.database.transaction() as connection:
            found = link_of(connection, token, self.clock.now())
        return None if found is None else found.operator

    def choose_password(self, token: str, password: str, caller: Caller) -> Answer:
        """Choose a password by a link, which is used up, and sign in; raises PasswordWeak, which uses nothing up.

        A second factor stays: whoever got at the link alone does not get in.
        """
        operator = self.operator_of_link(token)
        if operator is None:
            return Answer(Outcome.OVER)
        require_good(password, operator)
        now, person = self.clock.now(), _in_person(caller, operator)
        with self.database.transaction() as connection:
            if use_link(connection, token, now) != operator:
                return Answer(Outcome.OVER)
            set_password(connection, operator, password, person, now)
            known = sign_in_of(connection, operator)
            awaits = known is not None and known.code_secret is not None
            fresh = start_session(connection, person, now, awaits_code=awaits)
        return Answer(Outcome.CODE if awaits else Outcome.IN, fresh)

    def first_link(self) -> str | None:
        """Make the administrator of a centre that has nobody, and give the token of his link.

        A link that ran out before anybody had a password is made anew; None where somebody can sign in, or may.
        """
        now = self.clock.now()
        with self.database.transaction() as connection:
            connection.execute(load_queries("sign_ins")["lock_first"])
            known = set_ups(connection, now)
            if any(one.password_at or one.link_until for one in known.values()):
                return None
            if not known:
                add_operator(connection, FIRST_NAME, SERVICE, now, Post((ADMINISTRATOR,)))
            elif FIRST_NAME not in known:
                return None
            return make_link(connection, FIRST_NAME, SERVICE, now)


def _in_person(caller: Caller, name: str) -> Caller:
    return Caller(name, caller.where, caller.device, in_person=True)

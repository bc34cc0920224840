"""What single meters taught about how they want to be asked: when a lesson counts, and where it is kept (pure).

What a failure teaches is device_profiles/learning.py's. Here noise is kept from teaching: of wrong answers only those
count that broke off in every attempt, and a lesson counts only when the reading that follows from it succeeds. It is
forgotten when the meter gets another profile, address or protocol.
"""

from __future__ import annotations

import typing

from device_profiles.framing.errors import ExceptionReply
from device_profiles.learning import Learned, learn
from device_profiles.profile import Group, Profile, Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from edge_agent.ports import AnswerCut
from metering.errors import MeterError

NOTHING = Learned()


class Lessons(typing.Protocol):
    """Where it is kept, by a key that names the meter and how it is asked."""

    def of(self, key: str) -> Learned:
        """Give what is known; NOTHING if nothing is."""

    def keep(self, key: str, learned: Learned) -> None:
        """Remember."""


class NoLessons:
    """Remembers nothing beyond the program's run."""

    def of(self, key: str) -> Learned:
        """Give NOTHING."""
        del key
        return NOTHING

    def keep(self, key: str, learned: Learned) -> None:
        """Forget."""


def plan_within(learned: Learned, profile: Profile, protocol: Protocol, group: Group) -> tuple[ReadRequest, ...]:
    """Give the reads for `group` of a meter that taught `learned`; raises PlanImpossible."""
    if learned == NOTHING:
        return plan_reads(profile, protocol, group)
    return plan_reads(profile, protocol, group, learned.applied(profile.link(protocol)))


def lesson(
    learned: Learned, profile: Profile, protocol: Protocol, group: Group, read: ReadRequest, error: MeterError
) -> Learned | None:
    """Say how to ask a meter that answered `read` by `error`; None where that is as before."""
    if not isinstance(error, AnswerCut | ExceptionReply):
        return None
    more = learn(profile, profile.link(protocol), learned, read, error)
    if more is None or plan_within(more, profile, protocol, group) == plan_within(learned, profile, protocol, group):
        return None
    return more

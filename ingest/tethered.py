"""Run a program that dies with the one that started it: `python tethered.py PARENT_PID ACCOUNT PROGRAM ARGUMENT...`.

Run as a script, with nothing but the standard library, because it stands between the supervisor and each program for a
moment only: it asks the kernel to kill this process when its parent dies (Linux), and becomes the program. A hook in
the forked child would be shorter, but is not safe in a supervisor that has threads. ACCOUNT is `UID:GID` to run as,
or `-` to stay: the kernel forgets the request when the user changes, so the user is changed here, before.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal to get when the parent dies. Kept over exec, cleared by a change of user."""


def main(argv: list[str]) -> None:
    """Tie this process to its parent, then become the program of `argv`."""
    parent, account, program = int(argv[0]), argv[1], argv[2:]
    if account != "-":
        uid, gid = account.split(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died before the kernel was asked")
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])

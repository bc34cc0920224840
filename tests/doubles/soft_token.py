"""SoftHSM2 as the token of tests, where the machine has it: one token for the whole run, each test a key of its own."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from provisioning.signers import TokenPlace

UNPACKED = Path(__file__).parents[2] / ".metertree/softhsm/usr/lib/softhsm/libsofthsm2.so"
"""Where scripts/install_softhsm.sh puts it."""
PLACES = (UNPACKED, Path("/usr/lib/softhsm/libsofthsm2.so"))
LABEL, PIN = "metertree-test", "canary-pin-4711"
LOCKED = "metertree-locked"
"""A token that no test unlocks: a session that is open would let a wrong PIN pass."""
_numbers = itertools.count(1)


def find_module() -> Path | None:
    """Give SoftHSM2's library, or None where it or python-pkcs11 is missing."""
    try:
        import pkcs11  # noqa: F401
    except ImportError:
        return None
    given = os.environ.get("METERTREE_TEST_PKCS11")
    return next((one for one in (*([Path(given)] if given else []), *PLACES) if one.exists()), None)


@cache
def soft_token() -> Path:
    """Make the token; gives the folder with its PIN file. The library reads its settings once in a process."""
    folder = Path(mkdtemp(prefix="metertree-softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    module = find_module()
    assert module is not None
    beside = next((one / "usr/bin/softhsm2-util" for one in module.parents if (one / "usr/bin").is_dir()), None)
    program = str(beside) if beside and beside.exists() else shutil.which("softhsm2-util")
    assert program is not None
    for label in (LABEL, LOCKED):
        words = ("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "0000")
        subprocess.run([program, "--module", str(module), *words], check=True, capture_output=True, timeout=30)
    pin_file = folder / "pin"
    pin_file.touch(0o600)
    pin_file.write_text(PIN + "\n")
    return folder


def fresh_place(named_in: Path) -> TokenPlace:
    """Give a place for a key that is not there yet."""
    module = find_module()
    assert module is not None
    return TokenPlace(LABEL, f"key-{os.getpid()}-{next(_numbers)}", module, soft_token() / "pin", named_in)

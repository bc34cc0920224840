"""The gateway changes its signing key: the old key hands over to a new one, and the next epoch begins.

The agent is stopped meanwhile, so nothing is sealed between reading how far the old key went and the change. What
counts is the file of the configuration: it names key, epoch and first link, and is replaced as a whole. Ended before,
nothing has changed, and the next attempt takes the same new key and says anew how far the old one went; ended after,
the change is made. The centre is told by the agent (`renewal.py`), from a file that waits until it has answered; what
the old key sealed goes out as ever, before and after.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.adapters.sqlite_outbox import read_extents
from edge_agent.app import OUTBOX_FILE, sole_use_of
from edge_agent.installation.journal import Journal
from edge_agent.installation.standing import waiting
from metering.errors import MeteringError
from provisioning.gateway_config import GatewayConfig
from provisioning.keys import replace_file
from provisioning.rollover import ROLLOVER_FILE, handover_to, read_rollover, seal_rollover
from provisioning.signers import SigningKey, make_signer, open_signer

NEXT_KEY = "signing-{}.key"
JOURNAL = "installation.db"


class HandoverRefused(MeteringError):
    """The key cannot hand over as things are; the text says the mend."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What was done. `last_seq`: last batch of the old epoch; `digest` is that of the statement."""

    config: GatewayConfig
    new_key: SigningKey
    last_seq: int
    digest: bytes


def hand_over(path: Path, token: str | None) -> HandedOver:
    """Have the key of the configuration at `path` hand over to a new one; raises HandoverRefused or MeteringError.

    token   PKCS#11 URI of where the new key shall live; None: in a file
    """
    config = GatewayConfig.read(path)
    with sole_use_of(config.state_dir):
        folder = config.signing_key.parent
        _check(config, folder)
        old = open_signer(config.signing_key)
        key_file = folder / NEXT_KEY.format(config.epoch + 1)
        new = make_signer(key_file, token)
        last_seq, last_digest = _reached(config)
        handover = handover_to(config.gateway, epoch=config.epoch, last_seq=last_seq, last_digest=last_digest, key=new)
        statement = seal_rollover(handover, old, new)
        digest = read_rollover(statement).digest
        replace_file(folder / ROLLOVER_FILE, statement, 0o600)
        changed = replace(config, epoch=config.epoch + 1, signing_key=key_file, bundle=digest)
        replace_file(path, changed.to_toml().encode(), 0o600)
    return HandedOver(changed, new, last_seq, digest)


def _check(config: GatewayConfig, folder: Path) -> None:
    if config.renewal is None:
        raise HandoverRefused("the centre could not be told: say where it is, [renewal] url = ... in the configuration")
    left = waiting_in(config.state_dir / JOURNAL)
    if left:
        raise HandoverRefused(
            f"{left} signed acts of the installation are not at the centre yet, which believes no act of a key that "
            "has handed over: bring them there first (metertree-gateway install deliver)"
        )
    waiting = folder / ROLLOVER_FILE
    if waiting.exists() and read_rollover(waiting.read_bytes()).handover.new_epoch == config.epoch:
        raise HandoverRefused("the centre has not answered the handover before: let the gateway run until it has")


def waiting_in(journal: Path) -> int:
    """Count what of an installation the centre does not have; 0 where there is no journal. Raises DeskRefused."""
    if not journal.exists():
        return 0
    with closing(Journal(journal)) as opened:
        return waiting(opened.worksheet())


def _reached(config: GatewayConfig) -> tuple[int, bytes]:
    """Give last seq and digest that the old key has sealed; 0 and zeros for none."""
    outbox = config.state_dir / OUTBOX_FILE
    if outbox.exists():
        for extent in read_extents(outbox):
            if extent.head.epoch == config.epoch:
                return extent.head.seq, extent.head.digest
    return 0, bytes(32)

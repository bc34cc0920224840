"""Checks a posting as a stranger can: the centre's signature, the root of the run from the roots of its pools, and the
costs that those roots cover. With a statement beside it, that both speak of one run and say the same of its pools."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from allocation_engine.inclusion import place_of, pool_root
from allocation_engine.money import show_minor
from allocation_engine.pool_facts import facts_digest
from allocation_engine.posting import POSTING_FORMAT
from allocation_engine.publication import Publication, open_publication
from allocation_engine.statement_content import StatementContent
from allocation_engine.sum_tree import LeafDoubled, SumNode, plant
from allocation_engine.verification import Check
from metering.envelope import EnvelopeMalformed, SignatureInvalid, Verifier, decode_canonical, parse_sign1
from metering.errors import MeteringError, SenderError

POSTING_OCTETS_MAX = 4 * 1024 * 1024
"""A hundred pools with the days of a month come to about 1 MiB."""


class PostingMalformed(SenderError):
    """A file is no posting."""

    reason = "malformed"


@dataclass(frozen=True, slots=True)
class PostingFile:
    """The parts of a posting file; nothing about them is proven."""

    content: Mapping[str, Any]
    posting: bytes
    publication: bytes | None


@dataclass(frozen=True, slots=True)
class PostingReport:
    """What was found: the posting once its signature held, each check, and the publication that makes it final."""

    content: Mapping[str, Any] | None
    checks: tuple[Check, ...]
    published: Publication | None

    @property
    def holds(self) -> bool:
        """Say whether every check holds."""
        return all(check.holds for check in self.checks)


def pack_posting(content: Mapping[str, Any], posting: bytes, publication: bytes | None) -> bytes:
    """Give the file: content to be read, the same content sealed, and the publication once there is one."""
    sealed = {"content": content, "posting": base64.b64encode(posting).decode()}
    if publication is not None:
        sealed["publication"] = base64.b64encode(publication).decode()
    return json.dumps({"format": POSTING_FORMAT, **sealed}, ensure_ascii=False, indent=1).encode() + b"\n"


def is_posting(octets: bytes) -> bool:
    """Say whether a file calls itself a posting."""
    try:
        return bool(json.loads(octets)["format"] == POSTING_FORMAT)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def unpack_posting(octets: bytes) -> PostingFile:
    """Take a file apart; raises PostingMalformed."""
    try:
        content = json.loads(octets)
        if content["format"] != POSTING_FORMAT:
            raise PostingMalformed(f"format {content['format']!r} is not known; this program reads {POSTING_FORMAT}")
        sealed = [content["posting"], *([content["publication"]] if "publication" in content else [])]
        parts = [base64.b64decode(one, validate=True) for one in sealed]
        return PostingFile(dict(content["content"]), parts[0], parts[1] if len(parts) > 1 else None)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise PostingMalformed(f"not a posting: {error!r}") from error


def check_posting(
    octets: bytes, centre_keys: Mapping[bytes, Verifier], statement: StatementContent | None = None
) -> PostingReport:
    """Check a posting file, and a proven statement against it; never raises for what stands in it."""
    try:
        file = unpack_posting(octets)
        message = parse_sign1(file.posting)
        if message.key_id not in centre_keys:
            told = f"signed with key {message.key_id.hex()}, which you do not trust"
            return PostingReport(None, (Check("posting", False, told),), None)
        content = decode_canonical(message.require(centre_keys[message.key_id]), POSTING_OCTETS_MAX)
    except SignatureInvalid as error:
        return PostingReport(None, (Check("posting", False, f"it was changed after signing: {error}"),), None)
    except (PostingMalformed, EnvelopeMalformed) as error:
        return PostingReport(None, (Check("posting", False, f"it cannot be read: {error}"),), None)
    checks = [
        Check(
            "posting", file.content == content, f"run {content.get('id', '')[:16]}, signed with {message.key_id.hex()}"
        )
    ]
    try:
        checks += [*_pools(content), _root(content)]
        published, publication = _publication(content, file.publication, centre_keys)
        checks += [publication, *([] if statement is None else _statement(content, statement))]
    except (KeyError, TypeError, ValueError, IndexError, LeafDoubled) as error:
        return PostingReport(None, (*checks, Check("posting", False, f"it is no posting: {error!r}")), None)
    return PostingReport(content, tuple(checks), published)


def posted_checks(
    octets: bytes, centre_keys: Mapping[bytes, Verifier], statement: StatementContent | None
) -> tuple[Check, ...]:
    """Check a proven statement against a posting: the posting as one link, then each thing that both speak of."""
    report = check_posting(octets, centre_keys, statement)
    own = [check for check in report.checks if not check.link.startswith("posted ")]
    broken = ", ".join(f"{check.link}: {check.result}" for check in own if not check.holds)
    posting = Check("posting", not broken, broken or "signed by the centre; its pools make the root it states")
    return posting, *(check for check in report.checks if check.link.startswith("posted "))


def _pools(content: Mapping[str, Any]) -> Iterator[Check]:
    """Open what is opened: tree and facts lead to the pool's root, and facts and sums say one cost."""
    costs = {one["pools"][0]: one["cost_minor"] for one in content["sums"] if len(one["pools"]) == 1}
    for pool in content["pools"]:
        if pool["facts"] is None:
            continue
        digest, charges, credits = pool["top"]
        facts = bytes.fromhex(pool["facts"])
        stated, _ = decode_canonical(facts)
        root = pool_root(pool["id"], SumNode(bytes.fromhex(digest), charges, credits), facts_digest(facts))
        same = (stated["id"], stated["ground"], stated["names"]) == (pool["id"], pool["ground"], pool["names"])
        cost = stated["cost_minor"]
        adds_up = cost is None or cost == charges - credits == costs.get(pool["id"])
        told = "own meters: its root covers what is said of it"
        if cost is not None:
            told = f"all its lines make its cost of {show_minor(cost, content['currency'])} {content['currency']}"
        yield Check(f"pool {pool['id']}", root.hex() == pool["root"] and same and adds_up, told)


def _root(content: Mapping[str, Any]) -> Check:
    leaves = ((place_of(pool["id"]), SumNode(bytes.fromhex(pool["root"]), 0, 0)) for pool in content["pools"])
    root = plant(leaves).node.digest.hex()
    return Check("commitment", root == content["root"], f"{len(content['pools'])} pools make root {root}")


def _publication(
    content: Mapping[str, Any], octets: bytes | None, centre_keys: Mapping[bytes, Verifier]
) -> tuple[Publication | None, Check]:
    if octets is None:
        return None, Check("publication", True, "PROVISIONAL: its run was not published when this file was made")
    try:
        published = open_publication(octets, centre_keys)
    except MeteringError as error:
        return None, Check("publication", False, f"it cannot be trusted: {error}")
    if (published.run.hex(), published.commitment.hex()) != (content["id"], content["root"]):
        return None, Check("publication", False, "it speaks of another run")
    return published, Check("publication", True, f"final: published {published.published_at.isoformat()}")


def _statement(content: Mapping[str, Any], statement: StatementContent) -> Iterator[Check]:
    """Hold a statement against the posting: one run, one root, and of each pool one root, cost and ground."""
    same = (content["id"], content["root"]) == (statement.run_id.hex(), statement.commitment.hex())
    told = "the statement is of the run that was posted" if same else "the statement is of another run than was posted"
    yield Check("posted run", same, told)
    posted = {pool["id"]: pool for pool in content["pools"]}
    for pool in statement.pools:
        one = posted.get(pool.id)
        holds = one is not None and (one["root"], one["ground"]) == (pool.root.hex(), pool.ground)
        yield Check(f"posted pool {pool.id}", holds, "posted and stated alike" if holds else "posted otherwise, or not")

"""Statement files that somebody changed: on the way, without a key, or at the centre, with its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from allocation_engine.bundle import Bundle, pack_bundle, unpack_bundle, with_publication
from allocation_engine.inclusion import InclusionProof, leaf_of, line_digest, place_of, pool_root
from allocation_engine.pool_facts import cut_of, facts_digest, facts_of
from allocation_engine.statement_content import StatementContent
from allocation_engine.sum_tree import SumNode, regrow
from metering.envelope import decode_canonical, encode, parse_sign1, sign1
from provisioning.keys import FileSigner
from tests.doubles.sealed_cases import CENTRE

Change = Callable[[Any], None]


def with_parts(file: bytes, **changes: Any) -> bytes:
    """Change parts of a file: `statement`, `proof`, `evidence`, `profiles`."""
    bundle = unpack_bundle(file)
    parts = {name: changes.get(name, getattr(bundle, name)) for name in Bundle.__slots__}
    packed = pack_bundle(parts["statement"], parts["proof"], parts["evidence"], parts["profiles"])
    return packed if parts["publication"] is None else with_publication(packed, parts["publication"])


def content_of(file: bytes) -> Any:
    """What the statement of a file says, as arrays and maps that can be changed."""
    return plain(decode_canonical(parse_sign1(unpack_bundle(file).statement).payload))


def plain(content: Any) -> Any:
    """Content whose arrays can be changed."""
    if isinstance(content, dict):
        return {key: plain(one) for key, one in content.items()}
    return [plain(one) for one in content] if isinstance(content, list | tuple) else content


def lied(file: bytes, change: Change, signer: FileSigner = CENTRE) -> bytes:
    """What a centre would sign that does not tell the truth."""
    content = content_of(file)
    change(content)
    return with_parts(file, statement=sign1(encode(content), signer))


def reproved(file: bytes, change: Change) -> bytes:
    """A file with another proof."""
    proof = plain(decode_canonical(unpack_bundle(file).proof))
    change(proof)
    return with_parts(file, proof=encode(proof))


def rerooted(file: bytes, say: Change | None = None, prove: Change | None = None) -> bytes:
    """What a centre would sign that commits to a lie: roots and fingerprint are made to fit what is said and proven."""
    file = file if say is None else lied(file, say)
    file = file if prove is None else reproved(file, prove)
    content = StatementContent.from_wire(content_of(file))
    proof = InclusionProof.from_octets(unpack_bundle(file).proof)
    roots = []
    for pool, opened in zip(content.pools, proof.pools, strict=True):
        own = [
            (line, opening) for line, opening in zip(content.lines, proof.lines, strict=True) if line.pool == pool.id
        ]
        leaves = {}
        for line, opening in own:
            digest = line_digest(content.run_id, line)
            for number, (piece, depth) in enumerate(zip(opening.pieces, opening.depths, strict=True)):
                leaf = leaf_of(digest, opening.salt, number, piece, is_open=pool.cost_minor is not None)
                leaves[leaf.digest] = depth, leaf
        facts = facts_digest(facts_of(pool, cut_of(line for line, _ in own)))
        roots.append(pool_root(pool.id, regrow(leaves, opened.stubs), facts))
    places = {
        place_of(pool.id): (opened.depth, SumNode(root, 0, 0))
        for pool, opened, root in zip(content.pools, proof.pools, roots, strict=True)
    }
    fingerprint = regrow(places, proof.stubs).digest

    def commit(said: Any) -> None:
        said["commitment"] = fingerprint
        for pool, root in zip(said["pools"], roots, strict=True):
            pool["root"] = root

    return lied(file, commit)


def places_in(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in arrays and maps."""
    if isinstance(content, dict | list):
        for key, one in content.items() if isinstance(content, dict) else enumerate(content):
            yield (*path, key)
            yield from places_in(one, (*path, key))


def nonsense(chance: random.Random, said: Any) -> Any:
    """Something else than what was said, and often of another kind."""
    if isinstance(said, int) and chance.random() < 0.6:
        return said + chance.choice([1, -1, -2 * said - 1, 1000, 2**70])
    if isinstance(said, list) and said and chance.random() < 0.6:
        return chance.choice([said[1:], [*said, said[0]], said[::-1], []])
    if isinstance(said, str) and chance.random() < 0.6:
        return chance.choice([f"{said}x", "", said[:-1]])
    return chance.choice([0, -1, "x", None, [], {}, b"x", True, [0, 0], 2**65])


def flipped(octets: bytes, place: int) -> bytes:
    """Octets with one bit turned; a `place` below 0 counts from the end."""
    changed = bytearray(octets)
    changed[place] ^= 1
    return bytes(changed)


def by(number: int, *path: str | int) -> Change:
    """Add to a number."""

    def change(content: Any) -> None:
        place = _before(content, path)
        place[path[-1]] += number

    return change


def to(said: Any, *path: str | int) -> Change:
    """Say something else."""

    def change(content: Any) -> None:
        _before(content, path)[path[-1]] = said

    return change


def _before(content: Any, path: tuple[str | int, ...]) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content

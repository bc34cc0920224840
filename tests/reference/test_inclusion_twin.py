"""A stranger's checker, written from docs/proofs.md alone: hashlib, cbor2 and nothing of Metertree.

It must accept the published proof and refuse every published attack; so the text says all that is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import cbor2
import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "proofs.md").read_text(encoding="utf-8")
FOUND = re.search(r"<!-- vectors -->\s*```json\n(.*?)```", TEXT, re.S)
assert FOUND is not None
VECTORS: dict[str, Any] = json.loads(FOUND.group(1))
PARTY = "t-1"
Node = tuple[bytes, int, int]


class Refused(Exception):
    """The proof does not hold."""


def require(holds: bool, why: str) -> None:
    """Refuse unless something holds."""
    if not holds:
        raise Refused(why)


def sha(*parts: bytes) -> bytes:
    """SHA-256 of parts one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def octets(node: Node) -> bytes:
    """A node as it is hashed."""
    return node[0] + node[1].to_bytes(8, "big") + node[2].to_bytes(8, "big")


def join(left: Node, right: Node) -> Node:
    """The node above two halves."""
    charges, credits = left[1] + right[1], left[2] + right[2]
    require(charges < 2**63 and credits < 2**63, "a sum is too large")
    return sha(b"\x01", octets(left), octets(right)), charges, credits


def bits(place: bytes) -> str:
    """The path a place spells."""
    return bin(int.from_bytes(place, "big"))[2:].zfill(256)


def grow(leaves: dict[str, Node], stubs: list[Node], path: str = "") -> Node:
    """The node at `path`: a leaf that hangs there, halves on the way to leaves, or the next stub."""
    if path in leaves:
        require(sum(one.startswith(path) for one in leaves) == 1, "something hangs below a leaf")
        return leaves[path]
    if any(one.startswith(path) for one in leaves):
        return join(grow(leaves, stubs, path + "0"), grow(leaves, stubs, path + "1"))
    require(bool(stubs), "a stub is missing")
    return stubs.pop(0)


def read_stubs(wire: list[Any]) -> list[Node]:
    """Stubs, none of them negative."""
    nodes = [(digest, charges, credits) for digest, charges, credits in wire]
    require(all(0 <= one < 2**63 for _, *sums in nodes for one in sums), "a sum is negative or too large")
    return nodes


def check(proof: bytes) -> None:
    """Check the statement of t-1 in the vectors against a proof."""
    opened_lines, opened_pools, run_stubs = cbor2.loads(proof)
    lines = [one for one in VECTORS["lines"] if one["id"].endswith(f"/{PARTY}")]
    pools = {one["id"]: one for one in VECTORS["pools"]}
    names = [name for name in pools if any(one["id"].startswith(f"{name}/") for one in lines)]
    require(len(lines) == len(opened_lines) and len(names) == len(opened_pools), "not all is opened")
    roots: dict[str, Node] = {}
    for name, (run_depth, wire) in zip(names, opened_pools, strict=True):
        cost = pools[name]["cost_minor"]
        leaves: dict[str, Node] = {}
        for line, (salt, pieces, depths) in zip(lines, opened_lines, strict=True):
            if line["id"].startswith(f"{name}/"):
                require(sum(pieces) == line["amount_minor"], "pieces are not the amount")
                require(all(one >= 0 for one in pieces) or all(one <= 0 for one in pieces), "pieces of both signs")
                said = [bytes.fromhex(VECTORS["run_id"]), line["id"], line["band_energy_wh"], line["amount_minor"]]
                digest = sha(b"\x03", cbor2.dumps(said, canonical=True))
                for number, (piece, depth) in enumerate(zip(pieces, depths, strict=True)):
                    leaf = sha(b"\x00", digest, salt, number.to_bytes(2, "big"), piece.to_bytes(8, "big", signed=True))
                    sums = (0, 0) if cost is None else (max(piece, 0), max(-piece, 0))
                    require(bits(leaf)[:depth] not in leaves, "a leaf stands twice")
                    leaves[bits(leaf)[:depth]] = (leaf, *sums)
        stubs = read_stubs(wire)
        top = grow(leaves, stubs)
        require(not stubs, "a stub is left over")
        facts = bytes.fromhex(pools[name]["facts"])
        told, _ = cbor2.loads(facts)
        require((told["id"], told["cost_minor"]) == (name, cost), f"the facts are not what is stated of {name}")
        root = sha(b"\x02", octets(top), sha(b"\x05", facts), name.encode())
        require(root.hex() == pools[name]["root"], f"not the root of {name}")
        if cost is not None:
            require(top[1] - top[2] == cost, f"the shares of {name} are not its cost")
            require(0 in top[1:], f"credits stand beside charges in {name}")
        roots[bits(sha(b"\x04", name.encode()))[:run_depth]] = (root, 0, 0)
    stubs = read_stubs(run_stubs)
    require(grow(roots, stubs)[0].hex() == VECTORS["commitment"], "not the root of the run")
    require(not stubs, "a stub is left over")


def test_a_stranger_accepts_the_published_proof() -> None:
    check(bytes.fromhex(VECTORS["proof_of_t-1"]))


@pytest.mark.parametrize("attack", sorted(VECTORS["refused"]))
def test_a_stranger_refuses_every_published_attack(attack: str) -> None:
    with pytest.raises(Refused):
        check(bytes.fromhex(VECTORS["refused"][attack]))


@pytest.mark.parametrize("place", [1, -1])
def test_a_stranger_refuses_other_facts(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Another cost is seen at once, another cut by the root."""
    for pool in VECTORS["pools"]:
        facts = cbor2.loads(bytes.fromhex(pool["facts"]))
        facts[1][place] = 1 if place == 1 else "lift/b/t-2"
        with monkeypatch.context() as patch:
            patch.setitem(pool, "facts", cbor2.dumps(facts, canonical=True).hex())
            with pytest.raises(Refused, match=f"not the root of {pool['id']}"):
                check(bytes.fromhex(VECTORS["proof_of_t-1"]))


def test_a_stranger_works_out_the_published_leaves() -> None:
    for line in VECTORS["lines"]:
        said = [bytes.fromhex(VECTORS["run_id"]), line["id"], line["band_energy_wh"], line["amount_minor"]]
        digest = sha(b"\x03", cbor2.dumps(said, canonical=True))
        piece = line["pieces"][0].to_bytes(8, "big", signed=True)
        assert digest.hex() == line["digest"]
        assert sha(b"\x00", digest, bytes.fromhex(line["salt"]), bytes(2), piece).hex() == line["leaf_0"]

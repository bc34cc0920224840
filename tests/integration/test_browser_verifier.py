"""The verifier in the browser: it finds what the Python verifier finds, in code that shares no line with it."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
import pytest

from allocation_engine.bundle import unpack_bundle, with_publication
from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import SlotQuality, settle_point
from allocation_engine.verification import VerificationReport, verify_bundle
from metering.envelope import encode, sign1
from metering.errors import BooksError
from metering.identity import MeterId, PartyId
from metering.interval import SLOT, Interval
from provisioning.keys import FileSigner, public_verifier
from tests.doubles.browser_verifier import PLAIN, BrowserVerifier, browser_verifier, links_of, vectors_of
from tests.doubles.changed_files import Change, by, content_of, flipped, lied, reproved, rerooted, to, with_parts
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE as PARK_CENTRE
from tests.doubles.sealed_cases import CENTRE, case_names, sealed_case
from tests.doubles.statement_example import FILE, turned

STRANGER = FileSigner.from_seed(b"\x66" * 32)
PLAIN_CASE, TIERED, CHARGED, LOSSY = (
    *("exchange-with-another-multiplier", "tiers-by-month"),
    *("standing-minimum-and-tax", "loss-down-the-tree"),
)


@pytest.fixture(scope="module")
def verifier() -> Iterator[BrowserVerifier]:
    """A page with WebCrypto."""
    with browser_verifier([CENTRE.public_key, PARK_CENTRE.public_key]) as opened:
        yield opened


def python(file: bytes) -> VerificationReport:
    """What the Python verifier finds."""
    return verify_bundle(file, {key.key_id: key.verifier() for key in (CENTRE, PARK_CENTRE)}, public_verifier)


@cache
def file_of(name: str, party: str) -> bytes:
    """The statement file of a party in a golden case."""
    return sealed_case(name).file_of(PartyId(party))


@cache
def golden_files() -> dict[str, bytes]:
    """Every statement of every golden case that closes."""
    files: dict[str, bytes] = {}
    for name in case_names():
        try:
            case = sealed_case(name)
        except BooksError:
            continue
        files |= {f"{name} {party}": file_of(name, party) for party in case.run.parties}
    return files


def test_every_golden_statement_holds_and_each_line_comes_out_as_stated(verifier: BrowserVerifier) -> None:
    files = golden_files()
    assert len(files) >= 150
    kinds = set()
    for name, file, found in zip(files, files.values(), verifier.check(*files.values()), strict=True):
        content = python(file).content
        assert content is not None
        assert (found.broken, found.holds, found.final) == ([], True, False), name
        assert found.lines == {line.id: line.amount_minor for line in content.lines}, name
        kinds |= {type(line.trace).__name__ for line in content.lines}
    assert kinds == {"MeteredTrace", "ShareTrace", "ChargeTrace", "LossTrace"}


def test_the_parks_statements_hold(verifier: BrowserVerifier) -> None:
    for found in verifier.check(*(bundle_of(party) for party in ("t-01", "owner"))):
        assert found.holds
        assert found.broken == []


def test_a_published_statement_is_final(verifier: BrowserVerifier) -> None:
    case = sealed_case(PLAIN_CASE)
    (found,) = verifier.check(with_publication(file_of(PLAIN_CASE, "t-01"), case.publication()))
    assert found.holds
    assert found.final
    assert "approver" in found.told["publication"]["en"]


PARTY_OF = {PLAIN_CASE: "t-01", TIERED: "t-1", CHARGED: "t-1", LOSSY: "t-01"}
LIES: dict[str, tuple[str, Change, str]] = {
    "a line's amount": (PLAIN_CASE, by(1, "lines", 0, "amount_minor"), "line own-use/a/t-01"),
    "a line's energy": (PLAIN_CASE, by(1, "lines", 0, "band_energy_wh", 0), "line own-use/a/t-01"),
    "a line's cost": (PLAIN_CASE, by(1, "lines", 0, "trace", "cost_nano"), "line own-use/a/t-01"),
    "a shorter span": (PLAIN_CASE, by(-1, "lines", 0, "trace", "spans", 0, 1), "line own-use/a/t-01"),
    "a span beyond the period": (PLAIN_CASE, by(1, "lines", 0, "trace", "spans", 0, 1), "line own-use/a/t-01"),
    "another measure": (PLAIN_CASE, to("net", "lines", 0, "trace", "measure"), "line own-use/a/t-01"),
    "another node": (PLAIN_CASE, to(["u-b"], "lines", 0, "trace", "nodes"), "line own-use/a/t-01"),
    "another party": (PLAIN_CASE, to("t-09", "party"), "line own-use/a/t-01"),
    "another price": (PLAIN_CASE, by(1, "bands", 0, 2), "line own-use/a/t-01"),
    "another unit of the price": (PLAIN_CASE, to([10, 1], "bands", 0, 5), "line own-use/a/t-01"),
    "a price from later on": (PLAIN_CASE, by(1, "band_runs", 0, 0), "line own-use/a/t-01"),
    "a multiplier": (PLAIN_CASE, by(1, "points", 0, "installations", 0, "multiplier"), "line own-use/a/t-01"),
    "a meter that came later": (
        *(PLAIN_CASE, to(1790000000, "points", 0, "installations", 0, "start")),
        "line own-use/a/t-01",
    ),
    "a bound that the energy exceeds": (
        *(PLAIN_CASE, to(1, "points", 0, "installations", 0, "power_max_w")),
        "line own-use/a/t-01",
    ),
    "two meters at one time": (
        *(
            PLAIN_CASE,
            lambda content: content["points"][0]["installations"].extend(content["points"][0]["installations"]),
        ),
        "line own-use/a/t-01",
    ),
    "a modulus that no profile states": (
        *(PLAIN_CASE, to(2000, "points", 0, "installations", 0, "modulus_wh")),
        "reading m-u-a",
    ),
    "a register": (PLAIN_CASE, by(1, "points", 0, "readings", 0, 2), "reading m-u-a"),
    "the time of a register": (PLAIN_CASE, by(900, "points", 0, "readings", 0, 0), "reading m-u-a"),
    "whose register": (PLAIN_CASE, to("m-x", "points", 0, "readings", 0, 1), "reading m-x"),
    "the register's quantity": (PLAIN_CASE, to("1-0:2.8.0", "points", 0, "obis"), "reading m-u-a"),
    "the envelope of a register": (PLAIN_CASE, by(1, "points", 0, "readings", 0, 3), "reading m-u-a"),
    "the number of an envelope": (PLAIN_CASE, by(1000, "evidence", 0, 2), "gateway signature gw-golden/1/1001"),
    "the key of a gateway": (PLAIN_CASE, to(STRANGER.public_key, "keys", 0, 4), "gateway signature gw-golden/1/1"),
    "no key of a gateway": (PLAIN_CASE, to([], "keys"), "gateway signature gw-golden/1/1"),
    "evidence that is not there": (PLAIN_CASE, to(bytes(32), "evidence", 0, 3), "evidence gw-golden/1/1"),
    "the total": (PLAIN_CASE, by(-1, "total_minor"), "total"),
    "the run": (PLAIN_CASE, to(bytes(32), "run_id"), "pool own-use"),
    "the fingerprint": (PLAIN_CASE, to(bytes(32), "commitment"), "commitment"),
    "the root of a pool": (PLAIN_CASE, to(bytes(32), "pools", 0, "root"), "pool own-use"),
    "the ground of a pool": (PLAIN_CASE, to("because", "pools", 0, "ground"), "pool own-use"),
    "a pool too many": (PLAIN_CASE, lambda content: content["pools"].append(content["pools"][0]), "commitment"),
    "a line too few": (PLAIN_CASE, to([], "lines"), "commitment"),
    "a currency that nobody rounds": (PLAIN_CASE, to("ZZZ", "currency"), "statement"),
    "another format": (PLAIN_CASE, to("metertree-statement/9", "format"), "statement"),
    "a tier's amount": (TIERED, by(1, "lines", 0, "trace", "tiers", 0, "amount"), "line own-use/a/t-1"),
    "what a tier adds": (TIERED, by(100000, "lines", 0, "trace", "tiers", 0, "tiers", 3, 1), "line own-use/a/t-1"),
    "a tier's limit": (TIERED, by(-50000, "lines", 0, "trace", "tiers", 0, "tiers", 2, 0), "line own-use/a/t-1"),
    "what was counted before": (TIERED, by(10**9, "lines", 0, "trace", "tiers", 0, "before"), "line own-use/a/t-1"),
    "a loss": (LOSSY, by(1 << 24, "lines", 0, "trace", "carried", 0), "line "),
    "a loss that is whole again": (LOSSY, by(1, "lines", 0, "trace", "cut_remainder"), "pool loss"),
}
"""What the centre could sign, and the first link that breaks."""


def first_loss(content: Any) -> int:
    """The place of the first line of loss."""
    return next(place for place, line in enumerate(content["lines"]) if "carried" in line["trace"])


def lie_file(name: str) -> bytes:
    """The file of one of the lies."""
    case, change, _ = LIES[name]
    if case != LOSSY:
        return lied(file_of(case, PARTY_OF[case]), change)

    def change_loss(content: Any) -> None:
        place = first_loss(content)
        change({"lines": [content["lines"][place]]})

    return lied(file_of(case, PARTY_OF[case]), change_loss)


def test_what_a_centre_could_sign_breaks_where_it_must_and_as_python_says(verifier: BrowserVerifier) -> None:
    files = {name: lie_file(name) for name in LIES}
    for name, found in zip(files, verifier.check(*files.values()), strict=True):
        assert found.broken, name
        assert found.broken[0].startswith(LIES[name][2]), (name, found.broken)
        assert found.broken == links_of(python(files[name])), name


SHARE_LIES: dict[str, Change] = {
    "its weight": by(1, "trace", "weight"),
    "the total weight": by(1, "trace", "total_weight"),
    "its remainder": by(1, "trace", "remainder"),
    "its odd unit": lambda line: line["trace"].update(extra=not line["trace"]["extra"]),
    "its amount": by(1, "amount_minor"),
    "whose trace it is": to("z/t-99", "trace", "line_id"),
    "the cut": by(1, "trace", "cut_remainder"),
    "one unit for a favourite": lambda line: favoured(line),
}


def favoured(line: Any) -> None:
    """Turn the odd unit and the amount together, as a centre would that favours somebody, or the other way round."""
    got = line["trace"]["extra"]
    line["trace"]["extra"] = not got
    line["amount_minor"] += (-1 if got else 1) * (-1 if line["amount_minor"] < 0 else 1)


@pytest.mark.parametrize("name", ["building-floor-lease", "one-fen-over-many", "services-reciprocal", "heating-70-30"])
def test_no_number_of_a_share_can_be_another(verifier: BrowserVerifier, name: str) -> None:
    party = sealed_case(name).run.parties[-1]
    files = {
        lie: lied(file_of(name, party), lambda content, change=change: change(content["lines"][0]))
        for lie, change in SHARE_LIES.items()
    }
    for lie, found in zip(files, verifier.check(*files.values()), strict=True):
        assert found.broken, lie
        assert found.broken == links_of(python(files[lie])), lie


def test_a_favourite_among_losses_is_found_out(verifier: BrowserVerifier) -> None:
    file = lied(file_of(LOSSY, "t-01"), lambda content: favoured(content["lines"][first_loss(content)]))
    (found,) = verifier.check(file)
    assert found.broken[0].startswith("line loss/")
    assert found.broken == links_of(python(file))


def phantom(proof: Any) -> None:
    """Let somebody that nobody knows take out what others pay in on top."""
    stub = next(stub for _, stubs in proof[1] for stub in stubs if stub[1])
    stub[1] += 500
    stub[2] += 500


def test_a_centre_that_commits_to_a_lie_is_found_out_by_the_sums(verifier: BrowserVerifier) -> None:
    """Signature, roots and fingerprint all fit: only the arithmetic says that the cost, or somebody, is made up."""
    honest = file_of("building-floor-lease", "t-02")
    files = {
        "nothing": rerooted(honest),
        "a higher cost": rerooted(honest, by(1, "pools", 0, "cost_minor")),
        "a phantom credit": rerooted(honest, prove=phantom),
    }
    found = dict(zip(files, verifier.check(*files.values()), strict=True))
    assert found["nothing"].holds
    assert found["a phantom credit"].broken == ["pool lift"]
    assert "takes out" in found["a phantom credit"].told["pool lift"]["en"]
    assert "pool lift" in found["a higher cost"].broken
    assert "not its cost" in found["a higher cost"].told["pool lift"]["en"]
    for name, file in files.items():
        assert found[name].broken == links_of(python(file)), name


def test_keys_steps_and_flows_are_divided_again(verifier: BrowserVerifier) -> None:
    files = {
        "a key": lied(file_of("building-floor-lease", "t-02"), by(1, "lines", 0, "trace", "keys", 0, 5)),
        "a part": lied(file_of("heating-70-30", "t-03"), by(1, "lines", 0, "trace", "keys", 0, 4, 0)),
        "what a service got": lied(served_file(), lie_of_service),
        "a step of a charge": lied(file_of(CHARGED, "t-1"), lie_of_charge),
        "a line it rests on": lied(file_of(CHARGED, "t-1"), lie_of_base),
    }
    for lie, found in zip(files, verifier.check(*files.values()), strict=True):
        assert "".join(found.broken[:1]).startswith("line "), (lie, found.broken)
        assert found.broken == links_of(python(files[lie])), lie


def served_file() -> bytes:
    """A statement with a pool that got something from another service."""
    files = (file for name, file in golden_files().items() if name.startswith("services-reciprocal"))
    return next(file for file in files if served_pool(content_of(file)))


def served_pool(content: Any) -> Any:
    """The first pool that got something from another service, or None."""
    return next((one for one in content["pools"] if one["service"] is not None and one["service"][2]), None)


def lie_of_service(content: Any) -> None:
    """More from another service than it passed on."""
    pool = served_pool(content)
    part = pool["service"][2][0][1]
    part[0] += 10 * part[1]


def lie_of_charge(content: Any) -> None:
    """Another quantity in the first charge that takes up no other line."""
    line = next(one for one in content["lines"] if one["kind"] == "charge" and not one["trace"]["of"])
    line["trace"]["steps"][0][1] *= 2


def lie_of_base(content: Any) -> None:
    """A charge that rests on a line that is not there."""
    line = next(one for one in content["lines"] if one["kind"] == "charge" and one["trace"]["of"])
    line["trace"]["of"][0] = "nobody/z/t-99"


def tampered() -> dict[str, tuple[bytes, str]]:
    """Files that somebody changed on the way, without any key, and the first link that breaks."""
    honest = file_of(PLAIN_CASE, "t-01")
    bundle = unpack_bundle(honest)
    statement, proof, evidence = bundle.statement, bundle.proof, list(bundle.evidence)
    shown = cbor2.loads(evidence[0])
    regions = {
        f"octet {place} of the statement": flipped(statement, place) for place in (60, 200, 500, 900, 1300, -80, -1)
    }
    found = {name: (with_parts(honest, statement=octets), "statement") for name, octets in regions.items()}
    found["the key id"] = (with_parts(honest, statement=flipped(statement, 12)), "statement key")
    found["a stranger's signature"] = (lied(honest, lambda _: None, STRANGER), "statement key")
    found["the statement cut short"] = (with_parts(honest, statement=statement[:-1]), "statement")
    found["octets after the statement"] = (with_parts(honest, statement=statement + b"\0"), "statement")
    for place in range(0, len(proof), max(len(proof) // 12, 1)):
        found[f"octet {place} of the proof"] = (with_parts(honest, proof=flipped(proof, place)), "")
    for place in range(0, len(evidence[0]), max(len(evidence[0]) // 14, 1)):
        changed = [flipped(evidence[0], place), *evidence[1:]]
        found[f"octet {place} of an envelope"] = (with_parts(honest, evidence=changed), "evidence")
    salted = [shown[0], [shown[1][0], [[one[0], bytes(16), *one[2:]] for one in shown[1][1]]]]
    found["another salt"] = (with_parts(honest, evidence=[encode(salted), *evidence[1:]]), "evidence gw-golden/1/1")
    found["an envelope missing"] = (with_parts(honest, evidence=evidence[1:]), "evidence gw-golden/1/1")
    found["an envelope torn"] = (with_parts(honest, evidence=[b"torn", *evidence[1:]]), "evidence gw-golden/1/1")
    found["no profile"] = (with_parts(honest, profiles=[]), "reading m-u-a")
    found["half a profile"] = (with_parts(honest, profiles=[bundle.profiles[0][:99]]), "profile")
    found["another profile"] = (with_parts(honest, profiles=[flipped(bundle.profiles[0], -2)]), "")
    found["a forged publication"] = (with_publication(honest, sign1(b"\xa0", STRANGER)), "publication")
    other = sealed_case(TIERED).publication()
    found["the publication of another run"] = (with_publication(honest, other), "publication")
    for name, said in (("run", {"run": b"\1" * 32}), ("fingerprint", {"commitment": b"\1" * 32})):
        octets = sealed_case(PLAIN_CASE).publication(**said)
        found[f"a publication with another {name}"] = (with_publication(honest, octets), "publication")
    found["a neighbour's proof"] = (with_parts(honest, proof=unpack_bundle(file_of(TIERED, "t-1")).proof), "")
    found["a stub too many"] = (reproved(honest, lambda one: one[2].append([bytes(32), 0, 0])), "commitment")
    found["a depth"] = (reproved(honest, by(1, 1, 0, 0)), "commitment")
    found["no JSON"] = (b"%PDF-1.7", "bundle")
    found["JSON of something else"] = (b'{"format": "metertree-posting/1"}', "bundle")
    found["no base64"] = (honest.replace(b'"proof": "', b'"proof": "*'), "bundle")
    found["a file with nothing in it"] = (b"", "bundle")
    return found


def test_whatever_is_changed_on_the_way_breaks_where_it_must_and_as_python_says(verifier: BrowserVerifier) -> None:
    files = tampered()
    assert len(files) >= 45
    for name, found in zip(files, verifier.check(*(file for file, _ in files.values())), strict=True):
        file, link = files[name]
        assert found.broken, name
        assert found.broken[0].startswith(link), (name, found.broken)
        if (
            name != "another profile"
        ):  # Python reads all of it and finds it unfit; the browser, that it is not the signed one.
            assert found.broken == links_of(python(file)), name
        assert all(len({*found.told[one].values(), ""}) >= 2 for one in found.broken), name


def test_hundreds_of_random_lies_are_judged_as_python_judges_them(verifier: BrowserVerifier) -> None:
    """One number of a signed statement is another; where both verifiers let it pass, nothing rests on it."""
    chance = random.Random(20260801)
    files: list[tuple[str, bytes]] = []
    for name, file in golden_files().items():
        content = content_of(file)
        places = list(numbers(content))
        for path in chance.sample(places, min(2, len(places))):
            number = chance.choice([1, -1, 10, 900, -1000])
            files.append((f"{name} {path} {number:+}", lied(file, by(number, *path))))
    assert len(files) >= 300
    found = verifier.check(*(file for _, file in files))
    differ = []
    for (name, file), one in zip(files, found, strict=True):
        links = links_of(python(file))
        if one.broken != links and not stricter(one.broken, links):
            differ.append((name, one.broken, links))
    assert differ == []
    assert sum(1 for one in found if not one.holds) >= 150


def stricter(browser: list[str], python: list[str]) -> bool:
    """The browser's reader refuses a number that is no such number before it computes with it."""
    return browser == ["statement"] and python != []


def numbers(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place at which a number stands."""
    if isinstance(content, dict | list):
        for key, one in content.items() if isinstance(content, dict) else enumerate(content):
            yield from numbers(one, (*path, key))
    elif type(content) is int:
        yield path


def test_without_webcrypto_its_own_code_finds_the_same(verifier: BrowserVerifier) -> None:
    """Plain http beyond this machine: the browser keeps `crypto.subtle` to itself."""
    honest = file_of(PLAIN_CASE, "t-01")
    files = [honest, *(file for file, _ in list(tampered().values())[::6])]
    with verifier.elsewhere(PLAIN) as plain_http:
        assert plain_http.page.evaluate("crypto.subtle === undefined")
        assert plain_http.ask("seals.js", "new m.Seals().means()") == "own code"
        without = plain_http.check(*files)
    assert verifier.ask("seals.js", "new m.Seals().means()") == "WebCrypto"
    with_it = verifier.check(*files)
    assert [one.links for one in without] == [one.links for one in with_it]
    assert without[0].holds
    assert not any(one.holds for one in without[1:])


def test_the_example_of_the_statement_holds_and_each_turned_octet_breaks_its_link(verifier: BrowserVerifier) -> None:
    vectors, file = vectors_of("statement.md"), FILE.read_bytes()
    keys = [bytes.fromhex(vectors["centre_public_key"])]
    files = [turned(file, one["part"], one["octet"]) for one in vectors["refused"]]
    honest, *others = verifier.check(file, *files, keys=keys)
    assert (honest.broken, honest.final, honest.lines) == ([], True, vectors["lines"])
    for one, found in zip(vectors["refused"], others, strict=True):
        links = ("profile", "reading") if one["link"] == "profile" else one["link"]
        assert "".join(found.broken[:1]).startswith(links), one


OPENED = """(async () => {
  const { Seals } = await import("/static/verify/seals.js");
  const { fromHex, hex } = await import("/static/verify/octets.js");
  const seals = given.own ? new Seals(null) : new Seals();
  try {
    const envelope = await m.openEnvelope(fromHex(given.octets), seals);
    await seals.require(envelope.message, -8n, fromHex(given.key));
    const meters = envelope.readings.map(({ meter }) => meter);
    return { digest: hex(envelope.digest), covered: hex(envelope.message.covered), meters };
  } catch (error) {
    return { refused: error.message };
  }
})()"""


@pytest.mark.parametrize("own", [False, True], ids=["WebCrypto", "own code"])
def test_the_vectors_of_the_wire(verifier: BrowserVerifier, own: bool) -> None:
    vectors = vectors_of("wire.md")

    def opened(name: str) -> dict[str, Any]:
        given = {"octets": vectors[name], "key": vectors["gateway_public_key"], "own": own}
        answer: dict[str, Any] = verifier.ask("envelopes.js", OPENED, given)
        return answer

    first = opened("envelope_1")
    assert (first["digest"], first["covered"]) == (vectors["envelope_1_sha256"], vectors["envelope_1_signed"])
    assert first["meters"] == ["m-u-a101", "m-u-a102", "m-lift"]
    assert opened("envelope_1_disclosed")["meters"] == ["m-lift"]
    assert "digest" in opened("envelope_2")
    refused = sorted(name for name in vectors if name.startswith("refused"))
    assert len(refused) == 3
    assert all("refused" in opened(name) for name in refused)


PROVEN = """(async () => {
  const { Seals } = await import("/static/verify/seals.js");
  const { fromHex } = await import("/static/verify/octets.js");
  const { decode } = await import("/static/verify/cbor.js");
  const seals = new Seals();
  const pools = given.pools.map(({ id, cost_minor, facts, root }) => {
    const [pool, cut] = decode(fromHex(facts));
    return { id, cost: cost_minor === null ? null : BigInt(cost_minor), facts: pool, cut, root: fromHex(root) };
  });
  const lines = given.lines.map(({ id, band_energy_wh, amount_minor }) => {
    const pool = pools.find((one) => id.startsWith(`${one.id}/`));
    const share = pool.cost !== null;
    const [energy, amount] = [band_energy_wh.map(BigInt), BigInt(amount_minor)];
    return { id, pool: pool.id, energy, amount, isShare: share, cut: pool.cut };
  });
  const statement = { runId: fromHex(given.run_id), commitment: fromHex(given.commitment), lines, pools };
  try {
    const proof = m.readProof(fromHex(given.proof));
    m.requireShape(statement, proof);
    for (const at of pools.keys()) await m.provePool(statement, proof, at, seals);
    await m.proveRun(statement, proof, seals);
    return "proven";
  } catch (error) {
    return error.message;
  }
})()"""


def test_the_vectors_of_the_proofs(verifier: BrowserVerifier) -> None:
    vectors = vectors_of("proofs.md")
    lines = [line for line in vectors["lines"] if line["id"].endswith("/t-1")]
    common = {
        "run_id": vectors["run_id"],
        "commitment": vectors["commitment"],
        "lines": lines,
        "pools": vectors["pools"],
    }

    def proven(proof: str) -> str:
        answer: str = verifier.ask("sums.js", PROVEN, {**common, "proof": proof})
        return answer

    assert proven(vectors["proof_of_t-1"]) == "proven"
    assert len(vectors["refused"]) >= 8
    assert {name: proven(proof) for name, proof in vectors["refused"].items() if proven(proof) == "proven"} == {}


START = datetime(2026, 7, 1, tzinfo=UTC)
SLOTS = 12


def random_course(chance: random.Random) -> tuple[tuple[Installation, ...], tuple[PointReading, ...]]:
    """A metering point with anything: exchanges, gaps, falls, bounds, doubles, readings off the marks."""
    cuts = sorted(chance.sample(range(1, SLOTS * 15), chance.choice([0, 0, 1, 2])))
    spans = list(zip([None, *cuts], [*cuts, None], strict=True))
    modulus = chance.choice([None, None, 1000])
    hung: list[Installation] = []
    readings: list[PointReading] = []
    for number, (start, end) in enumerate(spans):
        meter = MeterId(f"m-{chance.choice([number, 0])}")
        at = [None if one is None else START + timedelta(minutes=one) for one in (start, end)]
        declared = [None if one is None or chance.random() < 0.2 else chance.randrange(900) for one in at]
        bound = chance.choice([None, None, 4000])
        hung.append(Installation(meter, *at, chance.choice([1, 40]), modulus, bound, declared[0], declared[1]))
        register = declared[0] or chance.randrange(900)
        first, last = start or -30, end or SLOTS * 15 + 30
        for minute in sorted(chance.sample(range(first, last), min(chance.randrange(2, 16), last - first))):
            mark = minute // 15 * 15 if chance.random() < 0.7 else minute
            readings.append(PointReading(START + timedelta(minutes=mark), meter, register))
            register += chance.choice([0, 3, 7, 100, chance.randrange(-50, 90)])
            register = max(register, 0) % (modulus or 10**9)
    return tuple(hung), tuple(readings)


COURSED = """given.map(({ installations, readings, spans }) => {
  const exact = (said) => (typeof said === "number" ? BigInt(said) : said);
  const big = (one) => Object.fromEntries(Object.entries(one).map(([key, said]) => [key, exact(said)]));
  const point = { node: "n", installations: installations.map(big), readings: readings.map(big) };
  return spans.map(([from, to]) => {
    try {
      return Number(new m.Course(point).between(BigInt(from), BigInt(to)));
    } catch (error) {
      if (!(error instanceof m.NotCovered)) throw error;
      return null;
    }
  });
})"""


def seconds(instant: datetime | None) -> int | None:
    """Seconds since 1970."""
    return None if instant is None else int(instant.timestamp())


def test_registers_of_any_course_give_the_energy_that_settlement_gives(verifier: BrowserVerifier) -> None:
    chance = random.Random(7)
    given, expected = [], []
    for _ in range(250):
        hung, readings = random_course(chance)
        spans = [sorted(chance.sample(range(SLOTS + 1), 2)) for _ in range(6)]
        marks = [(START + first * SLOT, START + end * SLOT) for first, end in spans]
        fields = ("multiplier", "modulus_wh", "power_max_w", "initial_wh", "final_wh")
        installations = [
            {
                "meter": one.meter,
                "start": seconds(one.start),
                "end": seconds(one.end),
                **{name: getattr(one, name) for name in fields},
            }
            for one in hung
        ]
        shown = [{"mark": seconds(one.mark), "meter": one.meter, "register": one.register_wh} for one in readings]
        given.append(
            {"installations": installations, "readings": shown, "spans": [[*map(seconds, one)] for one in marks]}
        )
        settled = [settle_point(readings, Interval(*one), hung) for one in marks]
        expected.append([sum(s.energy_wh) if max(s.quality) < SlotQuality.MISSING else None for s in settled])
    assert verifier.ask("registers.js", COURSED, given) == expected
    told = [one for each in expected for one in each]
    assert 200 < sum(one is not None for one in told) < len(told) - 200, "both happen often"


@pytest.mark.parametrize(
    "octets",
    [
        "1817",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "5f4101ff",
        "9fff",
        "a2016161026161"[:6],
        "a2616201616101",
        "f97e00",
        "fa3f800000",
        "f7",
        "c11a00000000",
        "61ff",
        "63eda080",
        "8201",
        "0000",
        "c2410a",
        "c249000000000000000001",
        "1c",
        "a2616101616102",
    ],
)
def test_cbor_in_any_other_form_than_the_one_is_refused(verifier: BrowserVerifier, octets: str) -> None:
    answer = verifier.ask(
        "cbor.js",
        "(async () => { const { fromHex } = await import('/static/verify/octets.js');"
        " try { return String(m.decode(fromHex(given))); } catch (error) { return `refused: ${error.message}`; } })()",
        octets,
    )
    assert answer.startswith("refused: ")


@pytest.mark.parametrize(
    "item",
    [
        0,
        23,
        24,
        255,
        256,
        65535,
        65536,
        2**32 - 1,
        2**32,
        2**64 - 1,
        2**64,
        -1,
        -24,
        -25,
        -(2**64),
        -(2**64) - 1,
        2**100,
        "",
        "公摊",
        b"",
        b"\xff" * 300,
        [],
        [1, [2, None]],
        True,
        False,
        None,
        {"a": 1, "bb": [2], "c": {"d": b"x"}},
        "\ufeffmark",
        "x" * 300,
    ],
)
def test_cbor_is_written_as_python_writes_it(verifier: BrowserVerifier, item: Any) -> None:
    octets = encode(item).hex()
    again = verifier.ask(
        "cbor.js",
        "(async () => { const { hex, fromHex } = await import('/static/verify/octets.js');"
        " return hex(m.encode(m.decode(fromHex(given)))); })()",
        octets,
    )
    assert again == octets


def test_signatures_of_both_kinds_are_judged_as_python_judges_them(verifier: BrowserVerifier) -> None:
    """RFC 8032 and P-256, by WebCrypto and by its own code: right ones, turned bits, the larger s, s + order."""
    given = [*edwards_signatures(), *p256_signatures()]
    expected = [
        public_verifier(one["algorithm"], bytes.fromhex(one["key"])).verifies(
            bytes.fromhex(one["signature"]), bytes.fromhex(one["message"])
        )
        for one in given
    ]
    asked = """Promise.all(given.all.map(async ({ algorithm, key, signature, message }) => {
      const { fromHex } = await import("/static/verify/octets.js");
      const seals = given.own ? new m.Seals(null) : new m.Seals();
      return seals.verifies(BigInt(algorithm), fromHex(key), fromHex(signature), fromHex(message));
    }))"""
    texts = [{**one, "algorithm": int(one["algorithm"])} for one in given]
    assert True in expected
    assert False in expected
    for own in (False, True):
        assert verifier.ask("seals.js", asked, {"all": texts, "own": own}) == expected


def edwards_signatures() -> list[dict[str, Any]]:
    """Ed25519 signatures, good and bad."""
    from metering.envelope import Algorithm

    order = 2**252 + 27742317777372353535851937790883648493
    found = []
    for number in range(6):
        signer = FileSigner.from_seed(bytes([number + 1]) * 32)
        message = b"m" * (number * 37)
        good = signer.sign(message)
        s = int.from_bytes(good[32:], "little")
        again = good[:32] + (s + order).to_bytes(32, "little")
        for signature in (good, flipped(good, 3), flipped(good, 40), again, good[:63]):
            found.append(
                {
                    "algorithm": Algorithm.EDDSA,
                    "key": signer.public_key.hex(),
                    "signature": signature.hex(),
                    "message": message.hex(),
                }
            )
    return found


def p256_signatures() -> list[dict[str, Any]]:
    """P-256 signatures, good and bad."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from metering.envelope import Algorithm
    from provisioning.keys import with_smaller_s

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    found = []
    for number in range(4):
        private = ec.derive_private_key(1000 + number, ec.SECP256R1())
        message = b"p" * number
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        good = with_smaller_s(r.to_bytes(32) + s.to_bytes(32))
        larger = good[:32] + (order - int.from_bytes(good[32:])).to_bytes(32)
        key = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        for signature in (good, larger, flipped(good, 5), flipped(good, 50), bytes(64)):
            found.append(
                {"algorithm": Algorithm.ES256, "key": key.hex(), "signature": signature.hex(), "message": message.hex()}
            )
    return found


def test_no_key_and_a_key_of_another_are_told(verifier: BrowserVerifier) -> None:
    file = file_of(PLAIN_CASE, "t-01")
    for keys in ([], [STRANGER.public_key]):
        (found,) = verifier.check(file, keys=keys)
        assert found.broken == ["statement key"]
        assert CENTRE.key_id.hex() in found.told["statement key"]["en"]


def test_a_file_that_holds_stays_as_it_was(verifier: BrowserVerifier) -> None:
    """Checking twice, or a copy with its parts in another order of keys, gives the same."""
    file = file_of(PLAIN_CASE, "t-01")
    turned = json.dumps(dict(reversed(json.loads(file).items()))).encode()
    one, other, third = verifier.check(file, turned, copy.copy(file))
    assert one == other == third
    assert base64.b64decode(json.loads(file)["statement"]) == unpack_bundle(turned).statement

"""The file of a statement, put together when somebody asks for it: same statement, same octets.

The store keeps the signed statement and its proof. The envelopes it names are in the store already; kept with each
statement too, they would take a hundred times the room of the statement.
"""

from __future__ import annotations

from allocation_engine.bundle import pack_bundle
from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, StatementContent
from device_profiles.catalogue import Catalogue
from ingest.proving import EvidenceMissing
from ingest.store.database import Connection
from ingest.store.readings import envelope_octets
from ingest.store.statements import StoredStatement
from metering.envelope import decode_canonical, disclose, parse_sealed, parse_sign1


def statement_file(connection: Connection, stored: StoredStatement, catalogue: Catalogue) -> bytes:
    """Give the statement with the envelopes it names, its own meters' readings only, and the profiles to read them by.

    Raises EvidenceMissing.
    """
    if stored.bundle is not None:
        return stored.bundle
    assert stored.proof is not None, "the table holds a proof wherever it holds no bundle"
    signed = parse_sign1(stored.octets, STATEMENT_OCTETS_MAX)
    content = StatementContent.from_wire(decode_canonical(signed.payload, STATEMENT_OCTETS_MAX))
    meters = frozenset(reading.meter for point in content.points for reading in point.readings)
    octets = envelope_octets(connection, {(ref.gateway, ref.epoch, ref.seq) for ref in content.evidence})
    evidence = []
    for ref in content.evidence:
        sealed = octets.get((ref.gateway, ref.epoch, ref.seq))
        if sealed is None:
            raise EvidenceMissing(f"the envelope {ref.gateway} epoch {ref.epoch} seq {ref.seq} is not in the store")
        evidence.append(disclose(sealed, meters))
    named = {reading.profile_hash for sealed in evidence for reading in parse_sealed(sealed).envelope.readings}
    profiles = [catalogue.by_hash(profile).canonical for profile in sorted(named)]
    return pack_bundle(stored.octets, stored.proof, evidence, profiles)

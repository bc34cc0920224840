"""Orders, claims and epochs under any sequence of events: a state machine against a plain model of the books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from metering.identity import GatewayId, SiteId
from provisioning.enrolment import Claim, Enrolled, InstallOrder, Refused, decide, open_bundle, open_order, seal_bundle
from provisioning.keys import FileSigner

SIGNERS = [FileSigner.from_seed(bytes([number]) * 32) for number in range(3)]
gateways = st.sampled_from(["gw-a", "gw-b"])
WEEK = timedelta(days=7)


class EnrolmentBooks(RuleBasedStateMachine):
    """What a centre keeps, and what must be true of it whatever is presented, in whatever order, however often."""

    claims: Bundle[Claim] = Bundle("claims")
    bundles: Bundle[bytes] = Bundle("bundles")

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 7, 1, tzinfo=UTC)
        self.orders: dict[bytes, InstallOrder] = {}
        self.epochs: dict[str, int] = {}
        self.key_at: dict[tuple[str, int], bytes] = {}
        self.answered: dict[bytes, int] = {}
        self.claims_made = 0

    @rule(target=claims, gateway=gateways)
    def order(self, gateway: str) -> Claim:
        """The back office opens an order."""
        self.claims_made += 1
        claim = Claim.of_number(self.claims_made)
        order = open_order(
            site=SiteId("park"),
            gateway=GatewayId(gateway),
            engineer="anyone",
            ordered_at=self.now,
            expires_at=self.now + WEEK,
            claim=claim,
        )
        self.orders[claim.hash] = order
        return claim

    @rule(target=claims, number=st.integers(10_000, 10_100))
    def guess(self, number: int) -> Claim:
        """Somebody invents a claim."""
        return Claim.of_number(number)

    @rule(target=bundles, claim=claims, gateway=gateways, epoch=st.integers(1, 4), signer=st.sampled_from(SIGNERS))
    def seal(self, claim: Claim, gateway: str, epoch: int, signer: FileSigner) -> bytes:
        """A gateway makes a bundle, which may be presented at any later time."""
        name = GatewayId(gateway)
        return seal_bundle(name, epoch=epoch, claim=claim, public_key=signer.public_key, signer=signer)

    @rule(days=st.integers(1, 5))
    def wait(self, days: int) -> None:
        """Time passes."""
        self.now += timedelta(days=days)

    @rule(octets=bundles)
    def present(self, octets: bytes) -> None:
        """A bundle reaches the centre."""
        bundle = open_bundle(octets)
        order = self.orders.get(bundle.claim_hash)
        outcome = decide(bundle, order, last_epoch=self.epochs.get(bundle.gateway, 0), now=self.now)
        if bundle.digest in self.answered:
            assert isinstance(outcome, Enrolled), "what was accepted once gets the same answer for ever"
            assert outcome.again
            return
        if isinstance(outcome, Refused):
            return
        assert order is not None
        assert not outcome.again
        assert order.burned_at is None
        assert order.gateway == bundle.gateway
        assert order.ordered_at <= self.now < order.expires_at
        assert bundle.epoch > self.epochs.get(bundle.gateway, 0)
        assert (bundle.gateway, bundle.epoch) not in self.key_at, "an epoch has one key"
        self.key_at[bundle.gateway, bundle.epoch] = bundle.public_key
        self.epochs[bundle.gateway] = bundle.epoch
        self.orders[bundle.claim_hash] = outcome.order
        self.answered[bundle.digest] = bundle.epoch

    @invariant()
    def each_burned_claim_bought_exactly_one_key(self) -> None:
        """Claims are not used twice and keys do not appear from nowhere."""
        burned = [order.burned_by for order in self.orders.values() if order.burned_at is not None]
        assert len(burned) == len(set(burned)) == len(self.key_at)
        assert set(burned) == set(self.answered)


EnrolmentBooks.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestEnrolmentBooks = EnrolmentBooks.TestCase

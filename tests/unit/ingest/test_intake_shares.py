"""How several intake workers divide the gateways."""

from __future__ import annotations

import pytest

from ingest.intake_worker import CLIENT_ID, ShareInvalid, Worker
from metering.topics import PARTITIONS


@pytest.mark.parametrize("of", [1, 2, 3, 7, 63, 64])
def test_every_partition_has_exactly_one_worker(of: int) -> None:
    taken = [
        partition
        for number in range(1, of + 1)
        for partition in Worker.parse(f"{number}/{of}").partitions or range(PARTITIONS)
    ]
    assert sorted(taken) == list(range(PARTITIONS))


@pytest.mark.parametrize("share", ["", "1", "0/2", "3/2", "1/65", "1/0", "-1/2", "1/2/3", " 1/2", "1/2\n", "٣/٤"])
def test_what_is_no_share_is_refused_with_a_mend(share: str) -> None:
    with pytest.raises(ShareInvalid, match="1/2"):
        Worker.parse(share)


def test_workers_have_sessions_of_their_own_that_stay_the_same() -> None:
    assert Worker.parse("1/1").client_id == CLIENT_ID
    names = {Worker.parse(f"{number}/3").client_id for number in (1, 2, 3)}
    assert len(names) == 3
    assert Worker.parse("2/3").client_id in names
    assert Worker.parse("1/2").client_id != Worker.parse("1/3").client_id

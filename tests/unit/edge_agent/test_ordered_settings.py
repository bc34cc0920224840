"""Settings from afar: on trial, kept or rolled back, never taken twice, also across a power cut."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_agent.ordered_settings import SHELF_FILE, STARTS_MAX, OrderedSettings, Shelf, ShelfDamaged
from metering.order import SettingsOrder, seal_order
from metering.report import Outcome, SettingsReport
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig
from provisioning.remote_settings import BrokerPlace, RemoteSettings
from tests.doubles.edge import GATEWAY, LINE, UNITS, fitted, serial_port, tcp_port


def base_config(directory: Path) -> GatewayConfig:
    """What the gateway's own file says: one line with two meters."""
    return GatewayConfig(
        gateway=GATEWAY,
        epoch=2,
        boot=bytes(16),
        state_dir=directory,
        signing_key=directory / "signing.key",
        centre_public_key=directory / "centre.pub",
        every_s=900,
        group="billing",
        broker=BrokerConfig("broker.example", 8883, "gw-a", "secret"),
        clock=SYSTEM_CLOCK,
        ports=(serial_port("/dev/ttyS0"),),
        meters=tuple(fitted(one, "line-a") for one in LINE[:2]),
    )


def wanted(**changes: Any) -> RemoteSettings:
    """Settings with three meters behind a TCP port."""
    plain = RemoteSettings(300, "billing", 600, (tcp_port(502),), tuple(fitted(one, "tcp-b") for one in UNITS))
    return replace(plain, **changes)


def order_of(signer: Any, version: int = 1, settings: RemoteSettings | str | None = None, **changes: Any) -> bytes:
    """A sealed order."""
    text = settings if isinstance(settings, str) else (settings or wanted()).to_toml()
    order = SettingsOrder(GATEWAY, 2, version, datetime(2026, 7, 1, tzinfo=UTC), text)
    return seal_order(replace(order, **changes), signer)


@pytest.fixture
def orders(tmp_path: Path, centre_signer: Any) -> OrderedSettings:
    """A gateway to which nothing was ordered yet."""
    return OrderedSettings(base_config(tmp_path), centre_signer.verifier)


def again(orders: OrderedSettings, tmp_path: Path, centre_signer: Any) -> OrderedSettings:
    """The same gateway after a start."""
    del orders
    return OrderedSettings(base_config(tmp_path), centre_signer.verifier)


def reports(orders: OrderedSettings) -> list[SettingsReport]:
    """What the centre is told."""
    told: list[SettingsReport] = []
    orders.report(told.extend)
    return told


def test_without_an_order_the_gateways_own_file_is_in_force(orders: OrderedSettings, tmp_path: Path) -> None:
    begin = orders.begin()
    assert begin.config == base_config(tmp_path)
    assert begin.trial is None
    assert not (tmp_path / SHELF_FILE).exists()


def test_an_order_is_on_trial_until_it_is_kept(orders: OrderedSettings, tmp_path: Path, centre_signer: Any) -> None:
    assert orders.arrived(order_of(centre_signer))
    begin = orders.begin()
    assert begin.trial is not None
    assert begin.trial_s == 600
    assert [meter.id for meter in begin.config.meters] == [one[0] for one in UNITS]
    assert begin.config.every_s == 300
    assert orders.in_force() == base_config(tmp_path)
    orders.keep(begin.trial)
    after = again(orders, tmp_path, centre_signer)
    assert after.begin() == replace(begin, trial=None, trial_s=0)
    assert after.in_force() == begin.config
    assert reports(after) == [SettingsReport(1, Outcome.APPLIED, "")]
    assert reports(after) == []


def test_an_order_that_fails_leaves_what_was_before(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    orders.arrived(order_of(centre_signer))
    trial = orders.begin().trial
    assert trial is not None
    orders.roll_back(trial, "no meter answered on any port")
    after = again(orders, tmp_path, centre_signer)
    assert after.begin().config == base_config(tmp_path)
    assert reports(after) == [SettingsReport(1, Outcome.ROLLED_BACK, "no meter answered on any port")]


def test_what_was_changed_at_the_site_stands_above_older_orders(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    orders.arrived(order_of(centre_signer))
    trial = orders.begin().trial
    assert trial is not None
    orders.keep(trial)
    changed = replace(base_config(tmp_path), every_s=60, outranks=1)
    assert OrderedSettings(changed, centre_signer.verifier).begin().config == changed
    later = OrderedSettings(changed, centre_signer.verifier)
    later.arrived(order_of(centre_signer, 2, wanted(every_s=300)))
    assert later.begin().config.every_s == 300
    newer = OrderedSettings(replace(changed, outranks=2), centre_signer.verifier)
    assert newer.begin().config.every_s == 60
    assert [(one.version, one.outcome) for one in reports(newer)][-1] == (2, Outcome.ROLLED_BACK)


def test_a_second_order_that_fails_leaves_the_first(orders: OrderedSettings, centre_signer: Any) -> None:
    orders.arrived(order_of(centre_signer))
    first = orders.begin()
    assert first.trial is not None
    orders.keep(first.trial)
    orders.arrived(order_of(centre_signer, 2, wanted(every_s=60)))
    second = orders.begin()
    assert second.config.every_s == 60
    assert second.trial is not None
    orders.roll_back(second.trial, "too fast")
    assert orders.begin().config == first.config


def test_identity_keys_and_login_are_the_gateways_own(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    orders.arrived(order_of(centre_signer, settings=wanted(broker=BrokerPlace("other.example", 1883))))
    config, own = orders.begin().config, base_config(tmp_path)
    assert config.broker == replace(own.broker, host="other.example", port=1883)
    for name in ("gateway", "epoch", "boot", "state_dir", "signing_key", "centre_public_key", "clock", "face", "time"):
        assert getattr(config, name) == getattr(own, name)


def test_an_order_is_taken_once(orders: OrderedSettings, tmp_path: Path, centre_signer: Any) -> None:
    octets = order_of(centre_signer, 3)
    assert orders.arrived(octets)
    trial = orders.begin().trial
    assert trial is not None
    orders.roll_back(trial, "it was wrong")
    for version in (1, 2, 3):
        assert not orders.arrived(order_of(centre_signer, version))
    after = again(orders, tmp_path, centre_signer)
    assert not after.arrived(octets)
    assert after.arrived(order_of(centre_signer, 4))


@pytest.mark.parametrize("change", [{"gateway": "gw-b"}, {"epoch": 1}, {"epoch": 3}])
def test_an_order_for_another_gateway_or_epoch_changes_nothing(
    orders: OrderedSettings, centre_signer: Any, change: dict[str, Any]
) -> None:
    assert not orders.arrived(order_of(centre_signer, **change))
    assert orders.shelf == Shelf()


def test_an_order_that_the_centre_did_not_sign_changes_nothing(orders: OrderedSettings, gateway_signer: Any) -> None:
    assert not orders.arrived(order_of(gateway_signer))
    assert not orders.arrived(b"")
    assert not orders.arrived(b"\xd2\x84")
    assert orders.shelf == Shelf()


@pytest.mark.parametrize(
    "text",
    [
        "every_s = ",
        "every_s = 900\n",
        'state_dir = "/tmp"\n' + wanted().to_toml(),
        wanted().to_toml().replace("trial_s = 600", "trial_s = 5"),
        wanted().to_toml().replace('gateway = "gw-a"', 'gateway = "gw-b"'),
    ],
)
def test_an_order_that_cannot_be_read_is_refused_and_the_centre_is_told(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any, text: str
) -> None:
    assert not orders.arrived(order_of(centre_signer, settings=text))
    assert orders.begin().config == base_config(tmp_path)
    (told,) = reports(orders)
    assert (told.version, told.outcome) == (1, Outcome.REFUSED)
    assert told.reason


def test_settings_that_end_the_gateway_are_rolled_back(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    orders.arrived(order_of(centre_signer))
    for _ in range(STARTS_MAX):
        orders = again(orders, tmp_path, centre_signer)
        assert orders.begin().trial is not None
    orders = again(orders, tmp_path, centre_signer)
    assert orders.begin().trial is None
    assert orders.begin().config == base_config(tmp_path)
    (told,) = reports(orders)
    assert told.outcome is Outcome.ROLLED_BACK
    assert "ended 2 times" in told.reason


def test_a_cut_before_the_report_is_sealed_loses_no_report(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    orders.arrived(order_of(centre_signer))
    trial = orders.begin().trial
    assert trial is not None
    orders.keep(trial)

    def cut(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        orders.report(cut)
    assert reports(again(orders, tmp_path, centre_signer)) == [SettingsReport(1, Outcome.APPLIED, "")]


def test_a_cut_while_the_file_is_written_leaves_the_old_one(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.arrived(order_of(centre_signer))
    before = (tmp_path / SHELF_FILE).read_bytes()

    def cut(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(ShelfDamaged, match="no room"):
        orders.arrived(order_of(centre_signer, 2))
    monkeypatch.undo()
    assert (tmp_path / SHELF_FILE).read_bytes() == before
    assert again(orders, tmp_path, centre_signer).shelf.seen == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seen": "x"}', "\udc80"])
def test_a_damaged_file_stops_orders_not_measuring(tmp_path: Path, centre_signer: Any, text: str) -> None:
    (tmp_path / SHELF_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    orders = OrderedSettings(base_config(tmp_path), centre_signer.verifier)
    assert orders.begin().config == base_config(tmp_path)
    assert not orders.arrived(order_of(centre_signer))
    assert (tmp_path / SHELF_FILE).read_bytes() == text.encode("utf-8", "surrogateescape")


def test_an_order_on_trial_that_can_no_longer_be_opened_is_given_up_and_told(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any, gateway_signer: Any
) -> None:
    assert orders.arrived(order_of(centre_signer, 4))
    after = OrderedSettings(base_config(tmp_path), gateway_signer.verifier)  # the centre's key is another one now
    assert after.begin().config == base_config(tmp_path)
    assert [(one.version, one.outcome) for one in reports(after)] == [(4, Outcome.ROLLED_BACK)]
    assert after.begin().trial is None


def test_on_a_full_disk_nothing_is_tried_and_measuring_goes_on(
    orders: OrderedSettings, tmp_path: Path, centre_signer: Any
) -> None:
    assert orders.arrived(order_of(centre_signer))
    (tmp_path / SHELF_FILE).with_suffix(".new").mkdir()  # the file cannot be written from now on
    begin = again(orders, tmp_path, centre_signer).begin()
    assert (begin.trial, begin.config) == (None, base_config(tmp_path))


def test_the_file_says_what_it_was_told() -> None:
    shelf = Shelf(4, b"\x01", b"\x02", 1, (SettingsReport(3, Outcome.REFUSED, "why"),))
    assert Shelf.from_text(shelf.to_text()) == shelf
    assert json.loads(shelf.to_text())["seen"] == 4

"""The gateway's own file as the installation makes it (pure): first from the plan and the voucher, then event by event.

What an event does not speak of stays as it is in the file that is in force: a centre may have ordered other rhythms, or
meters that this desk never saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from edge_agent.installation.home import Home
from metering.identity import MeterId
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import (
    SYSTEM_CLOCK,
    BrokerConfig,
    FittedMeter,
    GatewayConfig,
    HttpWay,
    TimeConfig,
    wired,
)
from provisioning.installation import (
    Bind,
    Binding,
    Body,
    Decommission,
    Exchange,
    PortChange,
    RatioChange,
    Replace,
)
from provisioning.order_file import Plan
from provisioning.site import SerialPort, Span, StreamPort
from provisioning.voucher import Voucher

MARK_S = 900
BILLING = "billing"
MQTT_PORT = 1883
BOOT_OCTETS = 16


def first_configuration(
    home: Home, voucher: Voucher, plan: Plan, *, epoch: int, bundle: bytes, has_certificate: bool, password: str | None
) -> GatewayConfig:
    """Give the file of a gateway whose plan has ports and whose meters are all still to be bound.

    bundle   digest of the bundle, with which the chain begins
    """
    ports, _ = wired(plan.site, voucher.gateway, {})
    freezes = any(isinstance(port, SerialPort | StreamPort) and port.freeze for port in ports)
    return GatewayConfig(
        gateway=voucher.gateway,
        epoch=epoch,
        boot=bundle[:BOOT_OCTETS],
        state_dir=home.state,
        signing_key=home.signing_key,
        centre_public_key=home.centre_public_key,
        every_s=MARK_S,
        group=BILLING,
        broker=_broker(home, voucher, has_certificate=has_certificate, password=password),
        clock=SYSTEM_CLOCK,
        ports=ports,
        meters=(),
        time=TimeConfig(zone=plan.site.calendar.zone) if freezes else None,
        http=HttpWay(voucher.centre_url, home.roots if voucher.roots else None) if voucher.broker is None else None,
        bundle=bundle,
    )


def with_way(
    config: GatewayConfig, home: Home, voucher: Voucher, *, has_certificate: bool, password: str | None
) -> GatewayConfig:
    """Give the file with what the grant brought: a certificate to show to the broker, or none."""
    tls = _broker(home, voucher, has_certificate=has_certificate, password=password).tls
    is_https = voucher.centre_url.startswith("https://")
    door = HttpWay(voucher.centre_url, home.roots if voucher.roots and is_https else None)
    return replace(config, broker=replace(config.broker, tls=tls), renewal=door if has_certificate else config.renewal)


def _broker(home: Home, voucher: Voucher, *, has_certificate: bool, password: str | None) -> BrokerConfig:
    if voucher.broker is None:
        return BrokerConfig(urlsplit(voucher.centre_url).hostname or "localhost", MQTT_PORT, None, None)
    host, _, port = voucher.broker.rpartition(":")
    user = None if password is None else voucher.gateway
    tls = None
    if voucher.roots:
        own = home.tls if has_certificate else None
        tls = BrokerTls(home.roots, own, own)
    return BrokerConfig(host.strip("[]"), int(port), user, password, tls)


def reconfigured(config: GatewayConfig, plan: Plan, bodies: Iterable[Body]) -> GatewayConfig:
    """Give the file after what was done at the site, in its order."""
    for body in bodies:
        config = _after(config, plan, body)
    return config


def _after(config: GatewayConfig, plan: Plan, body: Body) -> GatewayConfig:
    match body:
        case Bind():
            return _with(config, body.binding)
        case Exchange():
            at = body.new.meter.span.start
            assert at is not None
            return _with(_until(config, body.old, at), body.new)
        case RatioChange():
            old = next((one for one in config.meters if one.id == body.meter), None)
            if old is None:
                return config
            config = _until(config, body.meter, body.at)
            return _with_meter(config, replace(old, id=body.new, span=Span(body.at)))
        case Decommission():
            return _until(config, body.meter, body.at)
        case PortChange():
            others = tuple(port for port in config.ports if port.id != body.port.id)
            return replace(config, ports=tuple(sorted((*others, body.port), key=lambda port: port.id)))
        case Replace():
            known = {one.id for one in config.meters}
            _, meters = wired(plan.site, config.gateway, {})
            return replace(config, meters=(*config.meters, *(one for one in meters if one.id not in known)))
    return config


def _with(config: GatewayConfig, binding: Binding) -> GatewayConfig:
    one = binding.meter
    fitted = FittedMeter(one.id, one.port, one.profile, one.protocol, one.address, one.span, one.line)
    return _with_meter(config, fitted)


def _with_meter(config: GatewayConfig, fitted: FittedMeter) -> GatewayConfig:
    others = tuple(one for one in config.meters if one.id != fitted.id)
    return replace(config, meters=(*others, fitted))


def _until(config: GatewayConfig, meter: MeterId, at: datetime) -> GatewayConfig:
    def ended(one: FittedMeter) -> FittedMeter:
        return replace(one, span=Span(one.span.start, at)) if one.id == meter else one

    return replace(config, meters=tuple(map(ended, config.meters)))

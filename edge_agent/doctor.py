"""What may be wrong with a gateway's machine and its file, found out one by one, each with how to mend it.

Every check is a look: nothing is changed, no meter is asked, and it does no harm beside a running gateway.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from device_profiles.catalogue import Catalogue
from edge_agent.adapters.face_port import FaceUnreachable, ask_face
from edge_agent.adapters.host_clock import read_host_time
from edge_agent.adapters.sqlite_outbox import read_extents
from edge_agent.ordered_settings import SHELF_FILE, Shelf
from edge_agent.timekeeping import FLOOR
from metering.clock import SystemClock
from metering.errors import MeteringError
from provisioning.gateway_config import ClockKind, GatewayConfig
from provisioning.keys import KeyLevel, read_public_key
from provisioning.signers import open_signer
from provisioning.site import PulsePort, SerialPort

FREE_OCTETS_MIN = 500 << 20
"""Less room than this on the disk is told [octets]: the outbox may grow to its bound."""
WAITING_MAX = 200
"""More batches without receipt than this are told: two days of quarter hours on one port."""
CONNECT_S = 5.0
READ_WELL = ("measured", "late")
CERTIFICATE_DAYS_MIN = 14
NAMES_MAX = 8
"""More meters than this are counted, not named."""
RTC = Path("/sys/class/rtc")


class Verdict(StrEnum):
    """What a look found."""

    WELL = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: `text` says what was found, `mend` what to do, each (zh, en); `mend` is empty where all is well."""

    what: str
    verdict: Verdict
    text: tuple[str, str]
    mend: tuple[str, str] = ("", "")


def examine(config: GatewayConfig, profiles: list[Path], outbox_file: str) -> Iterator[Finding]:
    """Look at everything a gateway needs."""
    for look in (_keys, _clock, _state, _settings):
        yield from look(config)
    yield from _outbox(config.state_dir / outbox_file)
    yield from _profiles(config, profiles)
    yield from _ports(config)
    yield from _certificate(config)
    yield from _broker(config)
    yield from _running(config)


def _well(what: str, zh: str, en: str) -> Finding:
    return Finding(what, Verdict.WELL, (zh, en))


def _tried(what: str, look: Callable[[], Finding], mend: tuple[str, str]) -> Finding:
    """Look; what the look raises is the fault."""
    try:
        return look()
    except (MeteringError, OSError) as error:
        return Finding(what, Verdict.FAULT, (str(error), str(error)), mend)


def _keys(config: GatewayConfig) -> Iterator[Finding]:
    def signing() -> Finding:
        is_in_token = open_signer(config.signing_key).level is KeyLevel.TOKEN
        mode = stat.S_IMODE(config.signing_key.stat().st_mode)
        if mode & 0o077:
            text = (
                f"{config.signing_key} 权限 {mode:04o}，他人可读",
                f"{config.signing_key} can be read by others ({mode:04o})",
            )
            return Finding("signing-key", Verdict.FAULT, text, (f"chmod 600 {config.signing_key}",) * 2)
        if is_in_token:
            return _well("signing-key", "保存在令牌中，可签名", "in a token, and found there")
        return _well("signing-key", "可读，仅属主可读", "readable, by its owner only")

    def centre() -> Finding:
        read_public_key(config.centre_public_key)
        return _well("centre-key", "可读", "readable")

    mend = ("重新执行 metertree-provision enrol", "run metertree-provision enrol again")
    yield _tried("signing-key", signing, mend)
    yield _tried("centre-key", centre, mend)


def _clock(config: GatewayConfig) -> Iterator[Finding]:
    if config.clock.kind is ClockKind.PLAYED:
        yield _well("clock", "演示时间", "played time")
        return
    host = read_host_time()
    if host.is_synchronised:
        yield _well(
            "clock", f"内核已同步，误差不超过 {host.error_ms} ms", f"synchronised, off by at most {host.error_ms} ms"
        )
        return
    mend = (
        "启用 chrony 或 systemd-timesyncd 并放行 NTP；无电池时钟的机器在 [time] 写 undated_until_synchronised = true",
        "run chrony or systemd-timesyncd and let NTP through; on a machine without a clock battery write "
        "undated_until_synchronised = true under [time]",
    )
    if host.wall < FLOOR:
        text = (f"时钟显示 {host.wall:%Y-%m-%d}，显然未校时", f"the clock shows {host.wall:%Y-%m-%d}: it was never set")
        yield Finding("clock", Verdict.FAULT, text, mend)
        return
    has_battery = RTC.is_dir() and any(RTC.iterdir())
    text = (
        f"内核未同步，{'有' if has_battery else '无'}电池时钟",
        f"not synchronised, {'with' if has_battery else 'without'} a clock battery",
    )
    yield Finding("clock", Verdict.WARNING, text, mend)


def _state(config: GatewayConfig) -> Iterator[Finding]:
    def room() -> Finding:
        free = shutil.disk_usage(config.state_dir).free
        text = (f"{config.state_dir} 剩余 {free >> 20} MiB", f"{free >> 20} MiB free at {config.state_dir}")
        if free < FREE_OCTETS_MIN:
            return Finding("disk", Verdict.WARNING, text, ("清理磁盘", "make room"))
        return _well("disk", *text)

    yield _tried("disk", room, (f"mkdir -p {config.state_dir}",) * 2)


def _settings(config: GatewayConfig) -> Iterator[Finding]:
    path = config.state_dir / SHELF_FILE
    if not path.exists():
        yield _well("settings", "本机文件", "the gateway's own file")
        return

    def shelf() -> Finding:
        found = Shelf.from_text(path.read_text(encoding="utf-8"))
        if found.trial is not None:
            return _well("settings", f"第 {found.seen} 号试用中", f"number {found.seen} is on trial")
        return _well("settings", f"已见至第 {found.seen} 号", f"orders seen up to number {found.seen}")

    mend = (f"确认中心最新下发后删除 {path}", f"remove {path} when the centre's newest order is known to be wanted")
    yield _tried("settings", shelf, mend)


def _outbox(path: Path) -> Iterator[Finding]:
    if not path.exists():
        mend = ("启动网关", "start the gateway")
        yield Finding("outbox", Verdict.WARNING, ("尚无发件箱", "there is none yet"), mend)
        return

    def outbox() -> Finding:
        extents = read_extents(path)
        waiting = sum(extent.head.seq - extent.receipted_seq for extent in extents)
        text = (f"{waiting} 批待回执", f"{waiting} batches wait for a receipt")
        lost = sum(extent.evicted for extent in extents)
        if lost:
            zh, en = text[0] + f"，{lost} 处已丢弃", text[1] + f", {lost} stretches were given up for want of room"
            return Finding(
                "outbox", Verdict.WARNING, (zh, en), ("检查网络与中心", "look at the network and at the centre")
            )
        if waiting > WAITING_MAX:
            return Finding("outbox", Verdict.WARNING, text, ("检查网络与中心", "look at the network and at the centre"))
        return _well("outbox", *text)

    mend = ("保留该文件，以新纪元重新注册", "keep this file and enrol the gateway again in a new epoch")
    yield _tried("outbox", outbox, mend)


def _profiles(config: GatewayConfig, profiles: list[Path]) -> Iterator[Finding]:
    def known() -> Finding:
        catalogue = Catalogue.load(*profiles)
        for meter in config.meters:
            catalogue.by_id(meter.profile).link(meter.protocol)
        return _well(
            "profiles", f"{len(config.meters)} 块表计的型号均已知", f"those of {len(config.meters)} meters are known"
        )

    mend = ("用 --profiles 指明型号目录，或改正型号名", "name the directory by --profiles, or mend the profile's name")
    yield _tried("profiles", known, mend)


def _ports(config: GatewayConfig) -> Iterator[Finding]:
    for port in config.ports:
        what = f"port {port.id}"
        if isinstance(port, SerialPort | PulsePort):
            yield _device(what, Path(port.device))
        else:
            mend = ("检查网线、地址与设备电源", "look at cable, address and the device's power")
            yield _tried(what, lambda: _reached(what, port.host, port.port), mend)  # noqa: B023 called at once


def _device(what: str, device: Path) -> Finding:
    if not device.exists():
        mend = (
            "插好转换器，或改正设备路径（ls -l /dev/serial/by-id）",
            "plug in the adapter, or mend the path: ls -l /dev/serial/by-id",
        )
        return Finding(what, Verdict.FAULT, (f"{device} 不存在", f"{device} does not exist"), mend)
    if not os.access(device, os.R_OK | os.W_OK):  # opening it would move the lines of an adapter that is at work
        mend = ("把用户加入 dialout 组", "add the user to the group dialout")
        return Finding(what, Verdict.FAULT, (f"无权打开 {device}", f"{device} may not be opened"), mend)
    return _latency(what, device)


def _latency(what: str, device: Path) -> Finding:
    """FTDI adapters hold octets back for 16 ms unless told otherwise."""
    timer = Path("/sys/class/tty") / device.resolve().name / "device" / "latency_timer"
    try:
        latency_ms = int(timer.read_text())
    except (OSError, ValueError):
        return _well(what, f"{device} 可打开", f"{device} can be opened")
    if latency_ms <= 1:
        return _well(what, f"{device} 可打开，延时 1 ms", f"{device} can be opened, latency 1 ms")
    text = (f"{device} 延时 {latency_ms} ms，每次问答多等", f"{device} holds answers back for {latency_ms} ms")
    return Finding(what, Verdict.WARNING, text, (f"echo 1 > {timer}",) * 2)


def _reached(what: str, host: str, port: int) -> Finding:
    with socket.create_connection((host, port), timeout=CONNECT_S):
        return _well(what, f"{host}:{port} 可连接", f"{host}:{port} takes connections")


def _broker(config: GatewayConfig) -> Iterator[Finding]:
    broker = config.broker

    def reached() -> Finding:
        if broker.tls is None:
            found = _reached("broker", broker.host, broker.port)
            if broker.host in ("127.0.0.1", "localhost", "::1"):
                return found
            mend = (
                "用 metertree-provision config --broker-ca 开启 TLS",
                "turn TLS on: metertree-provision config --broker-ca",
            )
            return Finding(
                "broker", Verdict.WARNING, (f"{found.text[0]}，未加密", f"{found.text[1]}, unencrypted"), mend
            )
        context = broker.tls.context()
        with (
            socket.create_connection((broker.host, broker.port), timeout=CONNECT_S) as line,
            context.wrap_socket(line, server_hostname=broker.host) as secured,
        ):
            text = f"{broker.host}:{broker.port} {secured.version()}"
            return _well("broker", text, text)

    mend = ("检查网络、防火墙与证书", "look at the network, the firewall and the certificates")
    yield _tried("broker", reached, mend)


def _certificate(config: GatewayConfig) -> Iterator[Finding]:
    """Until when the certificate for the broker is good, where there is or shall be one."""
    tls = config.broker.tls
    if tls is None or tls.certificate is None:
        return
    mend = (
        "续期地址见 [renewal] url；请查看网关日志",
        "it is renewed at [renewal] url: see the gateway's log for why not",
    )
    if config.renewal is None:
        mend = (
            "请在配置中写 [renewal] url，或手工更换",
            "write [renewal] url in the configuration, or renew it by hand",
        )
    if not tls.certificate.exists():
        yield Finding("certificate", Verdict.WARNING, ("尚无证书", "there is none yet"), mend)
        return

    def left() -> Finding:
        days = tls.days_left(SystemClock().now()) or 0
        text = (f"剩余 {days} 天", f"good for {days} days")
        if days > CERTIFICATE_DAYS_MIN:
            return _well("certificate", *text)
        return Finding("certificate", Verdict.FAULT if days < 0 else Verdict.WARNING, text, mend)

    yield _tried("certificate", left, mend)


def _running(config: GatewayConfig) -> Iterator[Finding]:
    if config.face is None:
        mend = (
            '在文件中写 [face] host = "127.0.0.1" port = 9464',
            'write [face] host = "127.0.0.1" port = 9464 in its file',
        )
        yield Finding("face", Verdict.WARNING, ("未开放本地端口", "the running gateway cannot be asked"), mend)
        return
    try:
        document = ask_face(config.face)
    except FaceUnreachable as error:
        yield Finding("face", Verdict.WARNING, (str(error), str(error)), ("启动网关", "start the gateway"))
        return
    text = (f"{document.get('gateway')} 正在运行", f"{document.get('gateway')} runs")
    yield _well("face", *text)
    if told := cast("list[dict[str, str]]", document.get("meters", [])):
        yield _meters(told)


def _meters(told: list[dict[str, str]]) -> Finding:
    """What the running gateway says of its meters; a line that opens may still be one that nobody answers on."""
    unread = [one["meter"] for one in told if one["quality"] not in READ_WELL]
    if not unread:
        return _well("meters", f"已读的 {len(told)} 块表均正常", f"all of the {len(told)} read so far give readings")
    names = ", ".join(unread[:NAMES_MAX]) + (" ..." if len(unread) > NAMES_MAX else "")
    text = (
        f"{len(told)} 块表中 {len(unread)} 块无有效读数：{names}",
        f"{len(unread)} of {len(told)} give no reading: {names}",
    )
    mend = (
        "用 metertree-gateway status 看原因；检查接线、地址、波特率与校验",
        "metertree-gateway status says why; look at wiring, address, speed and parity",
    )
    return Finding("meters", Verdict.WARNING, text, mend)

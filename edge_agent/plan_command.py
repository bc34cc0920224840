"""`metertree-gateway plan`: what the lines of a site will have to carry, told in Chinese or English or as JSON."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from device_profiles.catalogue import Catalogue
from edge_agent.port_plan import BUSY_SHARE, PortPlan, Verdict, added, plan_port
from provisioning.gateway_config import FittedMeter, GatewayConfig, GroupInterval
from provisioning.site import NotInSite, Port, SiteInvalid
from provisioning.site_file import read_site

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "port": "{port}: {meters} meters, {exchanges} requests, {octets} octets a sweep",
        "sweep": "  sweep {sweep:.1f} s of {every} s (all meters as slow as allowed: {longest:.1f} s); "
        "last meter {sweep:.1f} s after the mark",
        "share": "  the line is busy {share:.1%} of the time, {between:.1%} of it between marks",
        "dead": "  a silent meter costs a sweep {dead:.2f} s at most, all silent ones together no more than 5 %",
        "switches": "  the line is switched {switches} times a sweep: put meters of one setting one after the other",
        "model": "  {count} x {profile}: {usual:.0f} ms each, {exchanges} requests",
        "unknown": "  not reckoned: {reason}",
        "fits": "  fits",
        "tight": "  TIGHT: it fits only while meters answer promptly; read less often, faster, or on a second line",
        "late": "  LATE: the sweep ends after the port's tolerance of {tolerance} s; its last readings are late",
        "too-much": "  TOO MUCH: the line cannot carry this; spread the meters over {lines} lines",
        "rhythm": "  or read them every {least} s",
        "empty": "no port has a meter",
    },
    "zh": {
        "port": "{port}：{meters} 块表，每轮 {exchanges} 次请求，{octets} 字节",
        "sweep": "  每轮 {sweep:.1f} 秒，周期 {every} 秒（各表均按允许的最长时间应答：{longest:.1f} 秒）；"
        "最后一块表在整刻后 {sweep:.1f} 秒读完",
        "share": "  总线占用 {share:.1%}，其中整刻之间 {between:.1%}",
        "dead": "  一块不应答的表每轮最多耗时 {dead:.2f} 秒，全部不应答的表合计不超过 5 %",
        "switches": "  每轮切换线路参数 {switches} 次：请把参数相同的表排在一起",
        "model": "  {count} 块 {profile}：每块 {usual:.0f} 毫秒，{exchanges} 次请求",
        "unknown": "  未计入：{reason}",
        "fits": "  可以容纳",
        "tight": "  偏紧：只有各表及时应答才能读完；请降低频度、提高波特率或增加一条总线",
        "late": "  超时：一轮结束时已超过端口容差 {tolerance} 秒，最后几块表的读数将标为迟到",
        "too-much": "  无法容纳：这条总线读不完；请分成 {lines} 条总线",
        "rhythm": "  或者改为每 {least} 秒读一次",
        "empty": "没有任何端口接有表计",
    },
}


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is to be read: of a gateway's configuration, or of a site with all its gateways."""

    ports: tuple[Port, ...]
    meters: tuple[FittedMeter, ...]
    group: str
    every_s: int
    intervals: tuple[GroupInterval, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("place", type=Path, help="a site's directory, or a gateway's TOML file")
    parser.add_argument("--gateway", help="of a site: this gateway's ports only")
    parser.add_argument("--every", type=int, help="time between marks [s]; a site's default is 900")
    parser.add_argument("--group", help="channel group read at marks; a site's default is billing")
    parser.add_argument(
        "--also", action="append", default=[], metavar="GROUP:SECONDS", help="a group read between marks; repeatable"
    )
    parser.add_argument(
        "--add", action="append", default=[], metavar="N:PROFILE[@PORT]", help="what if these came too; repeatable"
    )
    parser.add_argument("--profiles", type=Path, action="append", default=[], help="directory of further profiles")
    parser.add_argument("--lang", choices=tuple(WORDS), default="en", help="language (default en)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def plan(args: argparse.Namespace, at: datetime) -> list[PortPlan]:
    """Reckon every port as it is `at` an instant; raises DocumentError, AddInvalid, SiteInvalid, ProfileUnknown ..."""
    catalogue = Catalogue.load(*args.profiles)
    wiring = _read(args, catalogue)
    if wiring.every_s < 1:
        raise SiteInvalid(f"--every {wiring.every_s}: give the seconds between marks, such as 900")
    meters = list(wiring.meters)
    for text in args.add:
        meters += added(text, wiring.ports, meters, catalogue)
    asked = tuple(map(GroupInterval.parse, args.also))
    _require_groups(asked, meters, catalogue)
    plans = [
        plan_port(
            port,
            meters,
            catalogue,
            group=wiring.group,
            every_s=wiring.every_s,
            intervals=(*wiring.intervals, *asked),
            at=at,
        )
        for port in wiring.ports
    ]
    return [one for one in plans if one.loads or one.unknown]


def told(plans: Sequence[PortPlan], language: str) -> str:
    """Tell the plans to a person."""
    words = WORDS[language]
    lines = [line for one in plans for line in _port_lines(one, words)]
    return "\n".join(lines or [words["empty"]])


def document(plans: Sequence[PortPlan]) -> list[dict[str, Any]]:
    """Give the plans as JSON-able objects; times in seconds, shares of 1."""
    return [
        {
            "port": one.port,
            "verdict": one.verdict,
            "meters": len(one.loads),
            "requests": sum(load.exchanges for load in one.loads),
            "octets": sum(load.octets for load in one.loads),
            "every_s": one.every_s,
            "sweep_s": round(one.sweep_s, 3),
            "sweep_longest_s": round(one.sweep_longest_s, 3),
            "utilisation": round(one.utilisation, 4),
            "between_marks": round(one.between_share, 4),
            "switches": one.switches,
            "silent_meter_s": one.dead_s,
            "not_reckoned": list(one.unknown),
        }
        for one in plans
    ]


def exit_code(plans: Sequence[PortPlan]) -> int:
    """Give 0 where everything can be read, 1 where a line has too much or ends late."""
    return int(any(one.verdict in (Verdict.TOO_MUCH, Verdict.LATE) for one in plans))


def _read(args: argparse.Namespace, catalogue: Catalogue) -> Wiring:
    if not args.place.is_dir():
        config = GatewayConfig.read(args.place)
        every_s, group = config.every_s if args.every is None else args.every, args.group or config.group
        return Wiring(config.ports, config.meters, group, every_s, config.intervals or ())
    site = read_site(args.place, catalogue)
    ports = site.read_ports if args.gateway is None else site.ports_of(site.gateway(args.gateway).id)
    if not ports:
        raise NotInSite(f"site {site.id} has no port to reckon")
    known = {port.id for port in ports}
    meters = tuple(
        FittedMeter(meter.id, meter.port, meter.profile, meter.protocol, meter.address, meter.span, meter.line)
        for meter in site.meters
        if meter.port in known
    )
    return Wiring(tuple(ports), meters, args.group or "billing", 900 if args.every is None else args.every, ())


def _require_groups(asked: Sequence[GroupInterval], meters: Sequence[FittedMeter], catalogue: Catalogue) -> None:
    """Refuse a group that no model here has: a slip of the pen would look like a line with time to spare."""
    if not asked:
        return
    known = {group.name for name in {meter.profile for meter in meters} for group in catalogue.by_id(name).groups}
    for interval in asked:
        if interval.group not in known:
            raise SiteInvalid(
                f"--also {interval.group}: no model here has this group; they have {', '.join(sorted(known))}"
            )


def _port_lines(one: PortPlan, words: dict[str, str]) -> list[str]:
    exchanges = sum(load.exchanges for load in one.loads)
    octets = sum(load.octets for load in one.loads)
    lines = [words["port"].format(port=one.port, meters=len(one.loads), exchanges=exchanges, octets=octets)]
    kinds = Counter((load.profile, load.usual_s, load.exchanges) for load in one.loads)
    for (profile, usual_s, requests), count in kinds.items():
        lines.append(words["model"].format(count=count, profile=profile, usual=1000 * usual_s, exchanges=requests))
    lines.append(words["sweep"].format(sweep=one.sweep_s, every=one.every_s, longest=one.sweep_longest_s))
    lines.append(words["share"].format(share=one.utilisation, between=one.between_share))
    lines.append(words["dead"].format(dead=one.dead_s))
    if one.switches > 1:
        lines.append(words["switches"].format(switches=one.switches))
    lines += [words["unknown"].format(reason=reason) for reason in one.unknown]
    lines.append(words[one.verdict].format(tolerance=one.tolerance_s, lines=math.ceil(one.utilisation / BUSY_SHARE)))
    if one.verdict is Verdict.TOO_MUCH and (rhythm_s := _rhythm_s(one)) is not None:
        lines.append(words["rhythm"].format(least=rhythm_s))
    return lines


def _rhythm_s(one: PortPlan) -> int | None:
    """Give the shortest time between marks that does not fill the line [s]; None where a quarter hour is too short."""
    left = BUSY_SHARE - one.between_share
    divisors = (every_s for every_s in range(1, 901) if 900 % every_s == 0)
    return next((every_s for every_s in divisors if left > 0 and one.sweep_s / every_s <= left), None)

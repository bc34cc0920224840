"""The desk as plain data for programs, and as lines for people in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from edge_agent.installation.view import DeskState, EventShown, LiveMeter, OrderShown, Step
from edge_agent.status_words import Language
from provisioning.binding_words import binding_word
from provisioning.document import to_document
from provisioning.finding_words import verdict_words
from provisioning.installation import Binding, Comparison, Finding, Severity

_WORDS: dict[str, tuple[str, str]] = {
    "gateway": ("网关", "gateway"),
    "site": ("园区", "site"),
    "order": ("安装单", "order"),
    "owner": ("业主", "owner"),
    "centre": ("中心", "centre"),
    "fingerprint": ("签发密钥指纹", "signed by the key"),
    "anchored": ("本机锚定密钥已验证", "this machine's anchor vouches for it"),
    "own-key": ("网关密钥指纹", "the gateway's key"),
    "next": ("下一步", "next"),
    "port": ("端口", "port"),
    "found": ("已找到", "found"),
    "meters": ("块表", "meters"),
    "bound": ("已绑定", "bound"),
    "expected": ("计划", "planned"),
    "draft": ("待签名", "not signed yet"),
    "signed": ("已签名", "signed"),
    "seal": ("封印", "seal"),
    "photos": ("张照片", "photos"),
    "compared": ("核对", "display"),
    "accepted": ("已接受", "accepted"),
    "sealed": ("已封存", "sealed"),
    "epoch": ("纪元", "epoch"),
    "measuring": ("正在计量", "measuring"),
    "beginning": ("即将开始计量", "measuring begins now"),
    "not-measuring": (
        "尚未计量：请运行 metertree-gateway run --home",
        "not measuring yet: metertree-gateway run --home",
    ),
    "granted": ("中心已准入", "the centre has granted it"),
    "not-granted": ("中心尚未准入", "the centre has not granted it yet"),
    "waiting": ("项待送达", "waiting to be delivered"),
    "tried": ("最近尝试", "last tried"),
    "no-claim": ("尚缺领取码", "the claim is still missing"),
    "nothing-open": ("无未处理的问题", "nothing is open"),
    "unbound": ("尚未绑定", "not bound yet"),
    "taken-over": ("接管旧网关的表", "taken over from the machine before"),
    "event": ("事件", "event"),
    "delivered": ("已送达", "delivered"),
    "silent": ("未应答", "no answer"),
    "serial": ("表号", "serial"),
}
_STEPS: dict[Step, tuple[str, str]] = {
    Step.ORDER: ("导入安装单：install begin 文件", "take the order: install begin FILE"),
    Step.SCAN: ("扫描线路：install scan 端口", "find the meters: install scan PORT"),
    Step.BIND: ("绑定表计：install bind", "bind the meters: install bind"),
    Step.CHECK: ("核对全部：install check", "check everything: install check"),
    Step.SEAL: ("签名封存：install seal", "sign and measure: install seal"),
    Step.DELIVER: (
        "送达中心：install deliver，或 install package 文件",
        "bring it to the centre: install deliver, or install package FILE",
    ),
    Step.DONE: ("已完成", "done"),
}
_MEND = (
    "先改正上列错误，再 install check；确实如此：install accept 代码 对象",
    "mend what is WRONG, then install check; where it is so all the same: install accept CODE SUBJECT",
)
_SEVERITIES = {
    Severity.WRONG: ("错误", "WRONG"),
    Severity.DOUBTFUL: ("存疑", "doubtful"),
    Severity.NOTE: ("提示", "note"),
}


def say(key: str, language: Language) -> str:
    """Give a word; a missing one is an error."""
    return _WORDS[key][0 if language is Language.ZH else 1]


def order_lines(order: OrderShown, language: Language) -> Iterator[str]:
    """Say what an order is, for comparing it."""
    yield f"{say('order', language)} {order.order}  {say('owner', language)} {order.owner.of(language)}"
    yield f"  {say('site', language)} {order.site}  {say('gateway', language)} {order.gateway}"
    yield f"  {say('centre', language)} {order.centre_url}"
    yield f"  {say('fingerprint', language)} {order.fingerprint}"
    if order.is_anchored:
        yield f"  {say('anchored', language)}"


def state_lines(state: DeskState, language: Language) -> Iterator[str]:
    """Say how the installation stands and what is next."""

    def word(key: str) -> str:
        return say(key, language)

    if state.order is not None:
        order = state.order
        yield f"{word('gateway')} {order.gateway}  {word('site')} {order.site}  {word('order')} {order.order}"
        if state.key_fingerprint:
            yield f"  {word('own-key')} {state.key_fingerprint}"
        if not state.has_claim and state.sealed is None:
            yield f"  !! {word('no-claim')}"
    for port in state.ports:
        scan = state.scans.get(port.id)
        seen = "" if scan is None else f"  {word('found')} {len(scan.found)} {word('meters')}"
        yield f"  {word('port')} {port.id} {place_of(port)}{seen}"
    for binding in state.bindings:
        yield f"  {binding_line(binding, state, language)}"
    unbound = [] if state.plan is None else sorted(state.plan.planned - {one.meter.id for one in state.bindings})
    if unbound and state.sealed is None:
        yield f"  {word('taken-over' if 'replace' in state.drafts else 'unbound')}: {', '.join(unbound)}"
    is_past = state.sealed is not None and not state.drafts
    shown = [one for one in state.open_findings if one.severity is Severity.WRONG or not is_past]
    yield from (f"  {line}" for line in finding_lines(shown, language))
    if state.sealed is not None:
        measuring = word("measuring" if state.is_measuring else "beginning" if state.has_agent else "not-measuring")
        yield f"  {word('sealed')} {state.sealed.at:%Y-%m-%d %H:%MZ}  {word('epoch')} {state.sealed.epoch}  {measuring}"
        yield from _delivery_lines(state, language)
    is_wrong = any(one.severity is Severity.WRONG for one in state.open_findings)
    step = _MEND if state.step is Step.CHECK and is_wrong else _STEPS[state.step]
    yield f"{word('next')}: {step[0 if language is Language.ZH else 1]}"


def _delivery_lines(state: DeskState, language: Language) -> Iterator[str]:
    delivery = state.delivery
    granted = say("granted" if delivery.is_granted else "not-granted", language)
    waiting = f", {delivery.waiting} {say('waiting', language)}" if delivery.waiting else ""
    yield f"  {granted}{waiting}"
    if delivery.tried_at is not None and delivery.problem is not None:
        yield f"  {say('tried', language)} {delivery.tried_at:%Y-%m-%d %H:%MZ}: {delivery.problem}"


def binding_line(binding: Binding, state: DeskState, language: Language) -> str:
    """Say one binding on one line."""
    meter = binding.meter
    status = say("draft" if f"meter {meter.id}" in state.drafts else "signed", language)
    parts = [
        f"{meter.node:<16} {meter.id:<20} {meter.profile:<24} {meter.serial:<16} {meter.port}/{meter.address}",
        f"CT {meter.ct}" + (f" PT {meter.pt}" if meter.pt != 1 else ""),
        *([f"{say('seal', language)} {binding.seal}"] if binding.seal else []),
        *([f"{len(binding.photos)} {say('photos', language)}"] if binding.photos else []),
        *(f"{say('compared', language)} {one.obis}: {told(one, language)}" for one in binding.comparisons),
        status,
    ]
    return "  ".join(parts)


def told(comparison: Comparison, language: Language) -> str:
    """Say what a comparison came to."""
    return verdict_words(comparison.verdict).of(language)


def finding_lines(findings: Iterable[Finding], language: Language) -> Iterator[str]:
    """Say findings, with the names by which they are accepted."""
    for one in findings:
        severity = _SEVERITIES[one.severity][0 if language is Language.ZH else 1]
        accepted = f" [{say('accepted', language)}: {one.accepted}]" if one.accepted else ""
        yield f"{severity}  {one.code} {one.subject}: {one.told.of(language)}{accepted}"


def live_lines(live: LiveMeter, language: Language) -> Iterator[str]:
    """Say what a meter shows now."""
    serial = f"  {say('serial', language)} {live.serial}" if live.serial else ""
    yield f"{live.meter}  {live.read_at:%Y-%m-%d %H:%M:%SZ}{serial}"
    for one in live.registers:
        yield f"  {one.obis!s:<18} {one.shown if one.shown is not None else '-'}"
    if live.problem:
        yield f"  {say('silent', language)}: {live.problem}"


def event_lines(events: Iterable[EventShown], language: Language) -> Iterator[str]:
    """Say signed events."""
    for one in events:
        delivered = f"  {say('delivered', language)}" if one.is_delivered else ""
        kind = binding_word(one.kind, language.value)
        yield f"{one.number:>4}  {one.at:%Y-%m-%d %H:%M:%SZ}  {kind:<14} {one.subject}  {one.by}{delivered}"


def place_of(port: Any) -> str:
    """Say where a port is."""
    device = getattr(port, "device", None)
    return str(device) if device is not None else f"{port.host}:{port.port}"


def state_document(state: DeskState) -> dict[str, Any]:
    """Give the desk as plain data."""
    order = state.order
    return {
        "step": state.step.value,
        "order": None if order is None else order_document(order),
        "key_fingerprint": state.key_fingerprint,
        "has_claim": state.has_claim,
        "ports": [to_document(port) for port in state.ports],
        "scans": {port: len(scan.found) for port, scan in state.scans.items()},
        "expected": [] if state.plan is None else [to_document(one) for one in state.plan.expected],
        "bindings": [to_document(one) for one in state.bindings],
        "drafts": list(state.drafts),
        "findings": [to_document(one) for one in state.findings],
        "is_checked": state.is_checked,
        "may_seal": state.may_seal,
        "sealed": None
        if state.sealed is None
        else {
            "bundle": state.sealed.digest.hex(),
            "at": state.sealed.at.isoformat(),
            "epoch": state.sealed.epoch,
            "events": state.sealed.events,
        },
        "events": [
            {
                "number": one.number,
                "kind": one.kind,
                "at": one.at.isoformat(),
                "by": one.by,
                "subject": one.subject,
                "delivered": one.is_delivered,
            }
            for one in state.events
        ],
        "delivery": {
            "granted": state.delivery.is_granted,
            "waiting": state.delivery.waiting,
            "tried_at": None if state.delivery.tried_at is None else state.delivery.tried_at.isoformat(),
            "problem": state.delivery.problem,
        },
        "is_measuring": state.is_measuring,
    }


def order_document(order: OrderShown) -> dict[str, Any]:
    """Give an order as plain data."""
    return {
        "order": order.order,
        "site": order.site,
        "gateway": order.gateway,
        "owner": {"zh": order.owner.zh, "en": order.owner.en},
        "centre_url": order.centre_url,
        "not_after": order.not_after.isoformat(),
        "fingerprint": order.fingerprint,
        "is_anchored": order.is_anchored,
    }


def live_document(live: LiveMeter) -> dict[str, Any]:
    """Give a reading as plain data."""
    return {
        "meter": live.meter,
        "read_at": live.read_at.isoformat(),
        "serial": live.serial,
        "problem": live.problem,
        "registers": {str(one.obis): None if one.shown is None else str(one.shown) for one in live.registers},
    }

"""Words about installations in both languages: acts, where they stand, what the commands of the back office tell."""

from __future__ import annotations

from datetime import UTC, datetime

_WORDS: dict[str, tuple[str, str]] = {
    "bind": ("绑定", "meter bound"),
    "exchange": ("换表", "meter exchanged"),
    "reparent": ("改接上级", "node moved"),
    "ratio-change": ("换变比", "ratio changed"),
    "decommission": ("拆表", "meter removed"),
    "replace": ("更换网关", "gateway replaced"),
    "port-change": ("端口变更", "port changed"),
    "unbound": ("未绑定", "never bound"),
    "held": ("与台账不符，暂存", "held: does not fit the site"),
    "applied": ("已入账", "in the site"),
    "pending": ("待批准", "waits for approval"),
    "approved": ("已批准", "approved"),
    "refused": ("已拒绝，待更正", "refused, waits for its correction"),
    "superseded": ("已更正", "corrected since"),
    "open": ("未使用", "open"),
    "used": ("已使用", "used"),
    "lapsed": ("已过期", "lapsed"),
    "wrong": ("错误", "WRONG"),
    "doubtful": ("存疑", "doubtful"),
    "note": ("备注", "note"),
    "nothing": ("没有记录", "nothing is recorded"),
    "expected": ("计划", "planned"),
    "found": ("实装", "found"),
    "unit": ("单元", "unit"),
    "node": ("节点", "node"),
    "serial": ("表号", "serial"),
    "serial-read": ("总线读到表号", "serial read over the bus"),
    "serial-open": ("与台账不符或待核对", "does not fit the site, or is not compared yet"),
    "serial-fits": ("相符", "fits"),
    "serial-past": ("此后又变", "another came after it"),
    "serial-gone": ("该表已不在此处", "of a meter that is not here any more"),
    "profile": ("型号", "model"),
    "ratio": ("变比", "ratio"),
    "by": ("安装人", "by"),
    "decided": ("决定人", "decided by"),
    "accepted": ("安装人说明", "the engineer says"),
    "because": ("原因", "because"),
    "claim": ("领取码（仅显示一次）", "claim, shown this once"),
    "order": ("安装单", "order"),
    "file": ("安装单文件", "order file"),
    "fingerprint": ("中心密钥指纹，请与网关显示核对", "fingerprint of the centre's key, to compare at the gateway"),
    "lapses": ("有效期至", "serves until"),
    "at-the-gateway": ("在网关上运行", "at the gateway"),
    "site-put": ("台账新版本", "new version of the site"),
    "install-ordered": ("开安装单", "install order made"),
    "enrolled": ("网关注册", "gateway enrolled"),
    "claim-misused": ("领取码被他人使用", "claim in wrong hands"),
    "binding-approved": ("批准绑定", "binding approved"),
    "binding-refused": ("拒绝绑定", "binding refused"),
    "certificate-issued": ("签发证书", "certificate issued"),
    "key-rolled": ("更换密钥", "key changed"),
    "gateway-revoked": ("吊销网关", "gateway revoked"),
    "settings-ordered": ("下发设置", "settings ordered"),
    "reading-added": ("人工抄读", "reading entered"),
    "reading-decided": ("抄读裁定", "reading decided"),
    "photo-put": ("存入照片", "photo kept"),
    "approve-with": (
        "批准：metertree-provision approve 编号 --reason 说明（安装人以外的操作员）",
        "approve: metertree-provision approve ID --reason WHY (an operator who is not the engineer)",
    ),
    "display": ("显示", "display"),
    "bus": ("总线", "bus"),
    "photos": ("照片", "photos"),
    "seal": ("铅封", "seal"),
}


def shown_instant(text: str) -> str:
    """Give an instant of an answer to the second, in UTC."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def binding_word(key: str, language: str) -> str:
    """Give a word; one of another version is told as it is."""
    known = _WORDS.get(key)
    return key if known is None else known[0 if language == "zh" else 1]

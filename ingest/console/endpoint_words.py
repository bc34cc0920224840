"""The words of the pages about webhooks, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "webhooks-lead": (
        "事件发生后推送到的地址。每次投递都带签名，失败会按阶梯重试。",
        "Where events are sent as they happen. Each delivery is signed, and tried again when it fails.",
    ),
    "add-endpoint": ("添加订阅地址", "Add an endpoint"),
    "no-endpoints": ("还没有订阅地址", "No endpoint yet"),
    "no-endpoints-note": (
        "添加一个地址，核算发布、账单确认等事件就会推送过去；也可用 GET /v1/events 自行拉取。",
        "Add one, and runs published, statements confirmed and the like are sent there. GET /v1/events gives the same "
        "by pull.",
    ),
    "url": ("地址", "Address"),
    "url-hint": (
        "以 https:// 开头，可从本中心访问的公网地址。",
        "An https:// address that this centre can reach; private networks are refused.",
    ),
    "description": ("说明", "Note"),
    "kinds": ("事件", "Events"),
    "kinds-hint": ("不选则推送您可见的全部事件。", "Choose none for all that you may be told of."),
    "all-kinds": ("全部可见事件", "all you may be told of"),
    "signing": ("签名方式", "Signed by"),
    "signing-ed25519": ("Ed25519", "Ed25519"),
    "signing-ed25519-note": ("对方只需公钥", "the receiver holds a public key only"),
    "signing-hmac-sha256": ("HMAC-SHA256", "HMAC-SHA256"),
    "signing-hmac-sha256-note": ("双方共用密钥", "both hold the same secret"),
    "standing": ("状态", "Standing"),
    "standing-on": ("启用", "on"),
    "standing-off": ("停用", "off"),
    "standing-gone": ("对方已撤销（410）", "gone (410)"),
    "standing-failing": ("持续失败", "failing"),
    "owner": ("归属", "Owner"),
    "delivered": ("最近成功", "Last delivered"),
    "waiting": ("待投递", "On its way"),
    "dead": ("失败", "Dead"),
    "turn-on": ("启用", "Turn on"),
    "turn-off": ("停用", "Turn off"),
    "send-test": ("发送测试", "Send a test"),
    "rotate-secret": ("更换密钥", "Rotate the secret"),
    "rotate-secret-note": ("重叠期内同时使用新旧密钥签名。", "Deliveries carry both signatures for the overlap."),
    "remove-endpoint-note": ("不再推送；已记录的投递保留。", "Nothing is sent there any more."),
    "deliveries": ("投递", "Deliveries"),
    "no-deliveries": ("没有投递", "No delivery"),
    "no-deliveries-note": (
        "事件发生后会出现在这里。可先发送一次测试。",
        "They stand here as events happen. Send a test to see one.",
    ),
    "event": ("事件", "Event"),
    "outcome": ("结果", "Outcome"),
    "tries": ("次数", "Tries"),
    "next-try": ("下次尝试 {at}", "next try {at}"),
    "again": ("重新投递", "Send again"),
    "dead-again": ("重投全部失败（60 天内）", "Send all dead ones again (60 days)"),
    "fate-waiting": ("待投递", "on its way"),
    "fate-delivered": ("已送达", "delivered"),
    "fate-dead": ("失败", "dead"),
    "webhook-secret": ("订阅地址的密钥", "Secret of the endpoint"),
    "webhook-secret-note": (
        "用它核验签名（Standard Webhooks）。Ed25519 显示的是公钥。",
        "Deliveries are verified with it (Standard Webhooks). For Ed25519 it is the public key.",
    ),
    "told-tested": ("测试已发出", "A test is on its way"),
    "told-again": ("已安排重新投递", "On its way again"),
}


def endpoint_words(language: Language) -> Mapping[str, str]:
    """Give the words of these pages."""
    position = 0 if language is Language.ZH else 1
    return {key: pair[position] for key, pair in _WORDS.items()}

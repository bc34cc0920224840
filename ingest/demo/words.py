"""What the demo says besides the console's own words, in both languages."""

from __future__ import annotations

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "servers": ("启动 PostgreSQL 与 MQTT 代理", "Starting PostgreSQL and the MQTT broker"),
    "import": ("迁移数据库,导入站点 {site}", "Migrating the database, importing site {site}"),
    "centre": ("启动中心服务 {url}", "Starting the central service at {url}"),
    "enrol": ("为 {gateways} 开安装单并入网", "Ordering and enrolling {gateways}"),
    "play": (
        "逐刻读表:{meters} 块电表,{marks} 个整刻,{first} 至 {last}",
        "Reading {meters} meters on the wire at {marks} marks, {first} to {last}",
    ),
    "arrived": ("已签收批次", "envelopes receipted"),
    "close": ("核算 {period}", "Closing {period}"),
    "publish": (
        "{first} 复核,{second} 批准并发布",
        "Checked by {first}, approved and published by {second}",
    ),
    "refused": ("{gateway} 有 {count} 个批次被隔离", "{count} envelopes of {gateway} are in quarantine"),
    "children": ("下级合计", "Children"),
    "within": ("范围内", "within"),
    "outside": ("超出", "outside"),
    "proof": ("分项 {lines} + 余额 {residual} = 费用池 {cost}", "lines {lines} + residual {residual} = pool {cost}"),
    "conserves": ("相等", "exact"),
    "differs": ("不相等", "DOES NOT ADD UP"),
    "all-conserve": (
        "{count} 个费用池全部:分项 + 余额 = 费用",
        "All {count} pools: lines + residual = cost, to the last minor unit",
    ),
    "files": ("结果文件", "Result files"),
    "one-statement": ("一份已签名的账单", "One signed statement"),
    "verify": (
        "用公钥验证,并由已签名读数重算",
        "Verify it with the public key alone, and recompute it from its readings",
    ),
    "serving": ("控制台:{url}  (Ctrl-C 结束)", "Console: {url}  (Ctrl-C ends the demo)"),
    "stopping": ("正在停止", "Stopping"),
    "took": ("用时 {seconds} 秒", "Took {seconds} s"),
}


def say(language: Language, key: str, **parts: object) -> str:
    """Give a sentence in `language`, its braces filled."""
    return _WORDS[key][0 if language is Language.ZH else 1].format(**parts)

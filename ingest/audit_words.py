"""The audit log in words of both languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ingest.audit_log import Entry, Verb
from ingest.console.words import Language

_Pair = tuple[str, str]

VERBS: dict[Verb, _Pair] = {
    Verb.SITE_PUT: ("导入园区资料", "put the site"),
    Verb.RUN_DRAFTED: ("试算", "drafted the run"),
    Verb.RUN_COMPUTED: ("核算", "computed the run"),
    Verb.RUN_CHECKED: ("复核", "checked the run"),
    Verb.RUN_APPROVED: ("批准", "approved the run"),
    Verb.RUN_PUBLISHED: ("发布", "published the run"),
    Verb.RUN_SUPERSEDED: ("取代", "superseded the run"),
    Verb.QUARANTINE_REPLAYED: ("重新收取隔离报文", "tried a quarantined message again"),
    Verb.ALERT_ACKNOWLEDGED: ("确认告警", "acknowledged the alert"),
    Verb.SETTINGS_ORDERED: ("下发网关配置", "ordered settings"),
    Verb.INSTALL_ORDERED: ("开具安装单", "made the install order"),
    Verb.ENROLLED: ("注册网关", "enrolled"),
    Verb.CLAIM_MISUSED: ("领取码被他人使用", "presented a claim of another"),
    Verb.EVENT_TAKEN: ("收到安装事件", "sent an installation event"),
    Verb.BINDING_APPROVED: ("批准绑定", "approved the binding"),
    Verb.BINDING_REFUSED: ("驳回绑定", "refused the binding"),
    Verb.CERTIFICATE_ISSUED: ("签发证书", "was given a certificate"),
    Verb.KEY_ROLLED: ("更换密钥", "rolled its key over"),
    Verb.GATEWAY_REVOKED: ("吊销网关", "revoked the gateway"),
    Verb.READING_ADDED: ("录入读数", "added a reading"),
    Verb.READING_DECIDED: ("裁定读数", "decided about a reading"),
    Verb.PHOTO_PUT: ("存入照片", "put a photo"),
    Verb.OPERATOR_ADDED: ("添加操作员", "added the operator"),
    Verb.OPERATOR_RENEWED: ("更换操作员令牌", "gave the operator a new token"),
    Verb.OPERATOR_REMOVED: ("移除操作员", "removed the operator"),
    Verb.OPERATOR_CHANGED: ("变更操作员角色", "changed the roles of the operator"),
    Verb.CLIENT_ADDED: ("添加接入方", "added the client"),
    Verb.CLIENT_REMOVED: ("移除接入方", "removed the client"),
    Verb.KEY_MADE: ("签发接口密钥", "made an API key of"),
    Verb.KEY_ENDED: ("终止接口密钥", "ended API keys of"),
    Verb.VIEWED_AS: ("以他人视角查看", "began to look through the eyes of"),
    Verb.LINK_MADE: ("生成核对链接", "made links of statements"),
    Verb.LINK_REVOKED: ("撤回核对链接", "took back the link"),
    Verb.STATEMENT_SEEN: ("查看确认单", "opened the statement"),
    Verb.STATEMENT_CONFIRMED: ("确认账单", "confirmed the statement"),
    Verb.STATEMENT_DISPUTED: ("提出异议", "disputed the statement"),
    Verb.DISPUTE_ANSWERED: ("答复异议", "answered the dispute"),
    Verb.CHARGE_ACKNOWLEDGED: ("回执应收费用", "took over the charge"),
    Verb.RULES_DRAFTED: ("起草规则", "drafted rules"),
    Verb.RULES_HANDED_IN: ("提交规则待发布", "handed rules in"),
    Verb.RULES_WITHDRAWN: ("撤回规则草稿", "withdrew a draft of rules"),
    Verb.RULES_RELEASED: ("发布规则", "released rules"),
    Verb.ENDPOINT_ADDED: ("添加订阅地址", "added the webhook endpoint"),
    Verb.ENDPOINT_CHANGED: ("变更订阅地址", "changed the webhook endpoint"),
    Verb.SECRET_ROTATED: ("更换投递密钥", "rotated the secret of the webhook endpoint"),
    Verb.DELIVERIES_REPLAYED: ("重新投递", "had deliveries sent again to the webhook endpoint"),
    Verb.SIGN_IN_LINK_MADE: ("生成登录链接", "made a sign-in link for"),
    Verb.PASSWORD_CHOSEN: ("设置密码", "chose a password"),
    Verb.SECOND_FACTOR_SET: ("启用两步验证", "set up a second factor"),
    Verb.SECOND_FACTOR_DROPPED: ("停用两步验证", "dropped the second factor"),
    Verb.SIGNED_IN: ("登录", "signed in"),
    Verb.SESSIONS_ENDED: ("结束会话", "ended sessions"),
    Verb.PERSON_ERASED: ("删除个人信息", "erased a person's data"),
    Verb.CONTENT_WITHDRAWN: ("撤去日志内容", "withdrew contents of the log"),
}
_PARTS: dict[str, _Pair] = {
    "reason": ("原因", "reason"),
    "from": ("来自", "from"),
    "before": ("之前", "before"),
    "after": ("之后", "after"),
    "gone": ("内容已撤去", "its content was withdrawn"),
}


def verb_word(verb: str, language: Language) -> str:
    """Say what was done; a verb of a later program is given as it is."""
    return VERBS[Verb(verb)][_place(language)] if verb in set(Verb) else verb


def entry_lines(one: Entry, language: Language) -> Iterator[str]:
    """Tell an entry: who did what to what and when; then where from, why, and what was before and after."""
    word = {name: pair[_place(language)] for name, pair in _PARTS.items()}
    yield f"{one.number:>6}  {one.at:%Y-%m-%d %H:%M:%S}Z  {one.who}  {verb_word(one.verb, language)}  {one.subject}"
    told = one.told
    if not told:
        yield f"        {word['gone']}"
        return
    place = " / ".join(part for part in (told["where"], told["device"]) if part)
    if place:
        yield f"        {word['from']} {place}"
    if told["reason"]:
        yield f"        {word['reason']}: {told['reason']}"
    for name in ("before", "after"):
        if told[name]:
            yield f"        {word[name]}: {_short(told[name])}"


def _short(part: dict[str, Any]) -> str:
    texts = (
        f"{key} {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}" for key, one in part.items()
    )
    return ", ".join(texts)


def _place(language: Language) -> int:
    return 0 if language is Language.ZH else 1

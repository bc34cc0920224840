"""The console's words in both languages. The glossary's terms, once each; a missing word is an error, not a blank."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Language(StrEnum):
    """A language of the console."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """The tag for the page's `lang` attribute."""
        return "zh-CN" if self is Language.ZH else "en"

    @property
    def other(self) -> Language:
        """The language to switch to."""
        return Language.EN if self is Language.ZH else Language.ZH


_WORDS: dict[str, tuple[str, str]] = {
    "title": ("计量树", "Metertree"),
    "switch": ("English", "中文"),
    "skip": ("跳到内容", "Skip to content"),
    "navigation": ("导航", "Navigation"),
    "menu": ("菜单", "Menu"),
    "you-are-here": ("所在位置", "You are here"),
    "nav-runs": ("核算", "Runs"),
    "nav-sites": ("园区", "Sites"),
    "nav-inbox": ("待办", "Inbox"),
    "nav-rules": ("规则", "Rules"),
    "nav-statements": ("确认单", "Statements"),
    "nav-disputes": ("异议", "Disputes"),
    "nav-gateways": ("网关", "Gateways"),
    "nav-alerts": ("告警", "Alerts"),
    "nav-settings": ("设置", "Settings"),
    "all-sites": ("全部园区", "All sites"),
    "more-sites": ("另有 {count} 个园区", "{count} more sites"),
    "theme": ("深浅色", "Colours"),
    "theme-system": ("跟随系统", "As the system"),
    "theme-light": ("浅色", "Light"),
    "theme-dark": ("深色", "Dark"),
    "sign-in": ("登录", "Sign in"),
    "sign-out": ("退出登录", "Sign out"),
    "viewing-as": ("正在以 {name} 的身份查看", "You are looking through the eyes of {name}"),
    "viewing-as-note": ("只能查看，不能更改。", "You can look, and change nothing."),
    "viewing-as-end": ("结束", "End"),
    "page-of": ("第 {page} / {pages} 页", "Page {page} of {pages}"),
    "page-before": ("上一页", "Previous"),
    "page-after": ("下一页", "Next"),
    "role-none": ("无角色", "no role"),
    "role-administrator": ("管理员", "Administrator"),
    "role-energy-manager": ("能源经理", "Energy manager"),
    "role-approver": ("审批人", "Approver"),
    "role-field-engineer": ("现场工程师", "Field engineer"),
    "role-finance": ("财务", "Finance"),
    "role-leasing": ("招商", "Leasing"),
    "role-billing": ("计费系统", "Billing"),
    "role-auditor": ("审计员", "Auditor"),
    "role-tenant": ("租户", "Tenant"),
    "role-reader": ("只读", "Reader"),
    "run": ("分摊核算", "Allocation run"),
    "run-id": ("核算编号", "Run"),
    "all-lines": ("全部明细行", "All lines"),
    "line-metered": ("自有电表", "own meter"),
    "line-charge": ("收费", "charge"),
    "line-share": ("分摊", "share"),
    "line-loss": ("损耗", "loss"),
    "line-residual": ("余额", "rest"),
    "inputs": ("驱动数据", "Driven by"),
    "checks": ("转供电价与收费核对", "Caps and sums checked"),
    "checks-note": (
        "每户综合电价不超过上限；全体收费合计不超过供电账单加允许损耗。",
        "Each tenant's price against its cap; all charges together against the invoice plus permitted loss.",
    ),
    "cap": ("上限", "Cap"),
    "everybody": ("全体租户", "all tenants"),
    "charged-for": ("收费", "Charged"),
    "price-found": ("每 kWh", "Per kWh"),
    "limit": ("不得超过", "At most"),
    "verdict": ("结论", "Verdict"),
    "basis": ("上限由来", "How the limit came about"),
    "taxes": ("税", "Taxes"),
    "tax": ("税种", "Tax"),
    "rate": ("税率", "Rate"),
    "unit-price": ("单价", "Unit price"),
    "net-of-tax": ("不含税", "Net"),
    "tax-part": ("税额", "Tax"),
    "gross": ("含税", "Gross"),
    "methods": ("分摊办法", "Methods"),
    "class": ("类别", "Class"),
    "method": ("办法", "Method"),
    "ground": ("依据", "Ground"),
    "cost": ("费用", "Cost"),
    "steps": ("计费步骤", "How charges came about"),
    "step": ("步骤", "Step"),
    "quantity": ("数量", "Quantity"),
    "part": ("比例", "Part"),
    "note": ("说明", "Note"),
    "services": ("服务池互供的三种算法", "Service pools by three methods"),
    "service-direct": ("直接法", "direct"),
    "service-step-down": ("阶梯法", "step-down"),
    "service-reciprocal": ("交互法", "reciprocal"),
    "for": ("对象", "For"),
    "remark": ("提示", "Remark"),
    "from": ("自", "From"),
    "until": ("至", "Until"),
    "pool": ("费用池", "Pool"),
    "csv": ("下载 CSV", "CSV"),
    "review": ("核对", "Review"),
    "posting": ("公示", "Public posting"),
    "state-computed": ("已核算", "computed"),
    "state-draft": ("草稿", "draft"),
    "state-checked": ("已复核", "checked"),
    "state-approved": ("已批准", "approved"),
    "state-published": ("已发布", "published"),
    "state-superseded": ("已被取代", "superseded"),
    "provisional-note": ("核算尚未发布，确认单为暂定。", "The run is not published: these statements are provisional."),
    "superseded-note": ("此核算已被新的核算取代。", "A later run has superseded this one."),
    "state-blocked": ("有待处理事项，不可批准", "open cases: not approvable"),
    "period": ("账期", "Period"),
    "booked-at": ("入账时间", "Booked at"),
    "main-energy": ("总表电量", "Main meter"),
    "loss": ("损耗", "Loss"),
    "pools-cost": ("费用池合计", "Pools"),
    "charged": ("租户承担", "Tenants pay"),
    "owner-bears": ("业主承担", "Owner bears"),
    "owner-note": ("空置与余额", "vacancy and residuals"),
    "unshared": ("未入池", "In no pool"),
    "unshared-note": ("损耗与自用，留在业主", "losses and loads that stay with the owner"),
    "warnings": ("提示", "Warnings"),
    "reason-rollover": ("翻转", "rollover"),
    "reason-exchange": ("换表", "exchange"),
    "reason-gap": ("缺口估算", "gap, estimated"),
    "reason-no-reading-before": ("此前无读数", "no reading before"),
    "reason-no-reading-after": ("此后无读数", "no reading after"),
    "reason-register-fell": ("表码倒走", "register fell"),
    "reason-implausible": ("不合理", "implausible"),
    "reason-undeclared-exchange": ("未登记换表", "undeclared exchange"),
    "reason-conflict": ("读数冲突", "conflicting readings"),
    "reason-unbound": ("不在此处", "not fitted here"),
    "reason-read-by-hand": ("人工抄读", "read by a person"),
    "balance": ("计量树与平衡", "Meter tree and balance"),
    "balance-note": (
        "损耗 = 本级净电量 − 下级净电量之和；超出允许范围即立案。",
        "Loss = net energy of the node minus net energy of its children; outside the band it becomes a case.",
    ),
    "node": ("节点", "Node"),
    "energy": ("电量 kWh", "Energy kWh"),
    "export": ("上网 kWh", "Export kWh"),
    "children": ("下级合计 kWh", "Children kWh"),
    "loss-kwh": ("损耗 kWh", "Loss kWh"),
    "loss-share": ("损耗率", "Loss %"),
    "band": ("允许 ± kWh", "Band ± kWh"),
    "within": ("在范围内", "within band"),
    "outside": ("超出范围", "outside band"),
    "quality": ("数据质量", "Quality"),
    "quality-rollover": ("翻转", "rollover"),
    "quality-exchange": ("换表", "exchange"),
    "quality-estimated": ("估算", "estimated"),
    "quality-missing": ("缺失", "missing"),
    "quality-held": ("挂起", "held"),
    "pools": ("费用池", "Cost pools"),
    "class-must": ("必摊", "must-share"),
    "class-negotiated": ("协商", "negotiated"),
    "class-exclusive": ("独用", "exclusive"),
    "party": ("承担方", "Party"),
    "unit": ("单元", "Unit"),
    "weight": ("权重", "Weight"),
    "amount": ("金额", "Amount"),
    "residual-of": ("余额，承担方：", "Residual, borne by "),
    "sum-lines": ("分摊行合计", "Sum of lines"),
    "proof": ("守恒证明", "Proof"),
    "agreement": ("依据", "By"),
    "passed-on": ("转嫁比例", "Passed on"),
    "day": ("日期", "Day"),
    "days": ("逐日计算", "Day by day"),
    "day-cost": ("当日费用", "Cost of the day"),
    "nodes-count": ("{count} 个计量点", "{count} metering points"),
    "proof-holds": ("一分不差", "adds up exactly"),
    "proof-fails": ("不守恒", "does not conserve"),
    "statements": ("分摊明细确认单", "Statements"),
    "statements-note": (
        "每张确认单都带签名，凭公钥即可离线验证并逐步重算。",
        "Each statement is signed; the public key alone is enough to verify it offline and recompute it step by step.",
    ),
    "number": ("编号", "Number"),
    "total": ("合计", "Total"),
    "download": ("下载", "Download"),
    "cases": ("事项与例外", "Cases and exceptions"),
    "cases-none": ("本账期没有事项。", "No cases in this period."),
    "kind": ("类别", "Kind"),
    "span": ("时间", "When"),
    "reason": ("原因", "Reason"),
    "exceptions": ("计量事件", "Metering events"),
    "gateways": ("网关", "Gateways"),
    "gateway": ("网关", "Gateway"),
    "last-mark": ("最新读数时刻", "Last mark"),
    "contiguous": ("连续收到至", "Complete up to"),
    "held-envelopes": ("封包数", "Envelopes"),
    "quarantined": ("隔离", "Quarantined"),
    "no-gateways": ("尚无已注册网关。", "No gateway is enrolled yet."),
    "waiting": ("还没有核算", "No run yet"),
    "waiting-note": (
        "读数正在到达；本页每五秒刷新一次。完成一次核算后，这里显示计量树、分摊行与守恒证明。",
        "Readings are arriving; this page looks again every five seconds. After the first run it shows the tree, "
        "the lines and the proof.",
    ),
    "charts": ("查看已到达的曲线", "Look at charts of what has arrived"),
    "no-site": (
        "还没有导入园区。先运行 metertree site import DIR。",
        "No site is imported yet. Start with: metertree site import DIR",
    ),
    "times-in": ("时间均为", "Times are in"),
    "not-found": ("没有这个页面", "There is no such page"),
    "not-found-note": (
        "地址可能有误，或者它属于您无权查看的园区。",
        "The address may be wrong, or it belongs to a site that is not yours.",
    ),
    "not-yours": ("您没有权限", "This is not open to you"),
    "not-yours-note": (
        "没有更改任何内容。如需此权限，请联系管理员。",
        "Nothing was changed. Ask an administrator if you should have it.",
    ),
    "too-many": ("请求过多", "Too many calls"),
    "too-many-note": ("请稍等片刻再试。", "Wait a moment and try again."),
    "not-done": ("没有执行", "This was not done"),
    "not-done-note": (
        "没有更改任何内容。请返回并更正后重试。",
        "Nothing was changed. Go back, mend it, and try again.",
    ),
    "our-fault": ("系统暂时无法处理", "Something is wrong on our side"),
    "our-fault-note": (
        "未完成的更改已整体撤回，没有丢失任何已保存的内容。请稍后重试；若仍出现，请联系管理员。",
        "What was not finished was taken back whole, and nothing that was saved is lost. Try again in a while; if it "
        "stays, tell an administrator.",
    ),
    "home": ("返回首页", "Back to the first page"),
    "verify-with": ("离线验证", "Verify offline"),
}


def words(language: Language) -> Mapping[str, str]:
    """Give every word of the console in one language."""
    position = 0 if language is Language.ZH else 1
    return {key: pair[position] for key, pair in _WORDS.items()}


def choose_language(asked: str | None, accepted: str | None) -> Language:
    """Choose by the `lang` query, else by the Accept-Language header's order, else Chinese."""
    if asked in set(Language):
        return Language(asked)
    for part in (accepted or "").split(","):
        primary = part.split(";")[0].strip().lower().split("-")[0]
        if primary in set(Language):
            return Language(primary)
    return Language.ZH

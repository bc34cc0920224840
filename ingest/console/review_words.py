"""The words of the pages about runs: the list, the review, closing a period, what-if; in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from allocation_engine.run_state import ReasonMissing, SecondPersonNeeded, TransitionRefused
from ingest.alert_words import span_words
from ingest.console.words import Language
from ingest.provisional import RunProvisional

_WORDS: dict[str, tuple[str, str]] = {
    # The list
    "runs": ("核算批次", "Runs"),
    "runs-lead": (
        "每个账期从截止到出单走到哪一步，卡在哪里。",
        "How far each period has come from its end to its statements, and where it waits.",
    ),
    "runs-none": ("还没有核算", "No runs yet"),
    "runs-none-how": (
        "读数齐全后结算一个账期，得到第一个核算批次。",
        "Close a period once its readings are in: that makes the first run.",
    ),
    "runs-none-here": ("没有符合条件的核算", "No run is like that"),
    "runs-none-here-how": ("放宽筛选条件再看。", "Loosen the filter and look again."),
    "filter-period": ("账期以此开头", "Period begins with"),
    "filter": ("筛选", "Filter"),
    "filter-clear": ("清除", "Clear"),
    "all-states": ("全部", "All"),
    "site": ("园区", "Site"),
    "state": ("状态", "State"),
    "by": ("经手人", "By"),
    "computed-by": ("核算", "computed"),
    "checked-by": ("复核", "checked"),
    "approved-by": ("批准", "approved"),
    "lines-count": ("{count} 行", "{count} lines"),
    "to-reason": ("{count} 项待说明", "{count} to explain"),
    "review": ("核对", "Review"),
    "details": ("明细页", "Full run"),
    # Stages
    "stages": ("各阶段用时", "Time taken by stage"),
    "stage-ended": ("账期截止", "Period ended"),
    "stage-complete": ("读数齐全", "Readings complete"),
    "stage-computed": ("已核算", "Computed"),
    "stage-approved": ("已批准", "Approved"),
    "stage-issued": ("已出单", "Issued"),
    "stage-waits": ("已等待 {span}", "waiting {span}"),
    "stage-took": ("用时 {span}", "took {span}"),
    "stage-unknown": ("未记录", "not recorded"),
    "machine-took": ("其中计算机用时 {span}", "of that the machine took {span}"),
    # The verdict
    "holds": ("分毫不差", "It adds up to the cent"),
    "holds-note": (
        "{lines} 行合计等于全部费用池；费用池与未入池部分合计等于购电与收费。",
        "{lines} lines are exactly all pools; pools and what is in no pool are exactly what was bought.",
    ),
    "breaks": ("对不上", "It does not add up"),
    "breaks-note": (
        "请勿继续：核算程序不应给出这样的结果。请保留此页并查日志。",
        "Do not go on: the program must never give this. Keep the page and look at the log.",
    ),
    "bought": ("购入", "Bought"),
    "tenants-pay": ("租户承担", "Tenants pay"),
    "owner-pays": ("业主承担", "Owner bears"),
    "unpooled": ("未入池", "In no pool"),
    "unpooled-note": ("损耗与自用", "losses, own loads"),
    "against-before": ("较 {period} {change}", "{change} on {period}"),
    "no-before": ("没有上期可比", "no earlier period to compare"),
    "needs": ("需要您处理", "What needs you"),
    "needs-none": ("没有待处理的事项", "Nothing needs you"),
    "needs-none-draft": ("这是草稿：正式结算后才能复核。", "This is a draft: close the period for good to go on."),
    "needs-none-note": ("可以进行下一步。", "You can take the next step."),
    "needs-none-published": ("确认单已是最终版本。", "Its statements are final."),
    "needs-none-superseded": ("此核算已被取代，仅供查阅。", "It was superseded, and is kept for reference."),
    "need-broken": ("合计对不上", "does not add up"),
    "need-reasons": ("项超限需说明原因", "findings need a reason"),
    "need-bindings": ("项安装尚未批准", "installations are not approved"),
    "need-changed": ("天的读数在核算后有变化", "days of readings changed since"),
    "need-invoice": ("张供电账单缺失或相差较大", "supplier's invoices are missing or far off"),
    "need-outliers": ("行明显异常", "lines stand out"),
    "need-estimated": ("个计量点含估算", "metering points hold estimates"),
    "need-warnings": ("条提示", "remarks"),
    "need-broken-1": ("合计对不上", "does not add up"),
    "need-reasons-1": ("项超限需说明原因", "finding needs a reason"),
    "need-bindings-1": ("项安装尚未批准", "installation is not approved"),
    "need-changed-1": ("天的读数在核算后有变化", "day of readings changed since"),
    "need-invoice-1": ("张供电账单缺失或相差较大", "supplier's invoice is missing or far off"),
    "need-outliers-1": ("行明显异常", "line stands out"),
    "need-estimated-1": ("个计量点含估算", "metering point holds estimates"),
    "need-warnings-1": ("条提示", "remark"),
    "blocks": ("阻止发布", "blocks"),
    "look": ("查看", "look"),
    # Acts
    "next": ("下一步", "Next step"),
    "act-check": ("复核通过", "Check the run"),
    "act-check-note": (
        "您确认已看过合计、超限事项与异常行。之后须由另一人批准。",
        "You say that you looked at totals, findings and outliers. Somebody else then approves.",
    ),
    "act-approve": ("批准", "Approve the run"),
    "act-approve-note": (
        "您以第二人身份批准。核算或复核过的人不能批准。",
        "You approve as the second person. Whoever computed or checked cannot.",
    ),
    "act-publish": ("发布", "Publish the run"),
    "act-publish-note": (
        "{count} 张确认单成为最终版本，租户可见。此步不能撤回，只能由新的核算取代。",
        "{count} statements become final and tenants see them. This cannot be undone, only superseded by another run.",
    ),
    "act-publish-supersedes": (
        "本账期已发布的 {run} 将被取代，差额逐行更正。",
        "{run}, published for this period, is superseded; differences are booked line by line.",
    ),
    "act-withdraw": ("作废", "Withdraw"),
    "act-withdraw-note": (
        "此核算将不再继续；读数与规则不变，可以重新结算。",
        "Nobody goes on with this run. Readings and rules stay; the period can be closed again.",
    ),
    "act-none": ("没有下一步", "No step is left"),
    "act-published-note": (
        "已发布。要更正，请改正事实或规则后重新结算；发布新核算即取代这一个。",
        "It is published. To correct it, mend facts or rules and close again: publishing that run supersedes this one.",
    ),
    "act-superseded-note": ("此核算已作废或被取代。", "It was withdrawn or superseded."),
    "act-draft-note": (
        "草稿没有确认单。正式结算同一账期即可继续。",
        "A draft has no statements. Close the period for good to go on.",
    ),
    "second-person": (
        "{name}已核算或复核此批次，须由另一人批准。",
        "{name} computed or checked this run; somebody else has to approve it.",
    ),
    "sign-in-to-act": ("登录后才能操作", "Sign in to take a step"),
    "may-not": ("您的角色不能执行这一步", "Your role does not take this step"),
    "may-not-note": ("请由{roles}操作。", "Ask {roles}."),
    "wait-first": ("请先处理：", "First: "),
    "reason-field": ("说明", "Remark"),
    "reason-optional": ("可不填；写入记录，不可更改。", "Optional. It stands in the log for good."),
    "reason-why": ("原因", "Reason"),
    "why": ("为何可以接受", "Why is this acceptable"),
    "why-hint": (
        "写入签名的发布记录。例：变压器检修，旁路供电三天。",
        "Stands in the signed publication. For example: transformer in repair, three days on the bypass.",
    ),
    "reasoned": ("已说明", "explained"),
    "refused-second": ("您不能批准这个批次", "You cannot approve this run"),
    "refused-reasons": ("还有事项没有说明原因", "Some findings have no reason yet"),
    "refused-step": ("此批次已不在这一步", "The run is not at this step any more"),
    "refused-provisional": ("安装事项尚未批准，不能发布", "Installations are not approved, so it cannot be published"),
    "refused-other": ("没有执行", "It was not done"),
    "refused-kept": (
        "批次未变，您填写的内容都还在下面。",
        "The run is as it was, and what you typed is still there.",
    ),
    "told-check": ("已复核。请另一人批准。", "Checked. Somebody else can approve it now."),
    "told-approve": ("已批准。可以发布。", "Approved. It can be published."),
    "told-publish": ("已发布。确认单已是最终版本。", "Published. Its statements are final."),
    "told-withdraw": ("已作废。", "Withdrawn."),
    # Totals
    "totals": ("与供电账单核对", "Against the supplier's invoice"),
    "supply": ("按电价计算的供电费用", "Supply, by meters and tariff"),
    "supplier-charges": ("基本电费等收费", "Supplier's charges"),
    "computed": ("计算合计", "Computed"),
    "invoiced": ("供电账单", "Invoiced"),
    "difference": ("差额", "Difference"),
    "invoice-none": ("没有账单", "no invoice for it"),
    "invoice-none-how": (
        "把供电公司的账单写入 invoices.toml，即可在此逐笔核对。",
        "Enter the supplier's invoices in invoices.toml, and they are compared here.",
    ),
    "invoice-numbers": ("账单号", "Invoice"),
    "pool-sums": ("费用池", "Pools"),
    "pool": ("费用池", "Pool"),
    "before": ("上期", "Before"),
    "before-of": ("上期 {period}", "In {period}"),
    "now": ("本期", "This period"),
    "change": ("变化", "Change"),
    "lines-sum": ("明细合计", "Its lines"),
    "adds-up": ("相符", "equal"),
    "adds-not": ("不符", "not equal"),
    "residuals": ("余额与空置", "Residuals"),
    # Findings
    "findings": ("超限事项", "Findings to explain"),
    "findings-note": (
        "超出允许范围的损耗与收费。每一项都须写明原因，批准前补齐。",
        "Losses and charges outside what is permitted. Each needs a reason before approval.",
    ),
    "finding-loss": ("{node}：损耗 {loss} kWh，允许 ±{band} kWh", "{node}: loss {loss} kWh, permitted ±{band} kWh"),
    "finding-price": (
        "{party}：收费 {charged}，上限 {limit}（{cap}）",
        "{party}: charged {charged}, at most {limit} ({cap})",
    ),
    "finding-sum": (
        "全体租户：收费 {charged}，上限 {limit}（{cap}）",
        "All tenants: charged {charged}, at most {limit} ({cap})",
    ),
    "finding-unknown": ("无法核对", "cannot be checked"),
    "see-series": ("看曲线", "see its series"),
    # Outliers
    "outliers": ("异常行", "Lines that stand out"),
    "outliers-note": (
        "与自身历史或同池各户比较，用中位数与绝对中位差，少数极端值不会掩盖彼此。只作提示，不阻止发布。",
        "Held against their own past, or the others of the pool, by median and median deviation, so that a few wild "
        "lines do not hide each other. A hint: it blocks nothing.",
    ),
    "outliers-more": ("全部 {count} 行", "All {count}"),
    "why-history": (
        "过去 {count} 期的中位数为 {median}（离散 ±{spread}），本期 {found}",
        "median of {count} earlier periods {median} (spread ±{spread}), now {found}",
    ),
    "why-peers-change": (
        "同池 {count} 行的变化中位数为 {median}（离散 ±{spread}），本行 {found}",
        "the {count} lines of the pool changed by {median} (spread ±{spread}), this one by {found}",
    ),
    "why-peers-area": (
        "同池 {count} 行的中位数为每平方米 {median}（离散 ±{spread}），本行 {found}",
        "median of the pool's {count} lines is {median} a square metre (spread ±{spread}), this one {found}",
    ),
    "why-short": ("依据", "Why"),
    "beyond": ("偏离", "Beyond"),
    # Lines
    "lines": ("明细行", "Lines"),
    "lines-note": ("与 {period} 逐行比较。", "Each beside its line of {period}."),
    "lines-alone": ("没有上期，只列本期。", "There is no earlier period: this one alone."),
    "order": ("排序", "Sort by"),
    "order-change": ("变化最大", "largest change"),
    "order-up": ("增加最多", "largest rise"),
    "order-down": ("减少最多", "largest fall"),
    "order-percent": ("变化率", "change in percent"),
    "order-amount": ("金额", "amount"),
    "order-party": ("租户", "tenant"),
    "order-run": ("核算顺序", "order of the run"),
    "only": ("只看", "Show"),
    "only-all": ("全部", "all lines"),
    "only-changed": ("有变化", "changed"),
    "only-new": ("新增", "new"),
    "only-gone": ("已消失", "gone"),
    "only-outlier": ("异常", "standing out"),
    "only-provisional": ("暂定", "provisional"),
    "all-pools": ("所有费用池", "all pools"),
    "search": ("租户、单元或编号", "Tenant, unit or id"),
    "percent-min": ("变化至少 %", "Changed by at least %"),
    "found-lines": ("{count} 行，合计 {amount}", "{count} lines, {amount} in all"),
    "lines-none": ("没有这样的行", "No line is like that"),
    "lines-none-how": ("放宽筛选条件。", "Loosen the filter."),
    "line-new": ("新增", "new"),
    "line-gone": ("已消失", "gone"),
    "line-provisional": ("安装待批", "provisional"),
    "line-outlier": ("异常", "stands out"),
    "energy-kwh": ("电量 kWh", "Energy kWh"),
    # Versions, differences, log
    "rivals": ("本账期的其他核算", "Other runs of this period"),
    "compare": ("比较并查因", "Compare, with causes"),
    "diff": ("差异与原因", "What differs, and why"),
    "diff-lead": (
        "从 {before} 到 {after}：逐类换入读数、计量树、租约、电价与规则后重算，每一分差额都有出处。",
        "From {before} to {after}: readings, tree, leases, prices and rules are exchanged one kind at a time and the "
        "period is closed after each, so that every cent has its cause.",
    ),
    "diff-none": ("两次核算没有差异", "Nothing differs"),
    "diff-causes": ("按原因", "By cause"),
    "diff-parties": ("按租户", "By tenant"),
    "diff-lines": ("按明细行", "By line"),
    "diff-changes": ("事实与规则的变化", "What differs in facts and rules"),
    "diff-shown": (
        "显示前 {shown} 行，共 {count} 行；全部见 CSV。",
        "The first {shown} of {count}; all are in the CSV.",
    ),
    "cause": ("原因", "Cause"),
    "subject": ("对象", "Subject"),
    "told": ("说明", "How"),
    "corrections": ("更正行", "Correction lines"),
    "corrections-note": (
        "发布此核算时，对被取代核算逐行记入的差额。",
        "What publishing this run changed of the run it superseded, line by line.",
    ),
    "log": ("经过", "What happened"),
    "log-computed": ("核算", "computed"),
    "log-draft": ("存为草稿", "stored as a draft"),
    "log-checked": ("复核", "checked"),
    "log-approved": ("批准", "approved"),
    "log-published": ("发布", "published"),
    "log-superseded": ("作废或被取代", "withdrawn or superseded"),
    # What if
    "what-if": ("试算", "What if"),
    "what-if-lead": (
        "换一种分法，本期谁多付、谁少付。什么也不保存，什么也不发送。",
        "Another rule on this period: who would pay more, who less. Nothing is stored, nothing is sent.",
    ),
    "try-pool": ("改变费用池", "Change the pool"),
    "try-rule": ("改为按", "to be shared by"),
    "try-version": ("或用园区的另一版规则", "or use another version of the site's rules"),
    "try-version-none": ("不用", "no"),
    "version-of": ("第 {version} 版，{day}", "version {version} of {day}"),
    "try": ("试算", "Try it"),
    "rule-area": ("面积", "area"),
    "rule-energy": ("电量", "energy"),
    "rule-area-energy": ("面积 × 电量", "area × energy"),
    "rule-demand": ("最大需量", "demand at the common peak"),
    "try-first": ("选一个费用池和分法", "Choose a pool and a rule"),
    "try-first-note": (
        "结果在此列出，租户按多付多少排序。",
        "The outcome stands here, tenants by how much more they would pay.",
    ),
    "try-pools-none": ("此核算没有可换分法的公摊池", "This run has no shared pool whose rule could be changed"),
    "try-refused": ("无法这样核算", "The period cannot be closed like that"),
    "before-try": ("现在", "Now"),
    "after-try": ("改后", "Then"),
    "try-same": ("没有人的金额会变", "Nobody would pay otherwise"),
    "try-conserves": ("试算仍然分毫不差", "Tried, it still adds up"),
    "try-moves": ("{count} 户变化，共移动 {amount}", "{count} tenants change, {amount} moves"),
    # Closing and jobs
    "close": ("结算账期", "Close a period"),
    "close-lead": (
        "用现有读数、规则与租约算出一个核算批次，并签出每户确认单。",
        "Readings, rules and leases as they are now make one run, with a signed statement for each tenant.",
    ),
    "close-go": ("开始结算", "Start"),
    "close-period-hint": (
        "一个月 2026-07，或首末日 2026-07-01--2026-07-15。",
        "A month 2026-07, or first and last day 2026-07-01--2026-07-15.",
    ),
    "close-draft": ("只存草稿", "As a draft"),
    "close-draft-note": ("先看结果，不签确认单。", "To be looked at first, without statements."),
    "close-booked": ("入账时间", "Booking time"),
    "close-booked-hint": ("写在确认单上，为园区当地时间。", "Stands on the statements; local time of the site."),
    "close-period-bad": ("这不是一个账期", "That is no period"),
    "close-booked-bad": ("请写成 2026-08-01T09:00", "Write it as 2026-08-01T09:00"),
    "close-site-bad": ("请选择园区", "Choose a site"),
    "close-no-site": ("还没有园区", "There is no site yet"),
    "close-no-site-how": ("先导入一个园区：metertree site import DIR", "Import one first: metertree site import DIR"),
    "jobs": ("作业", "Jobs"),
    "jobs-lead": ("在控制台下达的长时间工作及其进度。", "Long work ordered here, and how far it is."),
    "jobs-none": ("还没有作业", "No jobs yet"),
    "jobs-none-how": ("结算账期后会列在这里。", "Closing a period puts one here."),
    "job-close": ("结算 {subject}", "Closing {subject}"),
    "ordered": ("下达", "Ordered"),
    "ordered-by": ("下达人", "By"),
    "took": ("用时", "Took"),
    "job-waiting": ("等待中", "waiting"),
    "job-running": ("进行中", "running"),
    "job-done": ("已完成", "done"),
    "job-refused": ("被拒绝", "refused"),
    "job-interrupted": ("已中断", "interrupted"),
    "job-new": ("得到新的核算批次", "It made a new run"),
    "job-same": ("与此前的核算完全相同，没有新增", "The same run as before: nothing was added"),
    "job-open-run": ("打开核对页", "Open its review"),
    "job-refused-note": ("没有保存任何结果。改正后再下达一次。", "Nothing was stored. Mend it and order it again."),
    "job-interrupted-text": ("服务在作业进行中停止", "The service ended while it did this"),
    "job-interrupted-note": (
        "已结算的读数仍在；核算批次要么完整保存，要么完全没有。重新下达不会重复。",
        "What was settled stays settled; a run is stored whole or not at all. Ordering it again does nothing twice.",
    ),
    "job-again": ("再次下达", "Order it again"),
    "job-leave": ("可以离开此页，作业会继续。", "You can leave this page: the job goes on."),
    "work-waiting": ("等待开始", "Waiting to begin"),
    "work-settle": ("整理新到读数", "Settling what arrived"),
    "work-gather": ("读取账期与证据", "Reading the period and its evidence"),
    "work-compute": ("计算分摊", "Computing"),
    "work-commit": ("生成承诺", "Committing to every line"),
    "work-store": ("保存核算", "Storing the run"),
    "work-seal": ("签署确认单", "Sealing statements"),
    "work-ended": ("结束", "Ended"),
}
_REFUSALS: tuple[tuple[type[Exception], str], ...] = (
    (SecondPersonNeeded, "refused-second"),
    (ReasonMissing, "refused-reasons"),
    (RunProvisional, "refused-provisional"),
    (TransitionRefused, "refused-step"),
)


def review_words(language: Language) -> Mapping[str, str]:
    """Give every word of these pages in one language."""
    place = 0 if language is Language.ZH else 1
    return {key: pair[place] for key, pair in _WORDS.items()}


def refusal_word(error: Exception) -> str:
    """Give the key of what a refused step is called."""
    return next((key for kind, key in _REFUSALS if isinstance(error, kind)), "refused-other")


def period_words(label: str) -> str:
    """Write a period: a month or a single day as it is, first and last day with a dash between."""
    first, _, last = label.partition("--")
    return first if last in ("", first) else f"{first} – {last}"


def took_words(span: timedelta | None, language: Language) -> str:
    """Write how long something took: like `span_words`, and below a minute in seconds."""
    if span is None or span.total_seconds() >= 60:
        return span_words(span, language)
    seconds = max(0, round(span.total_seconds(), 1))
    return f"{seconds:g} {'秒' if language is Language.ZH else 's'}"

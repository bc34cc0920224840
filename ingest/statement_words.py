"""The words of a statement as its payer reads them, on the page and on paper: plain, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ingest.console.words import Language

_Pair = tuple[str, str]

_WORDS: dict[str, _Pair] = {
    # Head
    "statement": ("费用明细确认单", "Statement of charges"),
    "to-pay": ("本期应付", "To pay"),
    "to-get": ("本期应退", "To get back"),
    "of-period": ("{period} 的能源费用", "Energy charges for {period}"),
    "for": ("付款方", "Payer"),
    "rooms": ("房间", "Rooms"),
    "number": ("编号", "Number"),
    "issued-on": ("出具日期", "Issued"),
    "site": ("园区", "Site"),
    # States
    "state-issued": ("请核对", "Please check"),
    "state-seen": ("请核对", "Please check"),
    "state-confirmed": ("已确认", "Confirmed"),
    "state-disputed": ("有异议，处理中", "In dispute"),
    "state-upheld": ("异议已答复", "Dispute answered"),
    "state-superseded": ("已被新单取代", "Replaced"),
    "state-provisional": ("未定稿", "Not final"),
    "log-issued": ("出具", "Issued"),
    "log-seen": ("首次打开", "First opened"),
    "log-confirmed": ("确认", "Confirmed"),
    "log-disputed": ("提出异议", "Disputed"),
    "log-upheld": ("异议答复：维持原账", "Answered: it stands"),
    "log-superseded": ("被新的确认单取代", "Replaced by a newer statement"),
    "what-happened": ("办理记录", "What happened so far"),
    "superseded-note": (
        "这份确认单已被 {newer} 取代，仅供查阅。请使用新的链接。",
        "{newer} has taken the place of this statement, which is kept to be read. Please use the new link.",
    ),
    "superseded-plain": (
        "这份确认单已不再有效，仅供查阅。新的确认单会另行发送。",
        "This statement counts no more and is kept to be read. You will be sent a new one.",
    ),
    "provisional-note": (
        "这份确认单尚未定稿，金额可能变动，现在还不能确认。",
        "This statement is not final: amounts may change, and it cannot be confirmed yet.",
    ),
    # Why
    "why-you-pay": ("为什么要付这些钱", "Why you pay this"),
    "why-metered": (
        "您自己的表量到了 {energy}。",
        "Your own meter counted {energy}.",
    ),
    "why-direct": (
        "只为您服务的设备，由它自己的表量到了 {energy}。",
        "Equipment that serves you alone; its own meter counted {energy}.",
    ),
    "why-share": (
        "大家共用，本期共 {cost}，您分担 {percent}。",
        "Shared by several. It cost {cost}; your part is {percent}.",
    ),
    "why-residual": (
        "共用费用中没有分给其他人、由您承担的部分（共 {cost}）。",
        "What of a shared cost of {cost} nobody else was charged, and you bear.",
    ),
    "why-loss": (
        "电从总表送到您这里，路上会损耗一些，按用电量分担。",
        "On the way from the main meter some energy is lost; it is borne by who drew it.",
    ),
    "why-charge": ("固定收取的费用，与用电量无关。", "A fixed charge, not by energy."),
    "ground": ("依据：{ground}", "Agreed in: {ground}"),
    "share-with": ("与您一起分担的：{names}（共 {count} 处）", "You share this with: {names} ({count} places)"),
    "share-with-many": (
        "与您一起分担的：{names} 等，共 {count} 处",
        "You share this with: {names} and others, {count} places in all",
    ),
    "share-hidden": (
        "别人分担多少不在这里显示，您的也不会给别人看。",
        "Others' amounts are not shown here, and yours is not shown to them.",
    ),
    "share-alone": ("这项费用没有与他人分担。", "You share this with nobody."),
    # Steps
    "show-steps": ("一步一步看怎么算的", "See how it was worked out, step by step"),
    "all-details": ("全部算式", "Every single sum"),
    "step-first": ("{when} 表上显示", "On {when} the meter showed"),
    "step-last": ("{when} 表上显示", "On {when} the meter showed"),
    "step-between": ("两次相减，就是用掉的", "The difference is what was used"),
    "step-turned": (
        "表走满 {full} 后从零重新开始，所以要加上一整圈",
        "The meter counts to {full} and begins at 0 again, so one full turn is added",
    ),
    "turned": ("中间走满一圈，从零重新开始", "it passed its largest number in between and began at 0"),
    "step-ratio": ("两次相减，再乘互感器倍率 {ratio}", "The difference, times the meter's ratio {ratio}"),
    "step-counted": (
        "其中计入您的（按您使用的时间；含换表、翻转或估算的时段）",
        "Of this, counted as yours (by the time you had the rooms; with exchanges, rollovers and estimates)",
    ),
    "step-band": ("{band}时段的电", "Energy at the {band} price"),
    "step-flat": ("按单价计费", "Times the price"),
    "step-sum": ("加起来，四舍五入到分", "Added up, and rounded once"),
    "step-cost": ("{pool}本期一共", "{pool}: cost in all"),
    "step-of-cost": ("{what}", "{what}"),
    "step-area": (
        "您的份数：与面积 × 使用时间成正比，约成最小的整数",
        "Your units: in proportion to area x time of use, in the smallest whole numbers",
    ),
    "step-weighed": (
        "您的份数：由面积、使用时间和上面的比例得出",
        "Your units: from area, time of use, and the parts above",
    ),
    "step-weight": ("您的份数", "Your units"),
    "step-day": ("{day} 按公式分给承租方的部分", "{day}: the part that the formula passes on to tenants"),
    "step-formula": ("约定的公式", "The agreed formula"),
    "step-total": ("所有人的份数合计", "Everybody's units together"),
    "step-part": ("总费用 × 您的份数 ÷ 合计份数", "Cost x your units / all units"),
    "step-cent-yes": ("不足一分的零头：这次轮到您进一分", "Fractions of a cent: this time you get the odd one"),
    "step-cent-no": ("不足一分的零头舍去", "Fractions of a cent are dropped"),
    "step-is": ("您付", "You pay"),
    "more-steps": ("其余 {count} 步见「全部算式」", "{count} more steps under “Every single sum”"),
    "area-m2": ("{area} m² × {slots} 刻钟", "{area} m² x {slots} quarter hours"),
    "band-sharp": ("尖峰", "sharp peak"),
    "band-peak": ("峰", "peak"),
    "band-flat": ("平", "flat"),
    "band-valley": ("谷", "valley"),
    "band-deep": ("深谷", "deep valley"),
    # Meters
    "meter-showed": ("您的表显示了什么", "What your meter showed"),
    "meter": ("表 {meter}", "Meter {meter}"),
    "of-node": ("{node}", "{node}"),
    "at-start": ("期初", "Start"),
    "at-end": ("期末", "End"),
    "used": ("用量", "Used"),
    "signed-by": ("由网关 {gateway} 签名（第 {seq} 批）", "signed by gateway {gateway} (batch {seq})"),
    "read-by-person": ("人工抄读，已签封", "read by a person, sealed"),
    "photo-of-meter": ("当时拍的照片", "Photo taken then"),
    "no-photo": (
        "这只表由网关自动抄读并签名，没有照片；签名读数可在下方验证。",
        "A gateway reads and signs this meter by itself, so there are no photos; the readings are checked below.",
    ),
    "no-meter": ("这份确认单里没有您自己的表。", "No meter of your own stands in this statement."),
    "ratio": ("倍率 × {ratio}", "ratio x {ratio}"),
    # History
    "history": ("和以前比", "Compared with before"),
    "history-note": ("每根柱子是一期，最右边是这一期。", "One bar is one period; the last one is this period."),
    "history-few": (
        "目前只有 {count} 期；满 12 期后，这里显示一年以上的变化。",
        "There are {count} periods so far; from 12 on, this shows more than a year.",
    ),
    "history-first": (
        "这是第一期，还没有以前的可以比。",
        "This is the first period: there is nothing yet to compare with.",
    ),
    "history-more": ("比上一期多 {amount}（{percent}）", "{amount} more than the period before ({percent})"),
    "history-less": ("比上一期少 {amount}（{percent}）", "{amount} less than the period before ({percent})"),
    "history-same": ("和上一期一样", "The same as the period before"),
    "history-table": ("各期数字", "The numbers"),
    "period": ("账期", "Period"),
    "energy": ("电量", "Energy"),
    "amount": ("金额", "Amount"),
    "total": ("合计", "Total"),
    "line": ("项目", "Item"),
    # Verifying
    "verify": ("可信吗？自己验证", "Can you trust it? Check for yourself"),
    "verify-note": (
        "您的浏览器会重新核对签名、重算金额，不需要相信我们。",
        "Your browser checks the signatures and works the amounts out anew; you need not believe us.",
    ),
    "verify-alone": ("离线验证页", "Page for checking offline"),
    "verify-file": ("下载证据文件", "Download the file of evidence"),
    "paper": ("下载 PDF", "Download the PDF"),
    "print": ("打印", "Print"),
    "fingerprint": ("本批指纹（和邻居的对一对，应当相同）", "Fingerprint of the run (a neighbour's must be the same)"),
    # Acts
    "your-answer": ("您的答复", "Your answer"),
    "confirm-title": ("核对无误？", "Is it right?"),
    "confirm-note": (
        "确认后，{amount} 会进入收费，只生成一次，多按也不会重复。",
        "When you confirm, {amount} becomes due, once; pressing again changes nothing.",
    ),
    "confirm-rest": (
        "有异议的项目不在内；其余 {amount} 确认后进入收费。",
        "What you dispute is left out; the other {amount} becomes due when you confirm.",
    ),
    "confirm-difference": (
        "此前的确认单已收 {before}，这次只收差额 {amount}。",
        "{before} was charged by the statement before; only the difference, {amount}, becomes due now.",
    ),
    "confirm": ("确认 {amount}", "Confirm {amount}"),
    "confirmed-note": (
        "您已于 {when} 确认，应收编号 {charge}，金额 {amount}。",
        "You confirmed on {when}. The charge is {charge}, of {amount}.",
    ),
    "confirmed-short": ("已确认 {amount}", "{amount} confirmed"),
    "dispute-title": ("哪里不对？", "Is something wrong?"),
    "dispute-note": (
        "说明哪一项、为什么。那一项暂不收费，直到答复您；其他项目不受影响。",
        "Say which item, and why. That item is not charged until you are answered; the others go on.",
    ),
    "dispute-which": ("哪一项", "Which item"),
    "dispute-whole": ("整份确认单", "All of the statement"),
    "dispute-why": ("为什么", "Why"),
    "dispute-why-hint": (
        "例如：我的表显示 1234.5，与上面不同。",
        "For example: my meter shows 1234.5, not what stands above.",
    ),
    "dispute-photo": ("照片（可不附）", "Photo (if you like)"),
    "dispute-photo-hint": (
        "JPEG 或 PNG，不超过 12 MB；位置等信息会先去掉。",
        "JPEG or PNG, up to 12 MB; its location and the like are removed.",
    ),
    "dispute": ("提出异议", "Dispute this item"),
    "dispute-open": (
        "您提出了异议，正在处理；这一项暂不收费。",
        "You dispute this. It is not charged until you are answered.",
    ),
    "dispute-upheld": ("答复：维持原账。", "Answer: it stands."),
    "dispute-recomputed": (
        "答复：会重新计算，新的确认单另行发送。",
        "Answer: it is worked out anew; you will be sent a new statement.",
    ),
    "dispute-said": ("您说", "You said"),
    "answered": ("答复", "Answer"),
    "answered-on": ("{when} 答复", "answered {when}"),
    "fault-empty": (
        "请写下哪里不对。您附的照片需要重新选择。",
        "Please say what is wrong. A photo has to be chosen again.",
    ),
    "fault-photo": ("照片没有收下：{why} 您写的内容还在。", "The photo was not taken: {why} What you wrote is kept."),
    "fault-done": (
        "这一项已经确认过，不能再在这里提异议；请联系发单方。",
        "This item is confirmed already; please talk to whoever sent this.",
    ),
    "told-confirmed": ("已确认，谢谢。", "Confirmed. Thank you."),
    "told-disputed": (
        "已收到异议，答复会出现在这一页。",
        "Your dispute has arrived; the answer will stand on this page.",
    ),
    # Warnings, privacy
    "heed": ("请留意", "Please note"),
    "stale-rule": (
        "分摊办法「{pool}」已过复核日期 {day}，尚未复核。",
        "The rule of “{pool}” was to be reviewed by {day} and has not been.",
    ),
    "link-until": (
        "这个链接在 {when} 前有效。谁有链接谁就能看，请勿转发。",
        "This link works until {when}. Whoever has it can look: do not pass it on.",
    ),
    # No statement
    "link-unknown": ("打不开这个链接", "This link opens nothing"),
    "link-unknown-note": (
        "可能抄错了字，或者已经换了新的链接。请核对纸上的二维码，或向发单方要一个新链接。",
        "A sign may be mistyped, or a newer link was sent. Look at the code on paper, or ask for a new link.",
    ),
    "link-expired": ("链接已过期", "This link has expired"),
    "link-expired-note": (
        "为了安全，链接只在一段时间内有效。请向发单方要一个新链接。",
        "For safety a link works for a time only. Ask whoever sent it for a new one.",
    ),
    "link-busy": ("请稍等片刻", "Please wait a moment"),
    "link-busy-note": (
        "这个页面刚才打开得太频繁，请在 {seconds} 秒后再试。什么都没有丢失。",
        "This page was opened too often just now. Try again in {seconds} s; nothing is lost.",
    ),
    "paper-missing": ("现在没有 PDF", "There is no PDF just now"),
    "paper-missing-note": (
        "这台服务器还不能生成 PDF。页面本身可以打印。（{detail}）",
        "This server cannot make the PDF. The page itself can be printed. ({detail})",
    ),
    # Paper
    "scan": ("扫码核对：表的读数、怎么算的、和以前比", "Scan to check: readings, sums, and the periods before"),
    "scan-note": ("二维码里只有一个链接，没有您的名字。", "The code holds a link and no name."),
    "page-of": ("第 {page} 页，共 {pages} 页", "page {page} of {pages}"),
    "registers": ("表的读数", "Meter readings"),
    "how": ("怎么来的", "How it came about"),
}


@cache
def statement_words(language: Language) -> Mapping[str, str]:
    """Give every word in one language."""
    place = 0 if language is Language.ZH else 1
    return {key: pair[place] for key, pair in _WORDS.items()}

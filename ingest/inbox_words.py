"""The words of the inbox, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "inbox": ("待办", "Inbox"),
    "inbox-note": (
        "等人处理的每一件事，最急的在前。处理完的会自己消失。",
        "Everything that waits for somebody, the most urgent first. What is mended goes away by itself.",
    ),
    "nothing": ("没有待办", "Nothing waits"),
    "nothing-mend": (
        "没有告警、待批绑定、待复核读数、未了结的核算或异议。",
        "No alert, no binding to approve, no reading to look at, no open run or dispute.",
    ),
    "all": ("全部", "All"),
    "kind": ("类别", "Kind"),
    "since": ("自", "Since"),
    "site": ("园区", "Site"),
    "what": ("事项", "What"),
    "detail": ("说明", "Detail"),
    "to-do": ("处理", "To do"),
    "urgency": ("缓急", "Urgency"),
    "tone-bad": ("紧急", "now"),
    "tone-warn": ("当日", "today"),
    "tone-info": ("进行中", "under way"),
    "kind-alert": ("告警", "Alerts"),
    "kind-run": ("核算", "Runs"),
    "kind-binding": ("绑定", "Bindings"),
    "kind-reading": ("人工读数", "Readings"),
    "kind-dispute": ("异议", "Disputes"),
    "kind-late": ("迟到数据", "Late data"),
    "kind-quarantine": ("隔离报文", "Quarantine"),
    "run": ("{site} {period} 的核算", "Run of {site}, {period}"),
    "run-computed": ("已计算，待检查。", "Computed, waits to be checked."),
    "run-checked": ("已检查，待另一人批准。", "Checked, waits for the approval of somebody else."),
    "run-approved": ("已批准，待发布。", "Approved, waits to be published."),
    "run-reasons": ("{count} 项情形须写明理由。", "{count} findings need a reason."),
    "run-none": ("没有需要说明的情形。", "Nothing needs a reason."),
    "run-estimates": (
        "{count} 段读数为估算、缺失或待定。",
        "{count} spans were estimated, are missing or held.",
    ),
    "binding": ("{what}：{meter} 于 {node}", "{what}: {meter} at {node}"),
    "binding-pending": ("须由安装人以外的人批准", "waits for the approval of somebody who was not there"),
    "binding-held": ("与台账不符，暂存", "held: it does not fit the site"),
    "binding-refused": ("已拒绝，待现场更正", "refused, waits to be corrected at the site"),
    "reading": ("{meter} 人工读数 {shown}", "{meter} was read as {shown}"),
    "dispute": ("确认单 {statement} 有异议", "Statement {statement} is disputed"),
    "late": ("{site} {period} 核算后数据有变", "Data of {site}, {period} changed after the run"),
    "late-told": (
        "{nodes} 个节点共 {days} 天与核算时不同：重新结算该账期，差额作为更正行。",
        "{days} days of {nodes} nodes are not what the run was made from: close the period again; the difference "
        "becomes correction lines.",
    ),
    "quarantine": ("{gateway} 的报文在隔离区：{reason}", "A message of {gateway} is in quarantine: {reason}"),
    "quarantine-told": ("来过 {times} 次。{detail}", "Came {times} times. {detail}"),
    "do-alert": ("查看并确认", "Look and acknowledge"),
    "do-run": ("去审核", "Review"),
    "do-binding": ("对照并决定", "Compare and decide"),
    "do-reading": ("复核", "Look and decide"),
    "do-dispute": ("答复", "Answer"),
    "do-late": ("去核算", "To the run"),
    "do-quarantine": ("查看", "Look"),
    "told-approved": ("已批准。", "Approved."),
    "told-refused": ("已拒绝。", "Refused."),
    "told-acknowledged": ("已确认。", "Acknowledged."),
    "told-counted": ("读数已计入。", "The reading counts."),
    "told-reading-refused": ("读数已驳回。", "The reading is refused."),
    "told-entered": ("报文已入账。", "The message is in the books."),
    "told-in-the-books-already": ("报文本来就在账上。", "The message was in the books already."),
    "approve": ("批准", "Approve"),
    "refuse": ("拒绝", "Refuse"),
    "acknowledge": ("确认，由我处理", "Acknowledge, I take care of it"),
    "reason": ("理由", "Reason"),
    "note": ("备注", "Note"),
    "reason-needed": (
        "有标为错误的差异：批准须写明为何仍然正确。",
        "There are differences marked wrong: say why it is right all the same.",
    ),
    "planned": ("计划", "Planned"),
    "found": ("实装", "Found"),
    "same": ("一致", "same"),
    "differs": ("不同", "differs"),
    "differences": ("差异与发现", "Differences and findings"),
    "row-node": ("节点", "Node"),
    "row-unit": ("单元", "Unit"),
    "row-serial": ("表号", "Serial"),
    "row-profile": ("型号", "Model"),
    "row-ratio": ("变比", "Ratio"),
    "done-by": ("安装人", "Done by"),
    "done-at": ("安装时刻", "Done at"),
    "begins-at": ("自何时计", "Counts from"),
    "gateway": ("网关", "Gateway"),
    "comparisons": ("显示与总线核对", "Display against bus"),
    "typed": ("手填显示值", "Typed off the display"),
    "verdict": ("判定", "Verdict"),
    "photos": ("照片", "Photos"),
    "reading-title": ("人工读数 {number}", "Reading {number} of a person"),
    "shown": ("表上显示", "Shown"),
    "meter": ("表计", "Meter"),
    "register": ("寄存器", "Register"),
    "read-at": ("抄表时刻", "Read at"),
    "reader": ("抄表人", "Read by"),
    "entered-by": ("录入人", "Entered by"),
    "photo-of": ("表计照片", "Photo of the display"),
    "seen": ("照片识别", "The photo shows"),
    "accept": ("计入", "Let it count"),
    "acknowledged": ("{by} 已确认", "{by} has acknowledged it"),
    "quarantine-title": ("隔离报文 {number}", "Quarantined message {number}"),
    "why": ("原因", "Reason"),
    "proven": ("签名", "Signature"),
    "is-proven": ("已验证：确由该网关签发", "proven: this gateway signed it"),
    "is-not-proven": ("未验证：不知是谁发的", "not proven: nobody knows who sent it"),
    "first-came": ("首次到达", "First came"),
    "last-came": ("最近到达", "Last came"),
    "times": ("次数", "Times"),
    "octets": ("字节", "Octets"),
    "replay": ("再试一次", "Try again"),
    "replay-note": (
        "原因消除后（例如配置文件补齐、网关重新登记）再试；仍被拒绝则留在隔离区。",
        "Try once its cause is mended (a profile that was missing, a gateway enrolled anew). What is refused again "
        "stays here.",
    ),
    "still-refused": ("仍被拒绝：{reason}", "Refused again: {reason}"),
    "not-done": ("没有改动任何数据。", "Nothing was changed."),
}


def inbox_word(key: str, language: Language, **parts: object) -> str:
    """Give one text."""
    text = _WORDS[key][0 if language is Language.ZH else 1]
    told = text.format(**parts) if parts else text
    return told[:1].upper() + told[1:]


def inbox_words(language: Language) -> Mapping[str, str]:
    """Give all texts."""
    place = 0 if language is Language.ZH else 1
    return {name: pair[place] for name, pair in _WORDS.items()}

"""The words of the pages where disputes are answered and statements are followed, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "disputes": ("异议", "Disputes"),
    "disputes-note": (
        "承租方不认可的项目。有异议的项目暂不收费，答复后才继续；答复会出现在他的页面上。",
        "What payers do not accept. A disputed item is not charged until it is answered; the payer reads the answer.",
    ),
    "tab-open": ("待答复", "To be answered"),
    "tab-upheld": ("维持原账", "Stand as they are"),
    "tab-recomputed": ("重新计算", "Worked out anew"),
    "tab-all": ("全部", "All"),
    "none-open": ("没有待答复的异议", "No dispute waits for an answer"),
    "none-open-note": (
        "承租方在确认单页面上提出异议后，会出现在这里。",
        "What payers dispute on a statement's page comes here.",
    ),
    "none": ("这里没有异议", "There are no disputes here"),
    "when": ("时间", "When"),
    "party": ("承租方", "Payer"),
    "about": ("项目", "Item"),
    "said": ("他说", "He says"),
    "state": ("状态", "State"),
    "statement": ("确认单", "Statement"),
    "period": ("账期", "Period"),
    "site": ("园区", "Site"),
    "whole": ("整份确认单", "All of the statement"),
    "state-open": ("待答复", "open"),
    "state-upheld": ("维持原账", "stands"),
    "state-recomputed": ("重新计算", "anew"),
    "by-period": ("各期统计", "By period"),
    "issued": ("已出具", "Issued"),
    "seen": ("已打开", "Opened"),
    "confirmed": ("已确认", "Confirmed"),
    "open": ("待答复", "Open"),
    "upheld": ("维持", "Stand"),
    "recomputed": ("重算", "Anew"),
    "dispute": ("异议 {number}", "Dispute {number}"),
    "raised": ("{party}，{when}", "{party}, {when}"),
    "photo": ("他附的照片", "His photo"),
    "how": ("这一项是怎么算的", "How the item was worked out"),
    "amount": ("金额", "Amount"),
    "answer": ("答复", "Answer"),
    "answered-by": ("{who}，{when}", "{who}, {when}"),
    "answer-how": ("怎么处理", "What becomes of it"),
    "answer-upheld": ("维持原账", "It stands"),
    "answer-upheld-note": (
        "这一项随即进入收费（若他已确认其余部分），否则随他的确认一起收。",
        "The item is charged at once if he confirmed the rest, else when he does.",
    ),
    "answer-recomputed": ("重新计算", "It is worked out anew"),
    "answer-recomputed-note": (
        "这一项在本单不再收费；更正资料后重新核算并发布，新的确认单会取代它。",
        "This statement does not charge it; correct what is wrong, compute and publish: a newer one replaces this.",
    ),
    "answer-text": ("给承租方的话", "Words to the payer"),
    "answer-hint": (
        "说明依据，例如读数、面积或约定。最多 2000 字。",
        "Say what it rests on: readings, areas, agreements. Up to 2000 characters.",
    ),
    "send": ("发送答复", "Send the answer"),
    "fault-answer": ("请选择怎么处理，并写明理由。", "Choose what becomes of it, and say why."),
    "fault-answered": (
        "别人已经答复过：{told}。您写的没有保存。",
        "Somebody answered already: {told}. What you wrote was not kept.",
    ),
    "told-answered": ("答复已发出", "The answer is out"),
    "frozen-note": ("这一项现在不收费。", "The item is not charged now."),
    "superseded-note": ("这份确认单已被新的取代。", "A newer statement has replaced this one."),
    "may-not": ("您可以查看，不能答复。", "You may read this, and not answer it."),
    "statements": ("确认单", "Statements"),
    "statements-note": (
        "每期的确认单发出后到了哪一步：谁打开了，谁确认了，谁有异议。",
        "How far the statements of each period have come: opened, confirmed, disputed.",
    ),
    "no-statements": ("还没有发出的确认单", "No statement is out yet"),
    "no-statements-note": (
        "发布一个批次后，它的确认单就在这里。打印与发送链接：metertree statements print / links。",
        "They are here once a run is published. To print and to mail links: metertree statements print / links.",
    ),
}


@cache
def dispute_words(language: Language) -> Mapping[str, str]:
    """Give every word in one language."""
    place = 0 if language is Language.ZH else 1
    return {key: pair[place] for key, pair in _WORDS.items()}

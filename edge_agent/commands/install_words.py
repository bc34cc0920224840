"""What `metertree-gateway install` asks a person, in Chinese or English."""

from __future__ import annotations

import sys

from edge_agent.status_words import Language

_PROMPTS = {
    "by": ("您的姓名或工号", "Your name"),
    "confirm": (
        "请与后台核对上面的指纹，一致请输入 yes",
        "Compare the fingerprint above with the back office; type yes if they are equal",
    ),
    "claim": ("领取码（可稍后输入）", "The claim (may come later)"),
    "found": (
        "{node}：装的是哪块表？（计划 {model}，表号 {serial}）输入表号或 端口/地址，空行跳过",
        "{node}: which meter is it? (planned {model}, serial {serial}) Its serial or PORT/ADDRESS, empty to skip",
    ),
    "display": ("{meter} 的显示屏 {obis} 显示", "What does the display of {meter} show for {obis}"),
    "reason": ("接受的理由（将被签名）", "Why do you go on in spite of it (it is signed)"),
    "window": ("请稍候 {seconds} 秒，期间比较上下级电量", "Comparing energies over {seconds} s ..."),
}
YES = ("yes", "y", "是")


def prompt(key: str, language: Language, **parts: object) -> str:
    """Give a question, filled in."""
    return _PROMPTS[key][0 if language is Language.ZH else 1].format(**parts)


def ask(key: str, language: Language, **parts: object) -> str:
    """Ask; the end of input is an empty answer."""
    print(prompt(key, language, **parts) + ": ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def ask_yes(key: str, language: Language) -> bool:
    """Ask for a yes."""
    return ask(key, language).lower() in YES

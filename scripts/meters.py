# ruff: noqa: E501 -- lines of the page are as long as the page has them
"""Writes docs/meters.md from the shipped device profiles. `--check` says whether the page is true.

Nothing in the page is typed by hand that stands in a profile, so it claims what the profiles claim; a test compares.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.profile import DocumentSource, Evidence, Profile, Side

PAGE = Path(__file__).parents[1] / "docs" / "meters.md"
EVIDENCE = {evidence: f"{evidence.told('en')} {evidence.told('zh')}" for evidence in Evidence}
MEDIA = {"electricity": "electricity 电", "water": "water 水", "gas": "gas 气", "heat": "heat 热"}
SIDES = {Side.PRIMARY: "primary 一次", Side.SECONDARY: "secondary 二次"}
HEAD = """\
# Meters 表计

Written by `scripts/meters.py` from the shipped profiles; a test keeps it so. 本页由 `scripts/meters.py` 根据随附配置生成，并有测试核对。

A profile is a data file: a model that is not here needs one more file and no code. `metertree-gateway profile check FILE` explains each mistake with its line.
配置是数据文件：没有列出的型号只需再写一个文件，不用写代码。`metertree-gateway profile check FILE` 逐行说明错误。

What the column *proof* says 依据一栏的含义:

| proof 依据 | means | 含义 |
|---|---|---|
| frame-tested 报文实测 | frames of a meter that keeps to this profile decode to what it showed | 按此配置的真实表计报文已解出正确数值 |
| register map only 仅寄存器表 | a register map that other software in use reads by; no frame of a meter was at hand | 其他在用软件按此寄存器表读取；没有真实报文 |
| from manual 依据说明书 | the maker's document or a standard alone | 仅有厂家文件或标准 |

*Side*: registers of a meter on the secondary side are multiplied by the site's CT and PT ratios; those on the primary side never are.
一次/二次：二次侧表计的读数由站点的 CT、PT 变比换算；一次侧表计不再乘变比。
"""


def page(profiles: Sequence[Profile]) -> str:
    """Give the whole page."""
    return "\n".join((HEAD, *_table(profiles), "", *_disputes(profiles), *_documents(profiles)))


def _table(profiles: Sequence[Profile]) -> Iterator[str]:
    counts = Counter(profile.evidence for profile in profiles)
    told = ", ".join(f"{counts[evidence]} {EVIDENCE[evidence]}" for evidence in Evidence if counts[evidence])
    yield f"## {len(profiles)} models 型号\n"
    yield f"{told}.\n"
    yield "| profile 配置 | model 型号 | medium 介质 | protocols 协议 | side 侧 | bills 计费量 | vectors 用例 | proof 依据 | disputed 存疑 |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for profile in profiles:
        captured = sum(not vector.derived for vector in profile.vectors)
        cells = (
            f"`{profile.id}` {profile.rev}",
            f"{profile.names['en']}<br>{profile.names['zh']}",
            MEDIA[profile.medium],
            ", ".join(profile.links),
            SIDES[profile.side],
            _billed(profile),
            f"{len(profile.vectors)} ({captured} captured 实测)" if captured else f"{len(profile.vectors)}",
            EVIDENCE[profile.evidence],
            f"[{len(profile.disputes)}](#{_anchor(profile)})" if profile.disputes else "",
        )
        yield f"| {' | '.join(cells)} |"


def _billed(profile: Profile) -> str:
    first = profile.groups[0]
    if first.name != "billing":
        return "nothing 不计费"
    return ", ".join(f"{channel.obis} {channel.unit.symbol}" for channel in first.channels)


def _anchor(profile: Profile) -> str:
    return profile.id.replace("/", "")


def _disputes(profiles: Sequence[Profile]) -> Iterator[str]:
    yield "## Where sources disagree 资料不一致之处\n"
    yield "What this profile does about it stands beside each point. Check it at commissioning. 每条写明本配置的取法；投运时请核对。\n"
    for profile in profiles:
        if profile.disputes:
            yield f"### {profile.id}\n"
            for dispute in profile.disputes:
                yield f"* `{dispute.point}`: {dispute.told['en']}<br>{dispute.told['zh']}"
            yield ""


def _documents(profiles: Sequence[Profile]) -> Iterator[str]:
    yield "## Documents 资料来源\n"
    for profile in profiles:
        yield f"* `{profile.id}`: {'; '.join(_document(source) for source in profile.sources)}"
    yield ""


def _document(source: DocumentSource) -> str:
    said = ", ".join(part for part in (source.title, source.version, source.page) if part)
    return f"{said} ({source.note})" if source.note else said


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it with `--check`."""
    wanted = page(Catalogue.shipped().profiles)
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"{PAGE} does not say what the profiles say: run python scripts/meters.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

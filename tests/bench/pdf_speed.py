"""How long 1,000 statements take as PDF: Typst as we use it, and ReportLab where it is installed (ADR 0085).

    .venv/bin/python -m tests.bench.pdf_speed [COUNT]

Each statement has 45 lines in Chinese and English with an embedded subset of the machine's Chinese font; two processes
share the work. ReportLab embeds TrueType outlines only, so it is measured with WenQuanYi Micro Hei where that is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from provisioning.paper.fonts import ChineseFont, chinese_font, font_folders

PROCESSES = 2
LINES = 45
_NAMES = (
    "公共区域照明",
    "电梯运行电费",
    "消防泵待机",
    "大堂空调",
    "实验室净化机组",
    "净水系统",
    "A101 室用电",
    "谷段电量",
)
_TEMPLATE = r"""
#set page(paper: "a4", margin: 18mm, footer: context align(right, counter(page).display("1 / 1", both: true)))
#set text(font: "FAMILY", size: 9pt, lang: "zh")
#let doc = json(bytes(sys.inputs.doc))
= 分摊明细确认单 Statement #doc.number
#doc.party
#table(columns: (auto, 1fr, 1fr, auto, auto, auto), stroke: 0.4pt + gray, inset: 4pt,
  table.header([*序号*], [*项目*], [*Item*], [*kWh*], [*单价*], [*金额*]), ..doc.lines.flatten())
*合计 Total* #h(1fr) #doc.total
"""


def statement(number: int) -> dict[str, Any]:
    """Give one statement; each is different."""
    lines = [
        [
            str(line + 1),
            f"{_NAMES[(number + line) % len(_NAMES)]} {line}",
            "Shared cost of building lighting",
            f"{(number * 37 + line * 113) % 99_999 / 100:.2f}",
            "0.6532",
            f"{(number * 91 + line * 17) % 999_999 / 100:.2f}",
        ]
        for line in range(LINES)
    ]
    party = f"承租方 {number} 示例科技有限公司 Example Tech {number}"
    return {"number": f"2026-07-{number:05d}", "party": party, "lines": lines, "total": f"{number * 13.37:.2f}"}


def by_typst(numbers: range, font: ChineseFont) -> list[int]:
    """Set statements with one compiler; gives the octets of each."""
    typst = importlib.import_module("typst")
    with tempfile.TemporaryDirectory(prefix="metertree-bench-") as folder:
        template = Path(folder) / "statement.typ"
        template.write_text(_TEMPLATE.replace("FAMILY", font.family), encoding="utf-8")
        for path in font.files:
            (Path(folder) / path.name).symlink_to(path.resolve())
        compiler = typst.Compiler(str(template), font_paths=[folder], ignore_system_fonts=True)
        return [
            len(compiler.compile(format="pdf", sys_inputs={"doc": json.dumps(statement(one), ensure_ascii=False)}))
            for one in numbers
        ]


def by_reportlab(numbers: range, font: ChineseFont) -> list[int]:
    """Set statements with ReportLab's tables; gives the octets of each."""
    metrics, fonts = (importlib.import_module(f"reportlab.pdfbase.{name}") for name in ("pdfmetrics", "ttfonts"))
    platypus, styles = (importlib.import_module(f"reportlab.{name}") for name in ("platypus", "lib.styles"))
    sizes, colors = (importlib.import_module(f"reportlab.lib.{name}") for name in ("pagesizes", "colors"))
    metrics.registerFont(fonts.TTFont("F", str(font.files[0]), subfontIndex=0))
    plain = styles.ParagraphStyle("plain", fontName="F", fontSize=9, leading=11, wordWrap="CJK")
    ruled = [("FONT", (0, 0), (-1, -1), "F", 9), ("GRID", (0, 0), (-1, -1), 0.4, colors.grey)]
    head = ["序号", "项目", "Item", "kWh", "单价", "金额"]
    found = []
    for one in numbers:
        content, paper = statement(one), io.BytesIO()
        rows = [
            head,
            *(
                [a, platypus.Paragraph(b, plain), platypus.Paragraph(c, plain), *rest]
                for a, b, c, *rest in content["lines"]
            ),
        ]
        table = platypus.Table(rows, colWidths=[30, 140, 150, 50, 50, 60], repeatRows=1, style=ruled)
        title = platypus.Paragraph(f"分摊明细确认单 Statement {content['number']}", plain)
        platypus.SimpleDocTemplate(paper, pagesize=sizes.A4).build([title, table])
        found.append(len(paper.getvalue()))
    return found


def _timed(work: Callable[[range, ChineseFont], list[int]], numbers: range, font: ChineseFont) -> tuple[list[int], int]:
    return work(numbers, font), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(name: str, work: Callable[[range, ChineseFont], list[int]], count: int, font: ChineseFont) -> str:
    """Measure one way; gives its line."""
    parts = [range(start, count, PROCESSES) for start in range(PROCESSES)]
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        done = pool.starmap(partial(_timed, work), [(numbers, font) for numbers in parts])
    took = time.perf_counter() - start
    octets = [one for sizes, _ in done for one in sizes]
    memory = max(rss for _, rss in done)
    load = os.getloadavg()[0]
    mean = sum(octets) // len(octets) // 1000
    return (
        f"{name:<10} {font.family:<20} {count} in {took:.1f} s; {mean} kB each; {memory} MB a process; load {load:.1f}"
    )


def main() -> None:
    """Measure with each font that is there."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    best = chinese_font()
    others = [path for folder in font_folders() if folder.is_dir() for path in folder.rglob("wqy-microhei.ttc")]
    small = ChineseFont("WenQuanYi Micro Hei", (others[0],)) if others else None
    for font in dict.fromkeys(one for one in (best, small) if one is not None):
        print(measure("typst", by_typst, count, font))
    if small is not None and importlib.util.find_spec("reportlab") is not None:
        print(measure("reportlab", by_reportlab, count, small))


if __name__ == "__main__":
    main()

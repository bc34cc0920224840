"""How well photos are read: drawn displays of three kinds, each sharp and spoiled in five ways (make bench-ocr).

For each kind and fault: pictures whose row of the right number of digits is right; of those that were sure
(hand_reading.SURE_PM), how many; and how many were sure and wrong. Writes the table of docs/photo-reading.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[2]))

from provisioning.hand_reading import SURE_PM
from provisioning.photo_file import plain_photo
from provisioning.photo_reading.reader import PhotoReader, installed_reader
from tests.doubles.meter_pictures import FAULTS, KINDS, pictures

PAGE = Path(__file__).parents[2] / "docs" / "photo-reading.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


class Score:
    """What was counted."""

    def __init__(self) -> None:
        self.shown: Counter[tuple[str, str]] = Counter()
        self.right: Counter[tuple[str, str]] = Counter()
        self.sure: Counter[tuple[str, str]] = Counter()
        self.sure_and_wrong: Counter[tuple[str, str]] = Counter()
        self.took_s: list[float] = []

    def read(self, reader: PhotoReader, each: int, seed: int) -> None:
        """Read `each` pictures of every kind with every fault."""
        for picture in pictures(each, seed=seed):
            place = picture.kind, picture.fault
            begun_s = perf_counter()
            rows = reader.read(plain_photo(picture.octets))
            self.took_s.append(perf_counter() - begun_s)
            fitting = [row for row in rows if len(row.digits) == len(picture.digits)]
            best = max(fitting, key=lambda row: row.confidence_pm, default=None)
            is_right = best is not None and best.digits == picture.digits
            is_sure = best is not None and best.confidence_pm >= SURE_PM
            self.shown[place] += 1
            self.right[place] += is_right
            self.sure[place] += is_sure and is_right
            self.sure_and_wrong[place] += is_sure and not is_right

    def table(self) -> str:
        """Give the table as Markdown."""
        lines = ["| | " + " | ".join(FAULTS) + " |", "|---" * (len(FAULTS) + 1) + "|"]
        for kind in KINDS:
            cells = [f"{self.right[kind, one]} / {self.sure[kind, one]} / {self.shown[kind, one]}" for one in FAULTS]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
        total, right, sure = (sum(one.values()) for one in (self.shown, self.right, self.sure))
        lines += [
            "",
            f"Right / right and sure / shown. In all {right} of {total} right ({100 * right / total:.1f} %), "
            f"{sure} of them sure; sure and wrong: {sum(self.sure_and_wrong.values())}. "
            f"{1000 * statistics.median(self.took_s):.0f} ms a picture (median, one thread).",
            "",
        ]
        return "\n".join(lines)


def main() -> int:
    """Measure, print, and with --write put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="pictures of each kind and fault (default 40)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/photo-reading.md")
    args = parser.parse_args()
    reader = installed_reader()
    if reader is None:
        print("no reader is installed: scripts/install_ocr.sh")
        return 1
    score = Score()
    score.read(reader, args.each, args.seed)
    print(score.table())
    if args.write:
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        PAGE.write_text(head + BEGIN + score.table() + END + rest.split(END)[1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

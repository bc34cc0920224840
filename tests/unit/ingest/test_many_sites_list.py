"""Which sites `--sites` speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from ingest.many_sites.site_list import SiteListInvalid, read_site_list
from metering.identity import SiteId


def two() -> Iterable[SiteId]:
    """The sites of a database, in its order."""
    return (SiteId("z"), SiteId("a"))


def nobody_asks() -> Iterable[SiteId]:
    """A database that must not be asked."""
    pytest.fail("the database was asked")


def test_all_are_those_of_the_database_in_its_order() -> None:
    assert read_site_list("all", two) == ("z", "a")


def test_a_database_without_sites_is_said_so_with_the_mend() -> None:
    with pytest.raises(SiteListInvalid, match="no site is imported; start with: metertree site import DIR"):
        read_site_list("all", tuple)


@pytest.mark.parametrize(
    ("text", "sites"), [("a", ("a",)), ("b,a", ("b", "a")), ("a, b ,a", ("a", "b")), ("all,a", ("all", "a"))]
)
def test_ids_stand_with_commas_between_and_each_counts_once(text: str, sites: tuple[str, ...]) -> None:
    assert read_site_list(text, nobody_asks) == sites


@pytest.mark.parametrize("text", ["", "a,,b", "a,", "A", "a b"])
def test_what_is_no_id_is_refused_and_named(text: str) -> None:
    with pytest.raises(SiteListInvalid, match=rf"--sites {text}: '.*' is not an identifier"):
        read_site_list(text, nobody_asks)


@pytest.mark.parametrize("name", ["sites.txt", "sub/sites"])
def test_a_file_holds_one_id_a_line_with_remarks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("# north\nb\n\n  a  # the first\nb\n", encoding="utf-8")
    assert read_site_list(name, nobody_asks) == ("b", "a")


def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "sites"
    path.write_text("a\n\nb c\n", encoding="utf-8")
    with pytest.raises(SiteListInvalid, match=rf"{path}:3: 'b c' is not an identifier"):
        read_site_list(str(path), nobody_asks)


def test_a_file_without_ids_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nobody\n", encoding="utf-8")
    with pytest.raises(SiteListInvalid, match="names no site; write one id a line"):
        read_site_list(str(tmp_path / "empty"), nobody_asks)
    with pytest.raises(SiteListInvalid, match=r"nowhere\.txt: cannot be read"):
        read_site_list(str(tmp_path / "nowhere.txt"), nobody_asks)

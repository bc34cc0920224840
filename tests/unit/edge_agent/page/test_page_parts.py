"""Background work, the page's own certificate, words, and who is told on the console."""

from __future__ import annotations

import re
import ssl
import threading
import tomllib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from cryptography import x509

from edge_agent.commands.page import page_for
from edge_agent.installation.view import Step
from edge_agent.installed import no_page
from edge_agent.page import words as page_words
from edge_agent.page.certificate import PAGE_FILE, page_certificate
from edge_agent.page.jobs import Job, Jobs, JobState
from edge_agent.page.server import PageAddress, PageUnreachable
from edge_agent.page.words import Words, languages_of
from edge_agent.scanning.result import ScanEnd
from metering.errors import MeteringError
from provisioning.installation import EventKind, PhotoKind, Severity

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PAGE = Path(page_words.__file__).parent


def test_a_job_tells_and_gives_what_it_made() -> None:
    jobs, told = Jobs(), threading.Event()

    def work(job: Job) -> str:
        job.tell("half")
        told.set()
        assert job.stop.wait(10)
        return "whole"

    assert jobs.start("scan a", work)
    assert told.wait(10)
    running = jobs.find("scan a")
    assert running is not None
    assert (running.state, running.progress) == (JobState.RUNNING, "half")
    assert not jobs.start("scan a", work), "one of each at a time"
    running.stop.set()
    done = jobs.wait("scan a", 10)
    assert done is not None
    assert (done.state, done.outcome) == (JobState.DONE, "whole")
    assert jobs.start("scan a", lambda _: None)


def test_a_job_that_is_refused_keeps_why() -> None:
    def work(_: Job) -> None:
        raise MeteringError("line away")

    jobs = Jobs()
    jobs.start("scan a", work)
    job = jobs.wait("scan a", 10)
    assert job is not None
    assert (job.state, str(job.problem)) == (JobState.FAILED, "line away")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_breaks_does_not_look_as_if_it_ran() -> None:
    jobs = Jobs()
    jobs.start("scan a", lambda _: 1 // 0)
    job = jobs.wait("scan a", 10)
    assert job is not None
    assert (job.state, job.problem) == (JobState.FAILED, None)


def test_the_end_of_the_page_stops_its_jobs() -> None:
    jobs = Jobs()
    jobs.start("scan a", lambda job: job.stop.wait(30))
    jobs.stop_all()
    job = jobs.find("scan a")
    assert job is not None
    assert job.outcome is True


def test_the_certificate_is_kept_for_its_address_and_private(tmp_path: Path) -> None:
    first = page_certificate(tmp_path, "192.168.4.1", NOW)
    assert page_certificate(tmp_path, "192.168.4.1", NOW + timedelta(days=300)) == first
    assert first.path == tmp_path / PAGE_FILE
    assert first.path.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(first.path)
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", first.fingerprint)
    other = page_certificate(tmp_path, "gw-7.local", NOW)
    assert other.fingerprint != first.fingerprint
    assert page_certificate(tmp_path, "gw-7.local", NOW + timedelta(days=4000)) != other


def test_the_certificate_holds_for_a_machine_that_believes_it_is_years_ago(tmp_path: Path) -> None:
    made = x509.load_pem_x509_certificate(page_certificate(tmp_path, "::1", NOW).path.read_bytes())
    assert made.not_valid_before_utc < datetime(2018, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "host", "port"), [("192.168.4.1:8443", "192.168.4.1", 8443), ("[::1]:0", "::1", 0)])
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    assert PageAddress.parse(text) == PageAddress(host, port)


@pytest.mark.parametrize("text", ["", "8443", ":8443", "192.168.4.1", "192.168.4.1:x", "192.168.4.1:99999"])
def test_what_is_no_address_is_told_with_an_example(text: str) -> None:
    with pytest.raises(PageUnreachable, match=r"192\.168\.4\.1:8443"):
        PageAddress.parse(text)


def test_without_an_address_nothing_is_served() -> None:
    assert page_for(None, []) is no_page


@pytest.mark.parametrize(
    ("header", "language"), [("", "zh"), ("en-GB,en;q=0.9", "en"), ("zh-CN", "zh"), ("de,en;q=0.5", "en"), ("fr", "zh")]
)
def test_the_browser_says_the_language(header: str, language: str) -> None:
    assert languages_of(header) == language


def test_every_word_of_the_templates_is_there_in_both_languages() -> None:
    tables = tomllib.loads((PAGE / "words.toml").read_text(encoding="utf-8"))
    used = set()
    for source in (*(PAGE / "templates").glob("*.html"), *PAGE.glob("*.py")):
        used |= set(re.findall(r'\bw(?:ords)?\("([a-z-]+\.[a-z0-9-]*[a-z0-9])"', source.read_text(encoding="utf-8")))
    assert len(used) > 80
    for key in sorted(used):
        table, _, name = key.partition(".")
        assert tables[table][name]["zh"], key
        assert tables[table][name]["en"], key


@pytest.mark.parametrize(
    ("key", "codes"),
    [
        ("lines.ended-", ScanEnd),
        ("steps.", Step),
        ("acts.", EventKind),
        ("meter.kind-", PhotoKind),
        ("check.", Severity),
    ],
)
def test_every_code_has_words(key: str, codes: type[StrEnum]) -> None:
    for language in ("zh", "en"):
        assert all(Words(language)(key + code.value) for code in codes)


def test_every_text_takes_the_same_parts_in_both_languages() -> None:
    tables = tomllib.loads((PAGE / "words.toml").read_text(encoding="utf-8"))
    for table in tables.values():
        for name, text in table.items():
            assert set(re.findall(r"\{(\w+)\}", text["zh"])) == set(re.findall(r"\{(\w+)\}", text["en"])), name


def test_words_are_filled() -> None:
    assert Words("en")("home.bound", bound=3, planned=9) == "3 of 9 bound"
    assert Words("zh")("home.bound", bound=3, planned=9) == "已绑定 3 / 9"

"""Prometheus and Grafana: each query is one, of metrics that a program shows, and each alarm has its page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.config import PORT
from ingest.program_config import INTAKE_PROBE_PORT, JOBS_PROBE_PORT, SETTLE_PROBE_PORT
from tests.doubles.deployment import DEPLOY, ROOT, compose, expressions
from tests.doubles.shown_metrics import shown_metrics, shown_text

SHOWN = shown_metrics()
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/metertree.rules.yml").read_text(encoding="utf-8"))
SCRAPES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/metertree.json").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
QUERIES = [*expressions(RULES), *expressions(BOARD)]
WORDS = {"by", "on", "and", "or", "sum", "max", "min", "rate", "increase", "delta", "absent", "histogram_quantile"}
WORDS |= {"time", "vector", "count", "ignoring", "without", "clamp_min"}
PLACED = Path(__file__).parents[2] / ".metertree/prometheus/usr/bin/promtool"


def find_promtool() -> str | None:
    """Give the program, or None."""
    given = os.environ.get("METERTREE_TEST_PROMTOOL") or shutil.which("promtool")
    return given or (str(PLACED) if PLACED.exists() else None)


PROMTOOL = find_promtool()
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: scripts/install_promtool.sh fetches it")


def names_in(query: str) -> set[str]:
    """The metrics a query asks for: its words, without labels, functions and numbers."""
    bare = re.sub(r'"(\\.|[^"])*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|ignoring|without)\s*\([^)]*\)", "", bare)
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if word not in WORDS}


def test_names_are_found_in_queries() -> None:
    assert names_in('sum by (le) (rate(a_bucket{x="b"}[5m])) > on (i) b_total') == {"a_bucket", "b_total"}
    assert names_in("time() - max by (exported_job) (c_seconds)") == {"c_seconds"}


def test_there_are_queries() -> None:
    assert len(ALERTS) > 15
    assert len(QUERIES) > 45


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_is_shown(query: str) -> None:
    names = names_in(query)
    assert names
    assert names <= SHOWN.keys()


@pytest.mark.parametrize("query", QUERIES)
def test_counters_are_rated_and_gauges_are_not(query: str) -> None:
    bare = re.sub(r"\{[^}]*\}", "", query)
    rated = set(re.findall(r"\b(?:rate|increase)\((\w+)\[", bare))
    assert {SHOWN[name] for name in rated} <= {"counter"}
    assert {SHOWN[name] for name in re.findall(r"\bdelta\((\w+)\[", bare)} <= {"gauge"}
    assert {SHOWN[name] for name in names_in(query) - rated} <= {"gauge"}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_one(query: str) -> None:
    parser = pytest.importorskip("promql_parser")
    parser.parse(query.replace("$__rate_interval", "5m"))


def test_what_is_no_query_is_seen() -> None:
    parser = pytest.importorskip("promql_parser")
    with pytest.raises(ValueError, match=r".+"):
        parser.parse("sum(rate(metertree_intake_received_total[5m])")


def test_every_alarm_is_named_once_and_says_how_bad_it_is() -> None:
    assert [name for name, times in Counter(rule["alert"] for rule in ALERTS).items() if times > 1] == []
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "summary_zh"}
        assert any("一" <= letter <= "鿿" for letter in rule["annotations"]["summary_zh"])


@pytest.mark.parametrize("page", ["operate.md", "operate.zh.md"])
def test_every_alarm_has_what_to_do_in_the_manual(page: str) -> None:
    manual = (ROOT / "docs" / page).read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(Metertree\w+)` \|", manual, re.M)
    assert sorted(explained) == sorted(rule["alert"] for rule in ALERTS)


def test_every_program_of_compose_is_asked_at_its_port() -> None:
    (job,) = SCRAPES["scrape_configs"]
    asked = {name: one["port"] for one in job["dns_sd_configs"] for name in one["names"]}
    first = int(INTAKE_PROBE_PORT.default or 0)
    ports = {"serve": PORT.default, "api": PORT.default, "settle": SETTLE_PROBE_PORT.default}
    ports |= {"jobs": JOBS_PROBE_PORT.default}
    programs = {name for name, one in compose()["services"].items() if {"small", "split"} & {*one.get("profiles", [])}}
    workers = sorted(name for name in programs if name.startswith("intake-"))
    expected = {name: int(port or 0) for name, port in ports.items()}
    expected |= {name: first + number for number, name in enumerate(workers)}
    assert asked == expected
    assert asked.keys() == programs
    for name, port in asked.items():
        (call,) = (word for word in compose()["services"][name]["healthcheck"]["test"] if "urlopen" in word)
        assert f":{port}/readyz" in call
        compile(call, name, "eval")
    assert job["job_name"] == "metertree"


def test_the_dashboard_can_be_loaded_anywhere() -> None:
    """Its queries go to the source that is chosen in it, and no panel lies on another one."""
    (variable,) = BOARD["templating"]["list"]
    assert (variable["type"], variable["name"]) == ("datasource", "datasource")
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert {letter for panel in BOARD["panels"] for letter in panel["title"] if "一" <= letter <= "鿿"}, (
        "both languages"
    )


def test_grafana_finds_its_dashboard_and_its_source() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/metertree.yml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert any(one.startswith("./grafana/metertree.json:" + provider["options"]["path"]) for one in mounts)
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose()["services"]


@needs_promtool
def test_prometheus_accepts_its_settings_and_rules(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    settings = tmp_path / "prometheus.yml"
    rules = DEPLOY / "prometheus/metertree.rules.yml"
    settings.write_text(
        (DEPLOY / "prometheus/prometheus.yml").read_text().replace("/etc/prometheus", str(rules.parent))
    )
    for words in (["check", "config", str(settings)], ["check", "rules", str(rules)]):
        done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_reads_what_a_program_shows() -> None:
    """Its only remark is that days are no seconds: node days are counted, not measured."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=shown_text(), capture_output=True, check=False, timeout=60
    )
    remarks = done.stderr.decode().splitlines()
    assert [one for one in remarks if 'use base unit "seconds" instead of "days"' not in one] == []


@needs_promtool
def test_alarms_are_raised_when_they_must_and_only_then() -> None:
    assert PROMTOOL is not None
    plays = DEPLOY / "prometheus/metertree.rules.test.yml"
    command = [PROMTOOL, "test", "rules", str(plays)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=plays.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_has_a_play() -> None:
    plays = yaml.safe_load((DEPLOY / "prometheus/metertree.rules.test.yml").read_text(encoding="utf-8"))
    raised = {one["alertname"] for play in plays["tests"] for one in play["alert_rule_test"] if one.get("exp_alerts")}
    assert raised == {rule["alert"] for rule in ALERTS}

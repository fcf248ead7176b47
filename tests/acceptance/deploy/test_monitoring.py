"""Alert rules and dashboard: accepted and tested by Prometheus' own tool, over metrics that a
running service exports.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.install_promtool import find
from tests.acceptance.deploy.promql import metrics, selectors
from tests.forks import Server
from tests.harness import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "granula.json"
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_SCRAPING = {"job", "instance"}
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Return the values of each label of each metric at /metrics of a running service."""
    server = Server("", tmp_path_factory.mktemp("service") / "storage").start()
    try:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).text
    finally:
        server.stop()
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        if not family.samples:  # no sample at the moment
            found[family.name] = {}
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def test_the_queue_has_a_series_for_every_priority_even_if_empty(
    exported: dict[str, dict[str, set[str]]],
) -> None:
    for name in ("granula_queue_depth", "granula_queued_jobs"):
        assert exported[name]["priority"] == {str(priority) for priority in range(11)}


def test_values_that_every_process_reads_from_the_database_are_never_summed() -> None:
    of_database = (
        "granula_jobs|granula_queued_jobs|granula_queue_depth|granula_oldest_waiting_seconds|granula_workers|"
        "granula_webhook_messages"
    )
    expressions = [*of_dashboard(), *(rule["expr"] for rule in RULES)]
    read = [
        expression for expression in expressions if re.search(rf"\b({of_database})\b", expression)
    ]
    assert len(read) > 5
    for expression in read:
        for found in re.finditer(rf"\b({of_database})\b", expression):
            assert not re.search(
                r"(sum|avg|count)( by \(\w+\))? ?\($", expression[: found.start()]
            ), expression


def promtool(*arguments: object) -> str:
    tool = find()
    if tool is None:
        pytest.fail("there is no promtool; run .venv/bin/python scripts/install_promtool.py")
    done = subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def of_dashboard() -> Iterator[str]:
    """Every expression of the dashboard."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"^label_values\((.*), \w+\)$", r"\1", variable["query"]["query"])


def test_the_rules_and_the_sample_configuration_are_valid(tmp_path: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "alerts.yml")
    promtool("check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    # Debian's promtool knows no discovery on Kubernetes; the rest of that example is checked.
    example = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.kubernetes.yml").read_text())
    (scraped,) = example["scrape_configs"]
    assert scraped.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(example))
    promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yml")


def test_each_alert_fires_exactly_when_it_should() -> None:
    tests = Path(__file__).with_name("alerts.test.yml")
    promtool("test", "rules", tests)
    tested = {
        case["alertname"]
        for group in yaml.safe_load(tests.read_text())["tests"]
        for case in group.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in RULES}, "each alert is seen to fire"


def test_the_expressions_of_the_dashboard_are_valid_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(of_dashboard())
    ]
    assert len(rules) > 10
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", file)


def test_every_metric_in_rules_and_dashboard_is_exported(
    exported: dict[str, dict[str, set[str]]],
) -> None:
    adapter = yaml.safe_load((DEPLOY / "prometheus" / "adapter-values.yaml").read_text())["rules"][
        "external"
    ]
    scaled_by = (rule["name"]["as"] for rule in adapter)
    for expression in [*of_dashboard(), *(rule["expr"] for rule in RULES), *scaled_by]:
        unknown = metrics(expression) - exported.keys() - OF_PROMETHEUS.keys()
        assert not unknown, f"nothing exports {unknown}, which is in {expression}"
        for name, label, operator, value in selectors(expression):
            labels = exported.get(name, {})
            if label in OF_SCRAPING or not labels:
                continue
            assert label in labels, f"{name} has no label {label}: {expression}"
            if operator in ("=", "=~") and not value.startswith("$"):
                assert set(value.split("|")) <= labels[label], (
                    f"{name} never has {label}={value}: {expression}"
                )


def test_every_alert_has_a_severity_and_a_section_that_says_what_to_do() -> None:
    sections: dict[str, Any] = dict(
        re.findall(
            r"^### (Granula\w+)\n\n([\s\S]*?)(?=\n#|\Z)",
            (ROOT / "docs" / "operations.md").read_text(),
            re.MULTILINE,
        )
    )
    assert list(sections) == [rule["alert"] for rule in RULES], (
        "docs/operations.md: a section for each alert, in their order"
    )
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert len(sections[rule["alert"]]) > 80, rule["alert"]


def test_the_dashboard_can_be_imported_and_its_panels_do_not_overlap() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert "id" not in dashboard, "Grafana would replace the dashboard that has this number"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", "each installation has its own"

"""The alert rules and the dashboard speak of metrics that there are, and of nothing else."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from payd.telemetry import Metrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RUNBOOK = ROOT / "docs" / "runbook.md"
#: Beside payd's own: of the process, and of the scraper.
OTHERS = {
    "up": {"job", "instance"},
    "process_start_time_seconds": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
}
#: What Prometheus adds to every series.
ADDED = {"job", "instance"}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((MONITORING / "payd.rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MONITORING / "payd.dashboard.json").read_text())
    return document


def expressions() -> Iterator[tuple[str, str]]:
    """Where, and what."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def exported() -> dict[str, set[str]]:
    """Every series with its labels: payd's own by the registry, a provider's by its README."""
    found = dict(OTHERS)
    for value in vars(Metrics("1")).values():
        if isinstance(value, MetricWrapperBase):
            labels = set(value._labelnames)
            if isinstance(value, Histogram):
                found |= {f"{value._name}_{part}": labels for part in ("count", "sum")}
                found[f"{value._name}_bucket"] = labels | {"le"}
            else:
                found[value._name + "_total" * isinstance(value, Counter)] = labels
    found["payd_build_info"] = {"version"}
    readme = (ROOT / "plugins/tempo_provider/README.md").read_text()
    return found | {name: set() for name in re.findall(r"`(payd_tempo_\w+)`", readme)}


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "args", "vector_selector", "vs", "param"):
        inner = getattr(node, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str | float | int):
                yield from selectors(one)


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_an_expression_is_sound_and_of_metrics_that_there_are(where: str, expression: str) -> None:
    found = list(selectors(promql_parser.parse(expression)))
    assert found, where
    for selector in found:
        assert selector.name in exported(), where
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert used <= exported()[selector.name] | ADDED, where


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_what_is_grouped_by_is_a_label_of_what_is_grouped(where: str, expression: str) -> None:
    labels = set().union(*(exported()[s.name] for s in selectors(promql_parser.parse(expression))))
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels | ADDED, where


def test_an_unknown_metric_would_be_noticed() -> None:
    [selector] = selectors(promql_parser.parse("max(rate(payd_nothing_total[5m])) > 0"))
    assert selector.name not in exported()


def test_every_metric_of_payd_is_on_the_dashboard_or_in_an_alert() -> None:
    used = {s.name for _, text in expressions() for s in selectors(promql_parser.parse(text))}
    unused = {
        name
        for name in exported()
        if name.startswith("payd_")
        and not name.endswith(("_count", "_sum"))
        and not name.startswith("payd_tempo_")
    } - used
    assert unused == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "description", "runbook"} <= rule["annotations"].keys()
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_for_no_other() -> None:
    headings = re.findall(r"^### (Payd\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in rules())


def test_each_section_of_an_alert_has_numbered_steps() -> None:
    sections = re.split(r"^(?:### Payd\w+\n)+", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert len(sections) > 20
    assert not [
        section[:60] for section in sections if not re.search(r"^1\. ", section, re.MULTILINE)
    ]


def test_the_runbooks_commands_get_every_file_that_the_units_give_payd(tmp_path: Path) -> None:
    """Without one of them `payd doctor` would have the reader make a key that exists."""
    units = (ROOT / "deploy" / "systemd").rglob("*")
    given = {
        name
        for unit in units
        if unit.is_file()
        for name in re.findall(r"^Environment=(\w+_FILE)=.", unit.read_text(), re.MULTILINE)
    }
    assert len(given) > 8
    [function] = re.findall(
        r"^payd\(\) \(\n.*?^\)\n", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL
    )
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (tmp_path / "payd.env").touch()
    for name in re.findall(r"(\w+):[A-Z_]+", function):
        (secrets / name).write_text("secret")
    script = function.replace("/etc/payd", str(tmp_path)).replace("/opt/payd/bin/payd", "env")
    ran = subprocess.run(
        ["sh", "-c", f"{script}payd"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    lines = dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)
    assert given <= lines.keys()
    for name in given - {one for one in given if one.startswith("GRPC_")} - {"DB_PASSWORD_FILE"}:
        assert Path(lines[name]).read_text() == "secret"


def test_the_runbook_names_panels_and_log_events_that_exist() -> None:
    text = RUNBOOK.read_text()
    titles = {panel["title"] for panel in dashboard()["panels"]}
    panels = re.findall(r'panel "([^"]+)"|Look at "([^"]+)"', text)
    assert len(panels) >= 5
    assert {first or second for first, second in panels} <= titles
    folders = ("payd", "plugins", "migrations", "deploy")
    code = "".join(
        path.read_text(errors="ignore")
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sql", ".yml") and "build" not in path.parts
    )
    commands = re.findall(r"grep (?:-E |-B 20 )?'?([a-z_|]+)'?`", text)
    events = {event for names in commands for event in names.split("|")}
    events |= set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    assert len(events) > 20
    assert not [event for event in sorted(events) if event not in code]


def test_panels_have_places_and_names_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in panels if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)

"""Rules, dashboards and the adapter's rules: they parse, name what there is, and alerts come when they should."""

import re
from pathlib import Path

import pytest

from tests.charts import promql
from tests.charts.exposed import exposed, vocabulary
from tests.charts.monitored import (
    DASHBOARDS,
    MANUAL,
    RULES,
    alerts,
    expressions,
    loaded,
    panels,
    rules,
    substituted,
    variables,
)

CASES = sorted((Path(__file__).parent / "monitoring").glob("*.yaml"))


# --- everything


def test_everything_that_is_asked_parses(tmp_path: Path) -> None:
    asked = dict(expressions())
    assert len(asked) > 60
    assert promql.check(asked, tmp_path)


def test_every_metric_is_told_by_a_program_with_the_labels_that_are_asked_for() -> None:
    told, values = exposed(), vocabulary()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = [(where, each) for where, expression in expressions() for each in promql.selectors(expression)]
    of_programs = [(where, each) for where, each in asked if each.metric not in recorded]
    assert not [f"{where}: {each}" for where, each in of_programs if each.metric not in told]
    assert not [f"{where}: {each}" for where, each in of_programs if not each.matchers.keys() <= told[each.metric]]
    for where, each in of_programs:
        for label, value in each.matchers.items():
            known = values.get((each.metric, label))
            assert known is None or set(value.split("|")) <= known, f"{where}: {each}"


def test_nothing_is_added_up_by_a_label_that_is_not_there() -> None:
    recorded = {rule["record"]: frozenset(promql.grouped(rule["expr"])) for rule in rules() if "record" in rule}
    told = {**exposed(), **recorded}
    for where, expression in expressions():
        there = [told[each.metric] for each in promql.selectors(expression)]
        assert promql.grouped(expression) <= frozenset().union(*there), where


# --- alerts


def test_rules_are_fit_for_a_prometheus_without_an_operator() -> None:
    assert promql.promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_alerts_and_recordings_do_what_their_cases_say(case: Path) -> None:
    assert promql.promtool("test", "rules", case)


@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_stays_quiet(name: str) -> None:
    """Quiet from beginning to end, while what it looks at is there."""
    asked = {each.metric for each in promql.selectors(flattened(alerts()[name]["expr"]))}
    fires, stays_quiet = False, False
    for case in (each for path in CASES for each in loaded(path)["tests"]):
        checks = [each["exp_alerts"] for each in case.get("alert_rule_test", ()) if each["alertname"] == name]
        fires |= any(checks)
        there = {series["series"].split("{")[0] for series in case["input_series"]}
        stays_quiet |= bool(checks) and not any(checks) and bool(asked & there)
    assert fires
    assert stays_quiet


def flattened(expression: str) -> str:
    """Return an expression with what is recorded written out."""
    for rule in rules():
        if "record" in rule:
            expression = expression.replace(rule["record"], f"({rule['expr']})")
    return expression


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"


def test_the_manual_has_every_alert_and_no_other() -> None:
    _, chapter = MANUAL.read_text().split("\n## Alerts\n")
    assert re.findall(r"(?m)^### (.*)$", chapter) == list(alerts())


# --- dashboards


@pytest.mark.parametrize("path", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def test_a_dashboard_can_be_read_by_whoever_has_not_made_it(path: Path) -> None:
    board = loaded(path)
    assert board["uid"] == path.stem
    assert board["schemaVersion"] >= 38, "that of Grafana 10"
    for panel in panels(path):
        assert panel["description"], panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            there = promql.grouped(flattened(target["expr"]))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= there, target["legendFormat"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def test_a_dashboard_asks_for_what_was_chosen(path: Path) -> None:
    assert list(variables(path)) == ["datasource", "site", "namespace"]
    for panel in panels(path):
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            for each in promql.selectors(substituted(target["expr"])):
                chosen = {"site": ".*", "namespace": "grid"}
                assert chosen.items() <= each.matchers.items(), f"{panel['title']}: {each.metric}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def test_panels_do_not_lie_over_each_other(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in loaded(path)["panels"]:
        at = panel["gridPos"]
        cells = [(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])]
        assert not [taken[cell] for cell in cells if cell in taken], panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= dict.fromkeys(cells, panel["title"])
    numbers = [panel["id"] for panel in loaded(path)["panels"]]
    assert len(set(numbers)) == len(numbers)

"""What the umbrella chart makes of the files for monitoring, and what is left to those who do it by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import promql, rendering
from tests.charts.monitored import DASHBOARDS, FILES, MANUAL, RULES, loaded
from tests.charts.objects import of_kind
from tests.tools.programs import Verdict

Json = dict[str, Any]

PARTS = ("ttscache", "squid", "cvmfs", "wn", "xcache", "xrootd", "htcondor")


def rendered(monitoring: Json, helm: int = 3) -> list[Json]:
    """Return the objects of a site without parts."""
    return rendering.render(
        rendering.UMBRELLA, {"parts": dict.fromkeys(PARTS, False), "monitoring": monitoring}, helm=helm
    )


def test_nothing_is_rendered_that_was_not_asked_for() -> None:
    assert not of_kind(rendered({}), "PrometheusRule", "ConfigMap")


@pytest.mark.parametrize("helm", rendering.HELMS)
def test_rules_are_those_of_the_files(helm: int) -> None:
    (rule,) = of_kind(rendered({"rules": {"enabled": True, "labels": {"release": "p"}}}, helm), "PrometheusRule")
    assert rule["spec"]["groups"] == [group for path in RULES for group in loaded(path)["groups"]]
    assert rule["metadata"]["labels"]["release"] == "p"
    assert rule["metadata"]["namespace"] == rendering.NAMESPACE


@pytest.mark.parametrize("helm", rendering.HELMS)
def test_dashboards_are_those_of_the_files(helm: int) -> None:
    found = of_kind(rendered({"dashboards": {"enabled": True}}, helm), "ConfigMap")
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in found} == {"1"}
    data = {name: text for each in found for name, text in each["data"].items()}
    assert {name: json.loads(text) for name, text in data.items()} == {path.name: loaded(path) for path in DASHBOARDS}


def test_the_adapters_rules_are_those_of_the_file() -> None:
    (found,) = of_kind(rendered({"adapter": {"enabled": True}}), "ConfigMap")
    assert found["data"] == {"config.yaml": (FILES / "adapter.yaml").read_text()}


# --- the adapter

# as PodMonitors' relabelling leaves them; two pods of a Deployment that is rolled out tell the same
SERIES = {
    'stateless_site_wanted_cores{namespace="grid", service="wn-demand", pod="old", job="grid/wn-demand"}': "40x20",
    'stateless_site_wanted_cores{namespace="grid", service="wn-demand", pod="new", job="grid/wn-demand"}': "40x20",
    'stateless_site_wanted_cores{namespace="other", service="wn-demand", pod="x", job="other/wn-demand"}': "7x20",
    'xrootd_network_bytes_total{namespace="grid", pod="xcache-0", direction="out", job="grid/xcache"}': "0+6000x20",
    'xrootd_network_bytes_total{namespace="grid", pod="xcache-0", direction="in", job="grid/xcache"}': "0+60x20",
    'xrootd_network_bytes_total{namespace="grid", pod="xcache-1", direction="out", job="grid/xcache"}': "0+600x20",
}


@pytest.mark.parametrize(
    "metric,resource,names,expected",
    [
        ("stateless_site_wanted_cores", "service", "wn-demand", {"wn-demand": 40}),
        ("xrootd_network_out_bytes_per_second", "pod", "xcache-0|xcache-1", {"xcache-0": 100, "xcache-1": 10}),
    ],
    ids=["wanted", "out"],
)
def test_an_autoscaler_is_told_the_right_number(
    metric: str, resource: str, names: str, expected: dict[str, int], tmp_path: Path
) -> None:
    (rule,) = [each for each in loaded(FILES / "adapter.yaml")["rules"] if _told_as(each) == metric]
    assert rule["resources"]["overrides"] == {"namespace": {"resource": "namespace"}, resource: {"resource": resource}}
    (series,) = promql.selectors(rule["seriesQuery"])
    assert {each: series.matchers[each] for each in ("namespace", resource)} == {"namespace": "", resource: ""}
    asked = _asked(rule, series.metric, f'namespace="grid",{resource}=~"{names}"', resource)
    samples = [{"labels": f'{{{resource}="{name}"}}', "value": value} for name, value in expected.items()]
    assert _answers(asked, samples, tmp_path)


def _told_as(rule: Json) -> str:
    return str(rule["name"]["as"]) if "name" in rule else promql.selectors(rule["seriesQuery"])[0].metric


def _asked(rule: Json, series: str, matchers: str, group: str) -> str:
    """Fill in a query as the adapter does."""
    query = str(rule["metricsQuery"])
    for name, value in (("Series", series), ("LabelMatchers", matchers), ("GroupBy", group)):
        query = query.replace(f"<<.{name}>>", value)
    assert "<<" not in query
    return query


def _answers(expression: str, samples: list[Json], folder: Path) -> Verdict:
    """Ask promtool whether an expression comes to these after a quarter of an hour."""
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in SERIES.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": "15m", "exp_samples": samples}],
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps({"tests": [test]}))
    return promql.promtool("test", "rules", file)


# --- without the operator

_META = "__meta_kubernetes_"


def test_the_manuals_scrape_configuration_gives_the_labels_that_rules_go_by(tmp_path: Path) -> None:
    """With targets that are written down in place of a cluster's, which Debian's Prometheus cannot ask for them."""
    (text,) = re.findall(r"(?ms)^```yaml\n(scrape_configs:\n.*?)^```", MANUAL.read_text())
    (job,) = yaml.safe_load(text)["scrape_configs"]
    del job["kubernetes_sd_configs"], job["tls_config"]
    job["static_configs"] = [
        _target("wn", "demand", "demand"),
        _target("wn", "demand", "credentials"),
        _target("ttscache", "daemon", "https"),
        _target("squid", "squid", "http"),
        _target("shop", "web", "metrics", part_of="shop"),
    ]
    file = tmp_path / "prometheus.yaml"
    file.write_text(json.dumps({"scrape_configs": [job]}))
    answer = promql.promtool("check", "service-discovery", "--timeout=1s", file, job["job_name"])
    assert answer
    kept = [each["labels"] for each in json.loads(answer.text) if each["labels"]]
    found = {each["instance"].split(":")[0]: each for each in kept}
    assert found.keys() == {"demand", "credentials", "https"}
    common = {"namespace": "grid", "pod": "wn-demand-x", "job": "grid/wn-demand", "__scheme__": "http"}
    assert (common | {"service": "wn-demand"}).items() <= found["demand"].items()
    assert common.items() <= found["credentials"].items()
    assert "service" not in found["credentials"]
    assert found["https"]["__scheme__"] == "https"


def _target(name: str, component: str, port: str, part_of: str = "stateless-site") -> Json:
    meta = {"namespace": "grid", "pod_name": f"{name}-{component}-x", "pod_container_port_name": port}
    label = "pod_label_app_kubernetes_io_"
    meta |= {f"{label}part_of": part_of, f"{label}name": name, f"{label}component": component}
    return {"targets": [port], "labels": {_META + key: value for key, value in meta.items()}}

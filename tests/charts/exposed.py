"""What there is to read for Prometheus: each metric with its labels, from the programs that tell it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from k8s_manifests.exporters import condor, xrootd
from ttscache.broker.readiness import Status
from ttscache.metrics import REGISTRY
from ttscache.server.monitoring import _Now
from ttscache.sidecar import health
from ttscache.sidecar.order import Item, Kind, Outcome, State
from ttscache.sidecar.schedule import Plan
from ttscache.sidecar.state import Kept

# what Prometheus and its operator put on the series of a target; `site` is of those who gather several clusters
TARGET = frozenset({"site", "namespace", "pod", "service", "job", "instance", "container", "endpoint"})

# Prometheus's own, and kube-state-metrics' (its docs/metrics), which no part of the site is
OTHERS = {
    "up": set[str](),
    "ALERTS": {"alertname", "alertstate", "severity"},
    "kube_daemonset_status_desired_number_scheduled": {"daemonset"},
    "kube_daemonset_status_number_ready": {"daemonset"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_min_replicas": {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_current_replicas": {"horizontalpodautoscaler"},
}

_SQUID = Path(__file__).parent / "monitoring" / "squid.prom"
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def exposed() -> Mapping[str, frozenset[str]]:
    """Return the labels of each metric, with those that Prometheus adds."""
    found: dict[str, set[str]] = {}
    told = (_daemon(), _sidecar(), _pool(), _server(), _SQUID.read_text())
    for name, labels in (*_counted(), *(each for text in told for each in _read(text))):
        found.setdefault(name, set()).update(labels)
    return {name: frozenset(labels) | TARGET for name, labels in (found | OTHERS).items()}


def vocabulary() -> Mapping[tuple[str, str], set[str]]:
    """Return the values of labels whose every value is always told: by metric and label."""
    found: dict[tuple[str, str], set[str]] = {}
    for text in (_pool(), _server()):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                for label, value in sample.labels.items():
                    found.setdefault((sample.name, label), set()).add(value)
    return found


def _counted() -> Iterator[tuple[str, set[str]]]:
    """Go through the daemon's registry: a counter that has not counted yet has no sample that would tell its labels."""
    for collector in list(REGISTRY._collector_to_names):
        metric = cast("MetricWrapperBase", collector)
        for suffix in _SUFFIXES[str(metric._type)]:
            yield metric._name + suffix, {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}


def _daemon() -> str:
    """Return the daemon's figures of the moment, each with a label's value."""
    one = {"any": 1}
    told = ("sessions", "key_pools", "waiting", "circuits")
    figures = SimpleNamespace(**{name: lambda: one for name in told}, renewals_planned=lambda: 1)
    current = SimpleNamespace(services=SimpleNamespace(figures=figures), in_flight=1, draining=False)
    return _text(_Now(cast("Any", current), {"store": Status.OK}))


def _sidecar() -> str:
    outcome = Outcome(State.RENEWED, written_at=1.0, not_after=2.0)
    return health._metrics([Kept(Item(Kind.PROXY, Path("/x")), Plan(0.0, 0.0), outcome)])[2]


def _pool() -> str:
    """Return what the exporter of a pool tells when its collector has answered."""
    watch = condor.Watch(("any",), lambda _: condor.numbers([], []), forget=60.0)
    watch.turn()
    return _text(watch)


def _server() -> str:
    """Return what the exporter beside XRootD tells when server and manager have reported."""
    watch = xrootd.Watch("/", cache=True, stale=60.0)
    for program, part in (("xrootd", "link"), ("cmsd", "cmsm")):
        report = f'<statistics pgm="{program}" tos="1"><stats id="{part}"><node>1</node></stats></statistics>'
        watch.take(report.encode())
    return _text(watch)


def _text(collector: Collector) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def _read(text: str) -> Iterator[tuple[str, set[str]]]:
    for family in text_string_to_metric_families(text):
        yield from ((sample.name, set(sample.labels)) for sample in family.samples)

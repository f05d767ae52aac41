"""/metrics: what was counted, and how the rooms are filled now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ttscache.broker.figures import Figures
from ttscache.broker.readiness import Status
from ttscache.metrics import REGISTRY
from ttscache.server.answers import NO_STORE
from ttscache.server.services import CURRENT, Current

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# so that a threshold says it: below 1 something is wrong, 0 nothing goes
_STATUSES = {Status.OK: 1.0, Status.DEGRADED: 0.5, Status.DOWN: 0.0}


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [web.get("/metrics", metrics)]


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer in the text format of Prometheus."""
    current = request.app[CURRENT]
    dependencies = await current.services.readiness.dependencies()
    now = CollectorRegistry()
    now.register(_Now(current, dependencies))
    body = generate_latest(REGISTRY) + generate_latest(now)
    return web.Response(body=body, headers={**NO_STORE, "Content-Type": _TYPE})


class _Now(Collector):
    """The figures of this moment."""

    def __init__(self, current: Current, dependencies: Mapping[str, Status]) -> None:
        self._current = current
        self._dependencies = dependencies

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures: Figures = self._current.services.figures
        yield _gauge(
            "ttscache_dependency_up",
            "How a dependency is: 1 ok, 0.5 degraded, 0 down.",
            "dependency",
            {name: _STATUSES[status] for name, status in self._dependencies.items()},
        )
        yield _gauge("ttscache_sessions", "Sessions that this process has in memory.", "state", figures.sessions())
        yield _gauge("ttscache_keys_ready", "Keys that are made ahead.", "kind", figures.key_pools())
        yield _gauge("ttscache_issuer_waiting", "Who wait for their turn at an issuer.", "issuer", figures.waiting())
        yield _gauge(
            "ttscache_circuit_closed", "1 while the last call to an issuer did not fail.", "issuer", figures.circuits()
        )
        yield GaugeMetricFamily(
            "ttscache_renewals_planned", "What is planned to be renewed.", figures.renewals_planned()
        )
        yield GaugeMetricFamily("ttscache_in_flight", "Requests under way.", self._current.in_flight)
        yield GaugeMetricFamily("ttscache_draining", "1 while the daemon ends.", self._current.draining)
        yield _gauge("ttscache_build", "1, for the version that runs.", "version", {version("ttscache"): 1})


def _gauge(name: str, told: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=[label])
    for each, value in values.items():
        family.add_metric([each], float(value))
    return family

"""/metrics: figures that tell the truth, in names that stay."""

from prometheus_client.parser import text_string_to_metric_families

from tests.tools.daemons import Daemon, LiveIam
from tests.tools.http import Web
from ttscache import metrics

NAMES = {
    "ttscache_requests", "ttscache_refusals", "ttscache_issued", "ttscache_cache", "ttscache_renewals",
    "ttscache_flights_joined", "ttscache_sessions_opened", "ttscache_sessions_refreshed", "ttscache_sessions_ended",
    "ttscache_upstream_seconds",
}  # fmt: skip
GAUGES = {
    "ttscache_dependency_up", "ttscache_sessions", "ttscache_keys_ready", "ttscache_issuer_waiting",
    "ttscache_circuit_closed", "ttscache_renewals_planned", "ttscache_in_flight", "ttscache_draining", "ttscache_build",
}  # fmt: skip


def samples(web: Web) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and its labels' values."""
    answer = web.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_the_names_are_those_that_dashboards_know(web: Web) -> None:
    families = {each.name for each in text_string_to_metric_families(web.get("/metrics").body.decode())}
    assert families == NAMES | GAUGES
    assert {each.name for each in metrics.REGISTRY.collect()} == NAMES


def test_what_is_asked_is_counted(web: Web, token: str) -> None:
    web.get("/v1/proxy", token)
    before = samples(web)
    for _ in range(3):
        assert web.get("/v1/proxy", token).status == 200
    assert web.post("/v1/proxy", {"profile": "ec", "lifetime": 1200}, token).status == 200
    assert web.get("/v1/proxy", "no token").status == 401
    after = samples(web)

    def grown(name: str, *labels: str) -> float:
        return after[name, labels] - before.get((name, labels), 0.0)

    assert grown("ttscache_cache_total", "fresh") == 3
    assert grown("ttscache_cache_total", "miss") == 1
    assert grown("ttscache_issued_total", "ec") == 1
    assert grown("ttscache_requests_total", "/v1/proxy", "200") == 4
    assert grown("ttscache_requests_total", "/v1/proxy", "401") == 1
    assert grown("ttscache_refusals_total", "token_malformed") == 1


def test_what_is_asked_of_the_issuer_is_timed(web: Web, iam: LiveIam) -> None:
    assert web.get("/v1/proxy", iam.token("joe")).status == 200
    found = samples(web)
    assert found["ttscache_upstream_seconds_count", ("token-exchange", "sandbox", "granted")] >= 1
    assert found["ttscache_sessions_opened_total", ("sandbox",)] >= 1
    assert found["ttscache_sessions", ("active",)] >= 1
    assert found["ttscache_circuit_closed", ("sandbox",)] == 1
    assert found["ttscache_dependency_up", ("store",)] == 1
    assert found["ttscache_keys_ready", ("rsa-2048",)] <= 16
    assert found["ttscache_in_flight", ()] == 1, "the one that asks"


def test_no_label_is_what_a_caller_sent(daemon: Daemon, web: Web, token: str) -> None:
    web.get("/planted-path", token)
    web.get("/v1/proxy?planted=1", token)
    web.get("/v1/proxy", "planted.planted.planted")
    told = web.get("/metrics").body.decode()
    assert "planted" not in told
    assert "jane" not in told
    assert token[:16] not in told

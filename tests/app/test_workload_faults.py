"""What changes under pods: clusters that are away, keys that are rotated, pods that go, sessions that are revoked."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.app.acts import act, revoke_standing
from tests.app.clock import Clock, serve_by
from tests.app.workloads import OWN, Edit, Farm, closed_in, farm, write_own_token
from tests.tools.cluster import JWKS, REVIEWS, Fault
from tests.tools.daemons import change, serve
from tests.tools.programs import wait_for
from tests.tools.serviceaccounts import username

# how long a good word of the cluster's is remembered, and how often its keys are asked for at most
REVIEWED, WINDOW = 11, 31


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Farm]:
    with farm(tmp_path) as running, closed_in(running):
        yield running


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def by_clock(tmp_path: Path, clock: Clock) -> Iterator[Farm]:
    with farm(tmp_path, run=partial(serve_by, clock)) as running, closed_in(running):
        yield running


@pytest.fixture
def reviewing(tmp_path: Path, clock: Clock) -> Iterator[Farm]:
    """One that asks `tier3` of each token."""
    with farm(tmp_path, review, partial(serve_by, clock)) as running, closed_in(running):
        running.tier3.reviewer(*OWN)
        yield running


def review(document: dict[str, Any]) -> None:
    document["issuers"][1]["api"]["review"] = True


def gone(site: Farm, token: str) -> bool:
    answer = site.proxy(token)
    assert answer.status == 200 or (answer.status, answer.code) == (401, "token_expired")
    return answer.status == 401


def state(site: Farm, dependency: str) -> str:
    return str(site.daemon.web.get("/readyz").json["dependencies"][dependency])


class TestReview:
    def test_a_pod_that_is_gone(self, reviewing: Farm, clock: Clock) -> None:
        token, other = reviewing.token(pod="wn-1"), reviewing.token(pod="wn-2")
        for each in (token, other):
            assert not gone(reviewing, each)
        reviewing.tier3.delete_pod("cms-site", "wn-1")
        clock.jump_to(REVIEWED)
        assert gone(reviewing, token)
        assert not gone(reviewing, other)
        assert reviewing.refused(token, "?lifetime=3600") == (401, "token_expired")
        # another of its name
        assert not gone(reviewing, reviewing.token(pod="wn-1"))
        assert gone(reviewing, token)

    def test_a_pod_that_nobody_asked_of_before(self, reviewing: Farm) -> None:
        token = reviewing.token(pod="wn-1")
        reviewing.tier3.delete_pod("cms-site", "wn-1")
        assert gone(reviewing, token)
        assert "its pod or service account is gone" in reviewing.proxy(token).json["detail"]

    def test_a_service_account_that_is_gone(self, reviewing: Farm) -> None:
        token = reviewing.token()
        reviewing.tier3.delete_service_account("cms-site", "wn")
        assert gone(reviewing, token)

    def test_one_review_for_all_that_a_pod_comes_for(self, reviewing: Farm) -> None:
        token = reviewing.token()
        for query in ("", "?lifetime=3600", "?lifetime=7200"):
            reviewing.served(token, query)
        assert reviewing.tier3.seen[REVIEWS] == 1

    def test_no_review_for_whom_no_rule_is(self, reviewing: Farm) -> None:
        assert reviewing.refused(reviewing.token("default")) == (403, "mapping_refused")
        assert reviewing.refused(reviewing.token(pod=None)) == (401, "token_malformed")
        assert reviewing.tier3.seen[REVIEWS] == 0

    @pytest.mark.parametrize("fault", ["slow", "error", "html", None])
    def test_the_api_server_is_away(self, reviewing: Farm, clock: Clock, fault: Fault | None) -> None:
        change(reviewing.site, lambda document: document["server"].update(deadline="2s"))
        assert reviewing.daemon.reload()["event"] == "reloaded"
        token = reviewing.token()
        reviewing.served(token)
        if fault is None:
            reviewing.tier3.stop()
        reviewing.tier3.fault = fault
        reviewing.served(token)  # remembered
        clock.jump_to(REVIEWED)
        answer = reviewing.proxy(token)
        assert (answer.status, answer.code) == (503, "issuer_unreachable"), answer.body
        assert int(answer.headers["Retry-After"]) >= 1
        assert "API server of cluster 'tier3'" in answer.json["detail"]
        assert reviewing.proxy(reviewing.iam.token()).status == 200
        reviewing.tier3.fault = None
        if fault is None:
            reviewing.tier3.start()
        clock.jump_to(2 * REVIEWED)
        reviewing.served(token)

    def test_the_daemon_may_not_review(self, reviewing: Farm) -> None:
        token = reviewing.token()
        write_own_token(reviewing.site, reviewing.tier3, audiences=["https://other.example"])
        answer = reviewing.proxy(token)
        assert (answer.status, answer.code) == (503, "issuer_unreachable")
        assert "system:auth-delegator" in answer.json["detail"]
        (reviewing.site.directory / "own.token").unlink()
        wait_for(
            lambda: "own token cannot be read" in reviewing.proxy(token).json["detail"] or None,
            reviewing.daemon.server.output,
        )
        write_own_token(reviewing.site, reviewing.tier3)
        wait_for(lambda: reviewing.proxy(token).status == 200 or None, reviewing.daemon.server.output)


class TestCluster:
    def test_away_without_review(self, site: Farm) -> None:
        known = site.token(pod="wn-1")
        site.served(known)
        site.tier3.stop()
        served = site.served(known)
        # keys are known for two days
        assert site.served(site.token(pod="wn-2")) == served
        assert site.served(site.token(pod="wn-3"), "?lifetime=3600")["profile"] == "pilot"
        wait_for(lambda: state(site, "issuer:tier3") == "degraded" or None, site.daemon.server.output)

    def test_away_from_the_start(self, site: Farm, tmp_path: Path) -> None:
        assert site.daemon.stop() == 0
        site.tier3.stop()
        (tmp_path / "second").mkdir()
        with serve(site.site, tmp_path / "second") as second:
            later = replace(site, daemon=second)
            assert state(later, "issuer:tier3") == "down"
            answer = later.proxy(later.token())
            assert (answer.status, answer.code) == (503, "issuer_unreachable")
            assert int(answer.headers["Retry-After"]) >= 1
            told = later.exchanged(later.token(), "urn:ttscache:params:oauth:token-type:x509-proxy")
            assert (told.status, told.json["error"], told.code) == (
                503,
                "temporarily_unavailable",
                "issuer_unreachable",
            )
            assert later.proxy(later.iam.token()).status == 200
            later.tier3.start()
            wait_for(lambda: later.proxy(later.token()).status == 200 or None, second.server.output)

    def test_the_daemon_s_own_token_comes_later_and_is_renewed(self, by_clock: Farm, clock: Clock) -> None:
        own = by_clock.site.directory / "own.token"
        first = by_clock.noted(own.read_text())
        by_clock.served(by_clock.token())
        by_clock.tier3.rotate_keys(keep_old=False)  # the daemon's own token is as bad as the others now
        clock.jump_to(WINDOW)
        assert by_clock.refused(by_clock.token()) == (503, "issuer_unreachable")
        write_own_token(by_clock.site, by_clock.tier3)
        assert own.read_text() != first
        wait_for(lambda: by_clock.proxy(by_clock.token()).status == 200 or None, by_clock.daemon.server.output)

    def test_rotated_keys_are_learnt(self, by_clock: Farm, clock: Clock) -> None:
        old = by_clock.token()
        by_clock.served(old)
        by_clock.tier3.rotate_keys()
        clock.jump_to(WINDOW)
        before = by_clock.tier3.seen[JWKS]
        by_clock.served(by_clock.token(pod="wn-1"))
        assert by_clock.tier3.seen[JWKS] == before + 1
        by_clock.served(old)

    def test_a_removed_key_is_good_for_nothing(self, by_clock: Farm, clock: Clock) -> None:
        old = by_clock.token()
        by_clock.served(old)
        by_clock.tier3.rotate_keys(keep_old=False)
        write_own_token(by_clock.site, by_clock.tier3)
        clock.jump_to(WINDOW)
        by_clock.served(by_clock.token(pod="wn-1"))
        assert by_clock.refused(old) == (401, "token_signature")

    def test_who_shows_another_s_certificate(self, tmp_path: Path) -> None:
        with farm(tmp_path, distrusting) as site, closed_in(site):
            assert site.refused(site.token()) == (503, "issuer_unreachable")
            assert "not trusted" in site.proxy(site.token()).json["detail"]
            assert not site.tier3.seen, "nor is it shown the daemon's token"

    def test_two_clusters_are_two_circuits(self, site: Farm) -> None:
        site.tier3.stop()
        audiences = ["https://ttscache.example/opportunistic"]
        site.served(site.noted(site.opportunistic.token("cms-site", "wn", pod="wn-0", audiences=audiences)))


class TestSession:
    def test_revoked_and_opened(self, site: Farm) -> None:
        token, payload = site.token(), site.token("payload")
        before = site.served(token)
        site.served(payload)
        revoke_standing(site.daemon, site.iam, "pilot")
        for presented in (token, site.token(pod="wn-new")):
            answer = site.proxy(presented)
            assert (answer.status, answer.code) == (403, "subject_revoked")
            assert "`ttscache session open pilot`" in answer.json["detail"]
            assert site.daemon.web.post("/v1/proxy", {}, presented).code == "subject_revoked"
            assert site.exchanged(presented, "urn:ttscache:params:oauth:token-type:condor-idtoken").status == 400
        site.served(payload)
        assert act(site.daemon, site.iam, "session", "open", "pilot")["opened"]["session"] == "pilot"
        after = site.served(token)
        assert after["serial"] != before["serial"]

    def test_whose_it_is_is_revoked(self, site: Farm) -> None:
        token, jane = site.token(), site.iam.config.user("jane").sub
        site.served(token)
        whose = ("--issuer", "sandbox", "--subject", jane)
        act(site.daemon, site.iam, "identity", "revoke", *whose)
        assert site.refused(token) == (403, "subject_revoked")
        site.served(site.token("payload"))
        act(site.daemon, site.iam, "identity", "restore", *whose)
        site.served(token)

    def test_a_service_account_is_revoked(self, site: Farm) -> None:
        """Whose token is presented can be revoked, too; others of the same session go on."""
        token = site.token()
        site.served(token)
        whose = ("--issuer", "tier3", "--subject", username("cms-site", "wn"))
        act(site.daemon, site.iam, "identity", "revoke", *whose)
        assert site.refused(token) == (403, "subject_revoked")
        site.served(site.token("any"))
        act(site.daemon, site.iam, "identity", "restore", *whose)
        site.served(token)

    def test_the_issuer_ends_it(self, tmp_path: Path) -> None:
        with farm(tmp_path, confirmed_often) as site, closed_in(site):
            token = site.token()
            site.served(token)
            site.iam.suspend("jane")
            wait_for(lambda: site.proxy(token).status != 200 or None, site.daemon.server.output)
            answer = site.proxy(token)
            assert (answer.status, answer.code) == (403, "exchange_refused")
            site.served(site.token("payload"))

    def test_its_issuer_is_away(self, site: Farm) -> None:
        """What was granted goes on, as for people."""
        token = site.token()
        site.served(token)
        site.daemon.wait_for_status("ok")
        site.iam.stop()
        site.served(token)
        site.served(site.token(pod="wn-new"), "?lifetime=3600")


def distrusting(document: dict[str, Any]) -> None:
    review(document)
    document["issuers"][1]["ca_file"] = "server-ca.pem"


def confirmed_often(document: dict[str, Any]) -> None:
    document["issuers"][0]["session"] = {"confirm": "1s"}


def test_each_pod_has_an_allowance_of_its_own(tmp_path: Path) -> None:
    edit: Edit = lambda document: document.update(limits={"identity": "2/10m"})  # noqa: E731
    with farm(tmp_path, edit) as site, closed_in(site):
        greedy, modest = site.token(pod="wn-1"), site.token(pod="wn-2")
        for lifetime in (3600, 3601):
            site.served(greedy, f"?lifetime={lifetime}")
        assert site.refused(greedy, "?lifetime=3602") == (429, "rate_limited")
        site.served(modest, "?lifetime=3603")
        # what is there is free
        site.served(greedy, "?lifetime=3603")

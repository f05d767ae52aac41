"""What old worker images are told when something is wrong: the truth, and never an expired proxy."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.app.acts import act, revoke_standing
from tests.app.clock import Clock, serve_by
from tests.app.legacy import PATHS, Old, old
from tests.faults.daemons import DAY
from tests.faults.test_clock import HOUR, JUMPS, within
from tests.tools.daemons import LiveIam
from tests.tools.http import Answer
from tests.tools.programs import wait_for
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.iam.faults import Fault

# how long members of groups are not asked for again, and how long old ones are told
FRESH, KEPT = 301, DAY + 1
# longer than a session is confirmed for here, and than a failed refresh is not tried again
MINUTE = 70


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Old]:
    with old(tmp_path) as running:
        yield running
        assert [line for line in running.daemon.log() if line["event"] == "request_failed"] == []


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def by_clock(tmp_path: Path, clock: Clock) -> Iterator[Old]:
    with old(tmp_path, run=partial(serve_by, clock)) as running:
        yield running


def members(iam: LiveIam) -> list[list[str]]:
    return sorted([user.name, user.sub] for user in iam.config.users)


def is_told(answer: Answer, code: str) -> bool:
    """Whether a failure is told as of old: a page, and a status that the images' scripts try again after."""
    assert answer.headers.get_content_type() == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"PRIVATE" not in answer.body
    return answer.status == 500 and code.encode() in answer.body


def confirmed_often(document: dict[str, Any]) -> None:
    document["issuers"][0]["session"] = {"confirm": "1s"}


class TestHealth:
    def test_well(self, cache: Old) -> None:
        assert cache.is_healthy()
        assert cache.curl("/health").body == b"OK"

    def test_the_issuer_is_down_from_the_start(self, tmp_path: Path) -> None:
        with old(tmp_path, up=False) as cache:
            assert is_told(cache.web.get("/health"), "issuer_unreachable")
            for path in PATHS:
                assert is_told(cache.web.get(path), "issuer_unreachable"), path
            cache.iam.start()
            wait_for(lambda: cache.is_healthy() or None, cache.daemon.server.output)
            cache.proxy()

    def test_the_issuer_goes_down_later(self, cache: Old) -> None:
        """There is a proxy, and one can still be made."""
        proxy = cache.proxy()
        cache.iam.stop()
        assert cache.is_healthy()
        assert cache.proxy() == proxy

    def test_the_session_is_revoked(self, cache: Old) -> None:
        before = cache.proxy()
        revoke_standing(cache.daemon, cache.iam, "pilot")
        for path in PATHS[:3]:
            assert is_told(cache.web.get(path), "subject_revoked"), path
        act(cache.daemon, cache.iam, "session", "open", "pilot")
        assert cache.is_healthy()
        assert cache.proxy() != before

    def test_whose_it_is_is_revoked(self, cache: Old) -> None:
        cache.proxy()
        act(cache.daemon, cache.iam, "identity", "revoke", "--issuer", "sandbox", "--subject", members(cache.iam)[1][1])
        assert not cache.is_healthy()
        assert is_told(cache.web.get("/get_proxy"), "subject_revoked")

    def test_the_issuer_ends_the_session(self, tmp_path: Path) -> None:
        with old(tmp_path, confirmed_often) as cache:
            cache.proxy()
            cache.iam.suspend("jane")
            wait_for(lambda: None if cache.is_healthy() else True, cache.daemon.server.output)
            assert is_told(cache.web.get("/get_proxy"), "exchange_refused")

    def test_no_token_for_the_session(self, tmp_path: Path) -> None:
        def elsewhere(document: dict[str, Any]) -> None:
            document["sessions"][0]["token"] = {"file": "comes.later"}

        with old(tmp_path, elsewhere) as cache:
            assert is_told(cache.web.get("/health"), "exchange_refused")

    def test_no_rule_gives_the_session_the_profile(self, tmp_path: Path) -> None:
        def narrowed(document: dict[str, Any]) -> None:
            for rule in document["mapping"]:
                rule["profiles"].remove("pilot")

        with old(tmp_path, narrowed) as cache:
            for path in PATHS[:3]:
                assert is_told(cache.web.get(path), "mapping_refused"), path

    def test_what_is_told_is_no_markup_of_others(self, tmp_path: Path) -> None:
        with old(tmp_path, up=False) as cache:
            body = cache.web.get("/health").body.decode()
            assert body.startswith("<html><body>issuer_unreachable: issuer &#x27;sandbox&#x27; ")


class TestMembers:
    def test_everybody_in_a_group(self, cache: Old) -> None:
        answer = cache.web.get("/get_dn_map")
        assert answer.headers.get_content_type() == "application/json"
        assert answer.json == {"userMap": members(cache.iam)}
        # once, for any number of callers
        assert cache.web.get("/get_dn_map").json == answer.json
        assert cache.iam._do(lambda: cache.iam.iam.counters.requests["groups"]) == 1

    def test_the_issuer_goes_down(self, by_clock: Old, clock: Clock) -> None:
        known = by_clock.web.get("/get_dn_map").json
        by_clock.iam.stop()
        for later in (0, FRESH, KEPT - 2 * FRESH):
            clock.jump_to(later)
            assert by_clock.web.get("/get_dn_map").json == known
        clock.jump_to(KEPT)
        assert by_clock.web.get("/get_dn_map").status == 500

    def test_who_has_joined_is_there_after_a_while(self, by_clock: Old, clock: Clock) -> None:
        joe = by_clock.iam.config.user("joe")
        accounts = by_clock.iam.iam.state.accounts
        account = by_clock.iam._do(lambda: accounts.pop("joe"))
        assert [joe.name, joe.sub] not in by_clock.web.get("/get_dn_map").json["userMap"]
        by_clock.iam._do(lambda: accounts.update(joe=account))
        assert [joe.name, joe.sub] not in by_clock.web.get("/get_dn_map").json["userMap"]
        clock.jump_to(FRESH)
        assert by_clock.web.get("/get_dn_map").json["userMap"] == members(by_clock.iam)

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(endpoint="groups", status=403, body="error"),
            Fault(endpoint="members", body="garbage"),
            Fault(endpoint="token", grant="client_credentials", status=400, body="error"),
            Fault(endpoint="token", grant="client_credentials", status=500, body="html"),
            Fault(endpoint="token", grant="client_credentials", answer={"access_token": 400}),
        ],
        ids=str,
    )
    def test_the_issuer_refuses(self, cache: Old, fault: Fault) -> None:
        cache.iam.fault(fault)
        answer = cache.web.get("/get_dn_map")
        assert is_told(answer, "")
        if fault.endpoint == "token":  # what failed is not made a token of
            assert cache.iam._do(lambda: cache.iam.iam.counters.requests["groups"]) == 0
        assert cache.is_healthy()
        cache.iam.clear_faults()
        wait_for(lambda: cache.web.get("/get_dn_map").status == 200 or None, cache.daemon.server.output)


class TestRefreshing:
    @pytest.mark.parametrize("fault", [{"status": 400, "body": "html"}, {"status": 500}, {"body": "empty"}], ids=str)
    def test_one_that_fails_is_made_no_token_of(self, tmp_path: Path, clock: Clock, fault: dict[str, Any]) -> None:
        with old(tmp_path, confirmed_each_minute, partial(serve_by, clock)) as cache:
            proxy = cache.proxy()
            cache.iam.fault(Fault(grant="refresh_token", times=1, **fault))
            clock.jump_to(MINUTE)
            wait_for_refreshes(cache, "grants", 1)
            clock.jump_to(2 * MINUTE)
            wait_for_refreshes(cache, "granted", 1)
            assert cache.proxy() == proxy
            assert cache.iam.grants["token_exchange"] == 1, "no session was lost by it"

    def test_single_use_refresh_tokens_outlast_restarts(self, tmp_path: Path, clock: Clock) -> None:
        """The token that the session began with is long gone; what counts is the last refresh token."""
        with old(tmp_path, confirmed_each_minute, partial(serve_by, clock)) as first:
            proxy = first.proxy()
            (first.site.directory / "pilot.token").unlink()
            clock.jump_to(MINUTE)
            wait_for_refreshes(first, "granted", 1)
            assert first.daemon.stop() == 0
            for number in (2, 3):
                where = tmp_path / f"{number}"
                where.mkdir()
                with serve_by(clock, first.site, where) as later:
                    cache = Old(later, first.iam)
                    clock.jump_to(number * MINUTE)
                    wait_for_refreshes(cache, "granted", number)
                    assert cache.proxy() == proxy
            assert first.iam.grants["token_exchange"] == 1


def confirmed_each_minute(document: dict[str, Any]) -> None:
    document["issuers"][0]["session"] = {"confirm": "1m"}


def wait_for_refreshes(cache: Old, counted: str, number: int) -> None:
    """Ask until the session was refreshed so often (`granted`), or that was tried (`grants`)."""

    def probe() -> bool | None:
        assert cache.is_healthy()
        count = cache.iam._do(lambda: int(getattr(cache.iam.iam.counters, counted)["refresh_token"]))
        return count >= number or None

    wait_for(probe, cache.daemon.server.output)


def long_lived() -> LiveIam:
    """Return an IAM whose tokens are good wherever a test sets the daemon's clock."""
    iam = LiveIam()
    behind = 15 * DAY
    iam.config = IamConfig(access_lifetime=30 * DAY, refresh_lifetime=90 * DAY, now=lambda: time.time() - behind)
    iam.iam = EmbeddedIam(iam.config)
    return iam


def short(document: dict[str, Any]) -> None:
    document["profiles"]["pilot"].update(lifetime="1h", min_lifetime="1m", max_lifetime="2h")
    document["issuers"][0]["session"] = {"confirm": "1h", "grace": "1h", "idle": "30d"}


def test_no_expired_proxy_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = Clock(tmp_path, timers=False)
    clock.jump_to(-10 * DAY)  # the CA is to be older than the farthest jump back
    with old(tmp_path, short, partial(serve_by, clock), iam=long_lived()) as cache:
        for jump in JUMPS:
            clock.jump_to(jump)
            for path in PATHS[:2]:
                answer = cache.web.get(path)
                assert answer.status == 200, (jump, answer.body)
                assert within(answer.body, time.time() + jump), jump
        assert cache.iam.grants["token_exchange"] == 1


def test_no_expired_proxy_while_the_issuer_is_down(tmp_path: Path) -> None:
    clock = Clock(tmp_path, timers=False)
    clock.jump_to(-10 * DAY)
    with old(tmp_path, short, partial(serve_by, clock), iam=long_lived()) as cache:
        clock.jump_to(0)
        cache.proxy()
        cache.iam.stop()
        for jump in (HOUR // 2, HOUR - 30, HOUR + 1, 2 * HOUR, 3 * DAY):
            clock.jump_to(jump)
            answer = cache.web.get("/cgi-bin/get_proxy")
            assert within(answer.body, time.time() + jump) if answer.status == 200 else is_told(answer, "_un"), jump
        assert not cache.is_healthy()
        assert is_told(cache.web.get("/get_proxy"), "_un")

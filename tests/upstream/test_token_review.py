"""What a cluster says of its pods' tokens, and what it takes for a word of the cluster's at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.net.loopback import Loopback
from tests.tools.cluster import REVIEWS, Cluster, Fault
from tests.tools.serviceaccounts import ServiceAccounts, username
from tests.upstream.desk import Witness
from ttscache.errors import AudienceMismatchError, IssuerUnreachableError, TokenError, TokenExpiredError
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.upstream import token_review
from ttscache.upstream.token_review import TokenReviews

OURS, ALSO_OURS, OTHERS = "https://ttscache.example", "ttscache", "https://other.example"
POD = username("cms-site", "wn")
PLANTED = "PLANTED-told-by-the-cluster"


class Bench:
    """Reviews by the API server at ``url``, as one of its service accounts."""

    def __init__(self, fetcher: Fetcher, url: str, own: Path, *audiences: str) -> None:
        self.reviews = TokenReviews("tier3", url, AuthorizedFetcher(fetcher, url, own), frozenset(audiences or {OURS}))

    async def require(self, token: str, subject: str = POD, seconds: float = 5.0) -> None:
        await self.reviews.require(token, subject, Deadline.after(seconds))

    async def refused(self, token: str, subject: str = POD) -> tuple[type[TokenError], str]:
        with pytest.raises(TokenError) as raised:
            await self.require(token, subject)
        assert self.reviews.circuit.closed  # a refusal is a proper answer
        return type(raised.value), raised.value.message

    async def unavailable(self, token: str = "x", seconds: float = 5.0) -> IssuerUnreachableError:
        with pytest.raises(IssuerUnreachableError) as raised:
            await self.require(token, seconds=seconds)
        assert raised.value.message.startswith("the API server of cluster 'tier3' ")
        return raised.value


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(guarded=True) as running:
        yield running


@pytest.fixture
async def fetcher(ca_file: Path) -> AsyncIterator[Fetcher]:
    made = Fetcher(ca_file)
    yield made
    await made.close()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.token"


@pytest.fixture
def bench(cluster: Cluster, fetcher: Fetcher, own: Path) -> Bench:
    own.write_text(cluster.reviewer("cms-site", "ttscache"))
    return Bench(fetcher, cluster.url, own, OURS, ALSO_OURS)


@pytest.fixture
def strange(stranger: Loopback, fetcher: Fetcher, own: Path) -> Bench:
    own.write_text("own")
    return Bench(fetcher, stranger.url, own)


def token(cluster: Cluster, *audiences: str) -> str:
    return cluster.token("cms-site", "wn", pod="wn-0", audiences=audiences or [OURS])


def write(file: Path, content: str) -> None:
    file.write_text(content)


def says(stranger: Loopback, status: Mapping[str, object] | None, code: int = 201) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": PLANTED}}
    stranger.say(REVIEWS, body if status is None else body | {"status": status}, status=code)


def good(**fields: object) -> dict[str, object]:
    return {"authenticated": True, "user": {"username": POD}, "audiences": [OURS], **fields}


class TestCluster:
    @pytest.mark.parametrize("audiences", [[OURS], [ALSO_OURS], [OTHERS, OURS], [OURS, ALSO_OURS]])
    async def test_a_good_token(self, bench: Bench, cluster: Cluster, audiences: list[str]) -> None:
        await bench.require(token(cluster, *audiences))
        assert cluster.seen == {REVIEWS: 1}

    async def test_a_pod_that_is_gone(self, bench: Bench, cluster: Cluster, witness: Witness) -> None:
        gone = token(cluster)
        cluster.delete_pod("cms-site", "wn-0")
        kind, message = await bench.refused(gone)
        assert kind is TokenExpiredError
        assert message == "cluster 'tier3' does not take the token any more: its pod or service account is gone"
        witness.saw_none_of((gone, "invalidated"))

    async def test_another_pod_of_the_same_name(self, bench: Bench, cluster: Cluster) -> None:
        of_the_first = token(cluster)
        cluster.delete_pod("cms-site", "wn-0")
        await bench.require(token(cluster))
        assert (await bench.refused(of_the_first))[0] is TokenExpiredError

    async def test_a_service_account_that_is_gone(self, bench: Bench, cluster: Cluster) -> None:
        gone = token(cluster)
        cluster.delete_service_account("cms-site", "wn")
        assert (await bench.refused(gone))[0] is TokenExpiredError

    @pytest.mark.parametrize("case", ["expired", "not ours", "the API server's", "garbage", "another cluster's"])
    async def test_what_the_cluster_does_not_take(self, bench: Bench, cluster: Cluster, case: str) -> None:
        tokens = {
            "expired": cluster.token("cms-site", "wn", pod="wn-0", audiences=[OURS], age=7200),
            "not ours": token(cluster, OTHERS),
            "the API server's": cluster.token("cms-site", "wn", pod="wn-0"),
            "garbage": "garbage",
            "another cluster's": ServiceAccounts().token("cms-site", "wn", pod="wn-0", audiences=[OURS]),
        }
        assert (await bench.refused(tokens[case]))[0] is TokenExpiredError

    async def test_somebody_else_s(self, bench: Bench, cluster: Cluster) -> None:
        kind, message = await bench.refused(token(cluster), username("cms-site", "payload"))
        assert (kind, message) == (TokenExpiredError, "cluster 'tier3' says that the token is somebody else's")

    @pytest.mark.parametrize("audiences", [[], [OURS]], ids=["unbound", "not for the API server"])
    async def test_the_daemon_may_not_review(
        self, bench: Bench, cluster: Cluster, own: Path, audiences: list[str]
    ) -> None:
        write(own, cluster.token("cms-site", "other", audiences=audiences))
        error = await bench.unavailable(token(cluster))
        assert error.message.endswith(
            "does not let this daemon review tokens: bind its service account to system:auth-delegator"
        )
        assert error.retry_after == 60.0

    async def test_the_daemon_s_own_token_is_renewed(self, bench: Bench, cluster: Cluster, own: Path) -> None:
        presented = token(cluster)
        write(own, "")
        assert "own token holds none" in (await bench.unavailable(presented)).message
        write(own, cluster.reviewer("cms-site", "ttscache"))
        # the backoff is short, and is waited for
        await bench.require(presented)

    @pytest.mark.parametrize("fault", ["error", "html", "slow"])
    async def test_faults_and_back(self, bench: Bench, cluster: Cluster, witness: Witness, fault: Fault) -> None:
        presented = token(cluster)
        cluster.fault = fault
        begun = asyncio.get_running_loop().time()
        error = await bench.unavailable(presented, seconds=0.5)
        assert asyncio.get_running_loop().time() - begun < 1.5
        witness.saw_none_of((presented, "etcdserver", "Sign in"), error)
        assert not bench.reviews.circuit.closed
        cluster.fault = None
        await bench.require(presented)
        assert bench.reviews.circuit.closed

    async def test_down_and_back(self, bench: Bench, cluster: Cluster) -> None:
        presented = token(cluster)
        cluster.stop()
        assert "does not answer" in (await bench.unavailable(presented)).message
        cluster.start()
        await bench.require(presented)


class TestMemory:
    async def test_a_good_word_is_remembered(self, bench: Bench, cluster: Cluster) -> None:
        presented = token(cluster)
        await bench.require(presented)
        cluster.delete_pod("cms-site", "wn-0")
        await bench.require(presented)
        cluster.stop()
        await bench.require(presented)
        assert cluster.seen[REVIEWS] == 1

    async def test_for_a_short_while(self, bench: Bench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        assert token_review._REMEMBERED_SECONDS <= 10.0
        monkeypatch.setattr(token_review, "_REMEMBERED_SECONDS", 0.0)
        presented = token(cluster)
        await bench.require(presented)
        cluster.delete_pod("cms-site", "wn-0")
        assert (await bench.refused(presented))[0] is TokenExpiredError

    async def test_a_refusal_is_not(self, bench: Bench, cluster: Cluster) -> None:
        presented = token(cluster)
        for _ in range(2):
            await bench.refused(presented, username("cms-site", "payload"))
        assert cluster.seen[REVIEWS] == 2
        await bench.require(presented)

    async def test_of_one_token_only(self, bench: Bench, cluster: Cluster) -> None:
        await bench.require(token(cluster))
        await bench.require(cluster.token("cms-site", "wn", pod="wn-0", audiences=[OURS], lifetime=1800))
        assert cluster.seen[REVIEWS] == 2

    async def test_it_is_bounded(self, strange: Bench, stranger: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(token_review, "_MAX_REMEMBERED", 2)
        says(stranger, good())
        for presented in ("a", "b", "c", "c", "b", "a"):
            await strange.require(presented)
        assert stranger.seen[REVIEWS] == 4  # the oldest was forgotten

    async def test_it_holds_no_token(self, strange: Bench, stranger: Loopback) -> None:
        says(stranger, good())
        await strange.require(PLANTED)
        assert PLANTED not in repr(vars(strange.reviews))


class TestOthers:
    async def test_what_is_asked(self, stranger: Loopback, fetcher: Fetcher, own: Path) -> None:
        asked: list[tuple[str, str | None, dict[str, Any]]] = []
        write(own, "own")

        async def record(request: web.Request) -> web.StreamResponse:
            asked.append((request.content_type, request.headers.get("Authorization"), await request.json()))
            return web.json_response({"status": good()})

        stranger.answers[REVIEWS] = record
        await Bench(fetcher, stranger.url + "/", own, "b", "a", OURS).require("presented")
        spec = {"token": "presented", "audiences": ["a", "b", OURS]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        assert asked == [("application/json", "Bearer own", review)]

    @pytest.mark.parametrize(
        "audiences", [None, [], [OTHERS], "", OURS, {OURS: 1}, [[OURS]], [None], [OURS + "/"], [OURS.upper()]], ids=str
    )
    async def test_audiences_that_are_not_ours(self, strange: Bench, stranger: Loopback, audiences: object) -> None:
        for status in (good(audiences=audiences), {k: v for k, v in good().items() if k != "audiences"}):
            says(stranger, status)
            kind, message = await strange.refused("x")
            assert kind is AudienceMismatchError
            assert message == "cluster 'tier3' does not confirm that the token is for this daemon"

    @pytest.mark.parametrize("authenticated", [False, None, 1, "true", [True], {}], ids=repr)
    async def test_what_is_no_yes(self, strange: Bench, stranger: Loopback, authenticated: object) -> None:
        says(stranger, good(authenticated=authenticated, error=PLANTED))
        assert (await strange.refused("x"))[0] is TokenExpiredError
        says(stranger, {"user": {}, "error": PLANTED})
        assert PLANTED not in (await strange.refused("x"))[1]

    @pytest.mark.parametrize(
        "user",
        [
            None,
            {},
            [],
            POD,
            {"username": [POD]},
            {"username": POD.upper()},
            {"username": POD + " "},
            {"username": username("cms-site", "wn2")},
            {"username": "kubernetes-admin", "groups": ["system:masters"]},
        ],
        ids=str,
    )
    async def test_who_is_another(self, strange: Bench, stranger: Loopback, user: object) -> None:
        says(stranger, good(user=user))
        kind, message = await strange.refused("x")
        assert (kind, "somebody else's" in message) == (TokenExpiredError, True)

    @pytest.mark.parametrize("code", [200, 201])
    async def test_both_statuses_of_a_yes(self, strange: Bench, stranger: Loopback, code: int) -> None:
        says(stranger, good(), code)
        await strange.require("x")

    @pytest.mark.parametrize(
        "body",
        [
            "",
            PLANTED,
            f"<html>{PLANTED}</html>",
            "[" * 100_000,
            b"\xff\xfe",
            "9" * 5000,
            "null",
            "[]",
            "{}",
            '{"status": null}',
            '{"status": "True"}',
            '{"status": true}',
            '{"status": [{"authenticated": true}]}',
            json.dumps({"kind": "Status", "status": "Success", "message": PLANTED}),
        ],
        ids=lambda body: str(body[:30]),
    )
    async def test_nonsense(self, strange: Bench, stranger: Loopback, witness: Witness, body: str | bytes) -> None:
        raw = body.encode() if isinstance(body, str) else body

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=raw, content_type="application/json")

        stranger.answers[REVIEWS] = answer
        error = await strange.unavailable("presented.token")
        assert error.message == "the API server of cluster 'tier3' answered with what is no TokenReview"
        assert not strange.reviews.circuit.closed
        witness.saw_none_of((PLANTED, "presented.token"), error)

    @pytest.mark.parametrize("code", [204, 302, 400, 404, 409, 422, 429, 500, 503])
    async def test_other_statuses_even_of_a_yes(
        self, strange: Bench, stranger: Loopback, witness: Witness, code: int
    ) -> None:
        says(stranger, good(), code)
        error = await strange.unavailable("presented.token")
        assert error.message == "the API server of cluster 'tier3' does not review tokens now"
        witness.saw_none_of((PLANTED, "presented.token"), error)

    @pytest.mark.parametrize("code", [401, 403])
    async def test_who_may_not_ask(self, strange: Bench, stranger: Loopback, witness: Witness, code: int) -> None:
        says(stranger, good(), code)
        error = await strange.unavailable("presented.token")
        assert "system:auth-delegator" in error.message
        witness.saw_none_of((PLANTED, "presented.token"), error)

    async def test_an_open_circuit_asks_nobody(self, strange: Bench, stranger: Loopback) -> None:
        stranger.say(REVIEWS, status=503, headers={"Retry-After": "20"})
        await strange.unavailable("x")
        error = await strange.unavailable("y")
        assert error.message == "the API server of cluster 'tier3' failed a moment ago"
        assert 15.0 < error.retry_after <= 20.0
        assert stranger.seen[REVIEWS] == 1

    async def test_a_caller_that_goes_away_fails_nobody(self, strange: Bench, stranger: Loopback) -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def held(_: web.Request) -> web.StreamResponse:
            asked.set()
            await go.wait()
            return web.json_response({"status": good()}, status=201)

        stranger.answers[REVIEWS] = held
        work: Awaitable[None] = strange.require("x")
        task = asyncio.ensure_future(work)
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go.set()
        assert strange.reviews.circuit.closed
        await strange.require("y")

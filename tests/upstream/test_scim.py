"""Reading the groups' members: from the embedded IAM, and from servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.net.loopback import Loopback
from tests.sandbox.iam_client import DEMO, USERS
from tests.upstream.desk import Desk, Witness, open_desk
from ttscache.errors import UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.sandbox.iam import Fault, User
from ttscache.upstream import scim
from ttscache.upstream.scim import GroupDirectory, Member

JANE, JOE, ADMIN = USERS
EVERYBODY = (Member("Ada Admin", ADMIN.sub), Member("Jane Doe", JANE.sub), Member("Joe Bloggs", JOE.sub))
PLANTED = "PLANTED-told-by-the-issuer"
Lister = Callable[[int, int], tuple[int, list[Any]]]


def directory(desk: Desk, url: str = "") -> GroupDirectory:
    return GroupDirectory("iam", url or desk.iam.url, desk.fetcher)


async def granted(desk: Desk, scope: str = "scim:read") -> str:
    answer = await desk.endpoint(scopes=(scope,)).client_credentials(Deadline.after(5.0))
    return answer.access_token


async def read(desk: Desk, where: GroupDirectory | None = None, seconds: float = 5.0) -> tuple[Member, ...]:
    return await (where or directory(desk)).members(await granted(desk), Deadline.after(seconds))


async def failure(where: GroupDirectory, witness: Witness, token: str = PLANTED) -> UpstreamUnavailableError:
    with pytest.raises(UpstreamUnavailableError) as raised:
        await where.members(token, Deadline.after(5.0))
    error = raised.value
    assert error.message.startswith("issuer 'iam' ")
    assert error.message.isprintable()
    assert (error.code, error.retry_after > 0) == ("upstream_unavailable", True)
    witness.saw_none_of((PLANTED, token), error)
    return error


def group(identifier: str, **more: object) -> dict[str, object]:
    return {"id": identifier, "displayName": identifier, **more}


def member(subject: str, display: object = "Somebody") -> dict[str, object]:
    return {"value": subject, "display": display}


def lists(server: Loopback, path: str, lister: Lister) -> None:
    """Answer with what ``lister`` makes of `startIndex` and `count`: the total and the page."""

    async def answer(request: web.Request) -> web.StreamResponse:
        start = int(request.query["startIndex"])
        total, page = lister(start, int(request.query["count"]))
        body = {"totalResults": total, "itemsPerPage": len(page), "startIndex": start, "Resources": page}
        return web.json_response(body, content_type="application/scim+json")

    server.answers[path] = answer


def tells(server: Loopback, *groups: dict[str, object], **members: list[dict[str, object]]) -> None:
    """List groups and their members, each on one page."""

    def whole(entries: list[dict[str, object]]) -> Lister:
        return lambda _start, _count: (len(entries), entries)

    lists(server, "/scim/Groups", whole(list(groups)))
    for identifier, entries in members.items():
        lists(server, f"/scim/Groups/{identifier}/members", whole(entries))


class TestIam:
    async def test_everybody_once_by_display_name(self, desk: Desk) -> None:
        assert await read(desk) == EVERYBODY
        assert desk.iam.counters.requests == {"token": 1, "groups": 1, "members": 3}

    async def test_pages_of_one(self, ca_file: Path) -> None:
        async with open_desk(ca_file, scim_page_limit=1) as desk:
            assert await read(desk) == EVERYBODY
            assert desk.iam.counters.requests == {"token": 1, "groups": 3, "members": 5}

    async def test_more_than_a_page(self, ca_file: Path) -> None:
        crowd = tuple(
            User(username=f"u{each}", sub=f"s{each}", name=f"N{each % 7}", email="", groups=("/a", "/a/b")[: each % 3])
            for each in range(330)
        )
        async with open_desk(ca_file, users=crowd) as desk:
            told = await read(desk)
            assert desk.iam.counters.requests == {"token": 1, "groups": 1, "members": 5}
        wanted = sorted((user.name, user.sub) for user in crowd if user.groups)
        assert [(each.display, each.subject) for each in told] == wanted

    async def test_nobody_is_in_a_group(self, ca_file: Path) -> None:
        async with open_desk(ca_file, users=()) as desk:
            assert await read(desk) == ()

    async def test_a_slash_less_in_the_url(self, desk: Desk) -> None:
        assert await read(desk, directory(desk, desk.iam.url.rstrip("/"))) == EVERYBODY

    @pytest.mark.parametrize("case", ["scope", "user", "unknown", "line"])
    async def test_a_token_that_is_refused(self, desk: Desk, witness: Witness, case: str) -> None:
        where = directory(desk)
        tokens = {
            "scope": await granted(desk, "wlcg"),
            "user": desk.iam.token_for("admin", client_id=DEMO.client_id),
            "unknown": "planted-unknown-token",
            "line": "planted\r\nX: y",
        }
        error = await failure(where, witness, tokens[case])
        if case == "line":
            assert desk.iam.counters.requests["groups"] == 0
            return
        assert error.message == (
            "issuer 'iam' does not let this daemon's client read groups; register the scope scim:read for it"
        )
        assert where.circuit.closed
        assert await read(desk, where) == EVERYBODY

    @pytest.mark.parametrize("endpoint", ["groups", "members"])
    @pytest.mark.parametrize(
        "fault",
        [
            {"delay": 20.0},
            {"body": "html"},
            {"body": "html", "status": 503},
            {"body": "empty"},
            {"body": "garbage"},
            {"body": "truncated"},
            {"body": "huge"},
            {"body": "endless"},
            {"status": 500},
            {"status": 404},
            {"status": 429, "retry_after": "1"},
            {"redirect": "https://evil.example/"},
            {"reset": True},
        ],
        ids=str,
    )
    async def test_faults_and_back(self, desk: Desk, witness: Witness, endpoint: Any, fault: dict[str, Any]) -> None:  # noqa: ANN401 - Fault's
        where, token = directory(desk), await granted(desk)
        desk.iam.faults.add(Fault(endpoint=endpoint, **fault))
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamUnavailableError, match=r"^issuer 'iam' \(groups\) ") as raised:
            await where.members(token, Deadline.after(0.5))
        assert asyncio.get_running_loop().time() - begun < 1.5
        witness.saw_none_of((token, "It broke", "evil"), raised.value)
        assert not where.circuit.closed
        desk.iam.faults.clear()
        # the backoff is short, and is waited for
        assert await read(desk, where) == EVERYBODY
        assert where.circuit.closed

    async def test_an_open_circuit_asks_nobody(self, desk: Desk, witness: Witness) -> None:
        where, token = directory(desk), await granted(desk)
        desk.iam.faults.add(Fault(endpoint="groups", status=503, retry_after="20", times=1))
        assert (await failure(where, witness, token)).retry_after == 20.0
        error = await failure(where, witness, token)
        assert error.message == "issuer 'iam' (groups) failed a moment ago"
        assert 15.0 < error.retry_after <= 20.0
        assert desk.iam.counters.requests["groups"] == 1


class TestOthers:
    async def test_what_is_asked(self, desk: Desk, stranger: Loopback) -> None:
        asked: list[tuple[str, str, str]] = []
        tells(stranger, group("a/../ü?"))

        async def record(request: web.Request) -> web.StreamResponse:
            asked.append((request.raw_path, request.headers["Authorization"], request.headers["Accept"]))
            return web.json_response({"totalResults": 0})

        path = "/scim/Groups/a/../ü?/members"
        stranger.answers[path] = record
        assert await directory(desk, stranger.url).members("t", Deadline.after(5.0)) == ()
        raw = "/scim/Groups/a%2F..%2F%C3%BC%3F/members?startIndex=1&count=100"
        assert asked == [(raw, "Bearer t", "application/scim+json")]

    async def test_members_within_the_group_are_not_relied_on(self, desk: Desk, stranger: Loopback) -> None:
        tells(stranger, group("g", members=[member("old")]), g=[member("new")])
        told = await directory(desk, stranger.url).members("t", Deadline.after(5.0))
        assert told == (Member("Somebody", "new"),)

    async def test_names_as_people_have_them(self, desk: Desk, stranger: Loopback) -> None:
        names = {"1": "É\u00a0B", "2": "\u202eevil\r\n", "3": None, "4": "", "5": " \t", "6": "x" * 999, "7": "\ud800"}
        tells(stranger, group("g"), g=[*(member(*each) for each in names.items()), {"value": "8"}])
        told = await directory(desk, stranger.url).members("t", Deadline.after(5.0))
        shown = {each.subject: each.display for each in told}
        assert shown == {
            "1": "É B", "2": "evil", "3": "3", "4": "4", "5": "5", "6": "x" * 255, "7": "7", "8": "8"
        }  # fmt: skip
        assert list(told) == sorted(told, key=lambda each: (each.display, each.subject))

    @pytest.mark.parametrize(
        "body",
        [
            PLANTED,
            f"<html>{PLANTED}</html>",
            "",
            "[" * 100_000,
            '{"totalResults": ' + "9" * 5000 + "}",
            '{"totalResults": NaN}',
            b"\xff\xfe\xfd",
            [PLANTED],
            None,
            {},
            {"totalResults": None},
            {"totalResults": "1", "Resources": []},
            {"totalResults": 1.0, "Resources": []},
            {"totalResults": True, "Resources": []},
            {"totalResults": 1, "Resources": {PLANTED: 1}},
            {"totalResults": 1, "Resources": PLANTED},
            {"totalResults": 1, "Resources": 5},
            {"totalResults": 1, "Resources": [PLANTED]},
            {"totalResults": 1, "Resources": [[PLANTED]]},
            {"totalResults": 1, "Resources": [None]},
            {"totalResults": 1, "Resources": [{}]},
            {"totalResults": 1, "startIndex": 2, "Resources": []},
            {"totalResults": 1, "startIndex": PLANTED, "Resources": []},
            *(
                {"totalResults": 1, "Resources": [{"id": bad, "value": bad}]}
                for bad in (None, 5, "", ["x"], {"x": 1}, "x\n", "\u202e", "x" * 256, "\ud800")
            ),
            *(
                {"totalResults": 1, "Resources": [{"id": "x", "value": "x", "displayName": bad, "display": bad}]}
                for bad in (5, [PLANTED], {PLANTED: 1}, True)
            ),
        ],
    )
    @pytest.mark.parametrize("path", ["/scim/Groups", "/scim/Groups/g/members"])
    async def test_nonsense(self, desk: Desk, stranger: Loopback, witness: Witness, path: str, body: object) -> None:
        tells(stranger, group("g"), g=[])
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=raw, content_type="application/scim+json")

        stranger.answers[path] = answer
        where = directory(desk, stranger.url)
        error = await failure(where, witness)
        assert error.message == "issuer 'iam' (groups) answered with what is no list"
        assert not where.circuit.closed

    @pytest.mark.parametrize("status, closed", [(401, True), (403, True), (406, False), (204, False), (500, False)])
    async def test_what_else_is_said_is_not_passed_on(
        self, desk: Desk, stranger: Loopback, witness: Witness, status: int, *, closed: bool
    ) -> None:
        headers = {"WWW-Authenticate": f'Bearer error="{PLANTED}"'}
        stranger.say("/scim/Groups", {"error": PLANTED, "totalResults": 0}, status=status, headers=headers)
        where = directory(desk, stranger.url)
        error = await failure(where, witness)
        assert ("scim:read" in error.message) is closed
        assert where.circuit.closed is closed

    @pytest.mark.parametrize("path", ["/scim/Groups", "/scim/Groups/g/members"])
    async def test_endless_lists_of_ever_new_entries(
        self, desk: Desk, stranger: Loopback, witness: Witness, path: str
    ) -> None:
        def ever_more(start: int, _count: int) -> tuple[int, list[Any]]:
            ids = [f"x{each}" for each in range(start, start + 3000)]
            return 10**9, [{"id": each, "value": each} for each in ids]

        tells(stranger, group("g"), g=[])
        lists(stranger, path, ever_more)
        where = directory(desk, stranger.url)
        error = await failure(where, witness)
        assert error.message == "issuer 'iam' (groups) has more groups, members or pages than this daemon reads"
        assert stranger.seen[path] <= scim.MOST_MEMBERS / 3000 + 1
        assert where.circuit.closed

    async def test_members_of_all_groups_together_are_bounded(
        self, desk: Desk, stranger: Loopback, witness: Witness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tells(stranger, group("g"), group("h"), g=[member("a"), member("b")], h=[member("b"), member("c")])
        where = directory(desk, stranger.url)
        monkeypatch.setattr(scim, "MOST_MEMBERS", 3)
        assert len(await where.members("t", Deadline.after(5.0))) == 3
        monkeypatch.setattr(scim, "MOST_MEMBERS", 2)
        assert "more groups, members" in (await failure(where, witness)).message

    async def test_pages_of_all_lists_together_are_bounded(
        self, desk: Desk, stranger: Loopback, witness: Witness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scim, "MOST_PAGES", 20)
        tells(stranger, *(group(f"g{each}") for each in range(3)))
        for each in range(3):
            lists(stranger, f"/scim/Groups/g{each}/members", lambda start, _count: (9, [member(f"{start}")]))
        error = await failure(directory(desk, stranger.url), witness)
        assert "pages" in error.message
        assert sum(stranger.seen.values()) == 20

    @pytest.mark.parametrize("page", [[], [member("a"), member("b")]], ids=["nothing", "the same"])
    async def test_a_list_that_does_not_get_on_is_at_its_end(
        self, desk: Desk, stranger: Loopback, page: list[dict[str, object]]
    ) -> None:
        tells(stranger, group("g"))
        first = [member("a"), member("b")]
        lists(stranger, "/scim/Groups/g/members", lambda start, _count: (10**9, first if start == 1 else page))
        told = await directory(desk, stranger.url).members("t", Deadline.after(5.0))
        assert [each.subject for each in told] == ["a", "b"]
        assert stranger.seen["/scim/Groups/g/members"] == 2

    async def test_a_server_that_does_not_turn_the_page(self, desk: Desk, stranger: Loopback, witness: Witness) -> None:
        stranger.say("/scim/Groups", {"totalResults": 3, "startIndex": 1, "Resources": [group("g")]})
        assert "no list" in (await failure(directory(desk, stranger.url), witness)).message
        assert stranger.seen == {"/scim/Groups": 2}

    async def test_a_list_that_changes_while_it_is_read(self, desk: Desk, stranger: Loopback) -> None:
        pages = {1: (3, ["a", "b"]), 3: (4, ["b", "c"]), 5: (2, [])}
        tells(stranger, group("g"))

        def changing(start: int, _count: int) -> tuple[int, list[Any]]:
            total, subjects = pages[start]
            return total, [member(each) for each in subjects]

        lists(stranger, "/scim/Groups/g/members", changing)
        told = await directory(desk, stranger.url).members("t", Deadline.after(5.0))
        assert [each.subject for each in told] == ["a", "b", "c"]

    async def test_a_deadline_holds_for_all_pages_together(
        self, desk: Desk, stranger: Loopback, witness: Witness
    ) -> None:
        held = asyncio.Event()

        async def never(_: web.Request) -> web.StreamResponse:
            await held.wait()
            return web.Response()

        tells(stranger, group("g"), group("h"), g=[member("a")])
        stranger.answers["/scim/Groups/h/members"] = never
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamUnavailableError, match="no answer in time") as raised:
            await directory(desk, stranger.url).members(PLANTED, Deadline.after(0.3))
        held.set()
        assert asyncio.get_running_loop().time() - begun < 1.3
        witness.saw_none_of((PLANTED,), raised.value)

    async def test_plain_http_elsewhere_is_not_asked(self, desk: Desk, witness: Witness) -> None:
        error = await failure(directory(desk, "http://iam.example"), witness)
        assert "plain http" in error.message

    async def test_nobody_listens(self, ca_file: Path, witness: Witness, unused_url: str) -> None:
        fetcher = Fetcher(ca_file)
        error = await failure(GroupDirectory("iam", unused_url, fetcher), witness)
        assert "cannot connect" in error.message
        await fetcher.close()


@pytest.fixture
async def unused_url(desk: Desk) -> str:
    url = desk.iam.url
    await desk.iam.stop()
    return url

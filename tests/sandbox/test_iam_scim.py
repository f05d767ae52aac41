"""Groups and their members over SCIM, in pages."""

from typing import Any

import pytest

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, ROBOT, TTSCACHE, USERS, Answer, Clock, IamUser
from ttscache.sandbox.iam import User

LIST = ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
JANE, JOE, ADMIN = USERS


async def token(user: IamUser, scope: str = "scim:read") -> str:
    answer = await user.token({"grant_type": "client_credentials", "scope": scope})
    assert answer.status == 200, answer.text
    return str(answer.json["access_token"])


async def scim(user: IamUser, path: str = "", *, bearer: str = "", **query: Any) -> Answer:  # noqa: ANN401 - anything
    headers = {"Authorization": f"Bearer {bearer or await token(user)}"}
    return await user.send("GET", f"scim/Groups{path}", params=query, headers=headers)


async def group(user: IamUser, name: str) -> dict[str, Any]:
    found = [each for each in (await scim(user)).json["Resources"] if each["displayName"] == name]
    assert len(found) == 1
    return dict(found[0])


def crowd(number: int) -> tuple[User, ...]:
    return tuple(
        User(username=f"u{each:03}", sub=f"s{each}", name=f"N{each}", email="", groups=("/cms",))
        for each in range(number)
    )


async def test_groups_come_without_their_members(user: IamUser) -> None:
    answer = await scim(user)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/scim+json;charset=UTF-8"
    page = answer.json
    groups = page.pop("Resources")
    assert page == {"schemas": LIST, "totalResults": 3, "itemsPerPage": 3, "startIndex": 1}
    assert [each["displayName"] for each in groups] == ["cms", "cms/production", "cms/ttscache-admins"]
    parent, child, _ = groups
    url = f"{user.iam.url}scim/Groups/{parent['id']}"
    assert parent == {
        "id": parent["id"],
        "displayName": "cms",
        "meta": {"location": url, "resourceType": "Group"},
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", "urn:indigo-dc:scim:schemas:IndigoGroup"],
        "urn:indigo-dc:scim:schemas:IndigoGroup": {},
    }
    reference = {"display": "cms", "value": parent["id"], "$ref": url}
    assert child["urn:indigo-dc:scim:schemas:IndigoGroup"] == {"parentGroup": reference}


async def test_members_are_users_by_their_sub(user: IamUser) -> None:
    user.iam.state.suspend("joe")
    page = (await scim(user, f"/{(await group(user, 'cms'))['id']}/members")).json
    members = page.pop("Resources")
    assert page == {"schemas": LIST, "totalResults": 3, "itemsPerPage": 3, "startIndex": 1}
    assert [each["value"] for each in members] == [ADMIN.sub, JANE.sub, JOE.sub]
    assert members[1] == {
        "value": JANE.sub,
        "display": "Jane Doe",
        "$ref": f"{user.iam.url}scim/Users/{JANE.sub}",
    }
    page = (await scim(user, f"/{(await group(user, 'cms/production'))['id']}/members")).json
    assert [each["display"] for each in page["Resources"]] == ["Jane Doe"]


async def test_without_a_name_the_username_is_shown(start_iam: StartIam) -> None:
    user = await start_iam(users=(User(username="ann", sub="1", name="", email="", groups=("/a",)),))
    members = (await scim(user, f"/{(await group(user, 'a'))['id']}/members")).json["Resources"]
    assert members[0]["display"] == "ann"


@pytest.mark.parametrize(
    "query, first, items, start",
    [
        ({}, "u000", 100, 1),
        ({"count": 1000}, "u000", 100, 1),
        ({"count": "", "startIndex": ""}, "u000", 100, 1),
        ({"count": 2, "startIndex": 100}, "u099", 2, 100),
        ({"startIndex": 101}, "u100", 30, 101),
        ({"startIndex": -7, "count": 1}, "u000", 1, 1),
        ({"startIndex": 131}, None, 0, 131),
    ],
)
async def test_pages(start_iam: StartIam, query: dict[str, Any], first: str | None, items: int, start: int) -> None:
    user = await start_iam(users=crowd(130))
    page = (await scim(user, f"/{(await group(user, 'cms'))['id']}/members", **query)).json
    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (130, items, start)
    assert len(page["Resources"]) == items
    subs = {each.sub: each.username for each in user.iam.config.users}
    assert [subs[each["value"]] for each in page["Resources"][:1]] == ([] if first is None else [first])


async def test_a_smaller_limit_holds_for_both_lists(start_iam: StartIam) -> None:
    user = await start_iam(scim_page_limit=1)
    page = (await scim(user, startIndex=2, count=50)).json
    assert [each["displayName"] for each in page["Resources"]] == ["cms/production"]
    assert (page["totalResults"], page["itemsPerPage"]) == (3, 1)
    members = (await scim(user, f"/{page['Resources'][0]['id']}/members")).json
    assert (members["totalResults"], members["itemsPerPage"]) == (1, 1)


@pytest.mark.parametrize("count", [0, -10])
async def test_a_count_of_nothing_tells_the_total_only(user: IamUser, count: int) -> None:
    assert (await scim(user, count=count)).json == {"schemas": LIST, "totalResults": 3, "Resources": []}


@pytest.mark.parametrize(
    "query", [{"count": "x"}, {"startIndex": "1.5"}, {"count": "9" * 30}, {"startIndex": "\u0661"}]
)
async def test_numbers_that_are_none(user: IamUser, query: dict[str, str]) -> None:
    assert (await scim(user, **query)).status == 400


async def test_an_unknown_group(user: IamUser) -> None:
    answer = await scim(user, "/nowhere/members")
    assert answer.status == 404
    assert answer.json["detail"] == "No group mapped to id 'nowhere'"
    assert answer.json["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


@pytest.mark.parametrize("path", ["scim/Groups", "scim/Groups/any/members"])
class TestAccess:
    async def test_no_token(self, user: IamUser, path: str) -> None:
        for headers in ({}, {"Authorization": "Basic x"}):
            answer = await user.send("GET", path, headers=headers)
            assert (answer.status, answer.json["error"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith('Bearer error="unauthorized"')

    async def test_a_bad_token(self, user: IamUser, path: str) -> None:
        answer = await user.send("GET", path, headers={"Authorization": "Bearer unknown"})
        assert (answer.status, answer.json["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')

    async def test_an_expired_token(self, start_iam: StartIam, path: str) -> None:
        clock = Clock()
        user = await start_iam(now=clock)
        headers = {"Authorization": f"Bearer {await token(user)}"}
        clock.time += 3601
        assert (await user.send("GET", path, headers=headers)).status == 401

    async def test_a_token_without_the_scope(self, user: IamUser, path: str) -> None:
        for one in (await token(user, "wlcg"), user.iam.token_for("admin")):
            answer = await user.send("GET", path, headers={"Authorization": f"Bearer {one}"})
            assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
            assert answer.headers["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')

    @pytest.mark.parametrize(
        "accept, taken",
        [
            ("application/json", False),
            ("text/html, application/xml;q=0.9", False),
            ("application/json, application/scim+json;q=0.5", True),
            ("application/*", True),
            ("*/*", True),
        ],
    )
    async def test_what_the_caller_takes(self, user: IamUser, path: str, accept: str, *, taken: bool) -> None:
        headers = {"Authorization": f"Bearer {await token(user)}", "Accept": accept}
        assert ((await user.send("GET", path, headers=headers)).status == 406) is not taken


async def test_who_is_registered_for_the_scope(user: IamUser) -> None:
    assert "scim:read" in TTSCACHE.scopes
    assert "scim:read" not in (*TTSCACHE.default_scopes, *DEMO.scopes, *ROBOT.scopes)
    answer = await user.token({"grant_type": "client_credentials", "scope": "scim:read"}, ROBOT)
    assert answer.json["error"] == "invalid_scope"
    user.iam.state.suspend("jane")
    assert (await scim(user)).status == 200


async def test_counted_and_faulty(user: IamUser) -> None:
    bearer = await token(user)
    await user.send("POST", "sandbox/faults", json={"endpoint": "groups", "status": 503, "times": 1})
    await user.send("POST", "sandbox/faults", json={"endpoint": "members", "body": "html", "times": 1})
    assert (await scim(user, bearer=bearer)).status == 503
    identifier = (await scim(user, bearer=bearer)).json["Resources"][0]["id"]
    assert "<html>" in (await scim(user, f"/{identifier}/members", bearer=bearer)).text
    assert user.iam.counters.snapshot()["requests"] == {"token": 1, "groups": 2, "members": 1}

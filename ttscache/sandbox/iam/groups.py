"""`GET /scim/Groups` and `GET /scim/Groups/{id}/members`, as IAM pages through them (RFC 7644 section 3.4.2)."""

import re
import uuid
from collections.abc import Sequence

from ttscache.sandbox.iam.bearer import bearer
from ttscache.sandbox.iam.errors import OAuthError, insufficient_scope, invalid_request
from ttscache.sandbox.iam.messages import Call, Reply
from ttscache.sandbox.iam.realm import Realm

SCOPE = "scim:read"
# IAM's answer is of the first only: `application/json`, which RFC 7644 section 3.8 would have it take, gets 406.
_ACCEPTABLE = frozenset({"application/scim+json", "application/*+json", "application/*", "*/*"})
_HEADERS = {"Content-Type": "application/scim+json;charset=UTF-8"}
_GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
_INDIGO_SCHEMA = "urn:indigo-dc:scim:schemas:IndigoGroup"
_LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


class GroupLists:
    """The lists of groups, which are without their members, and of each group's members."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm

    def groups(self, call: Call) -> Reply:
        """List the groups that any user is in."""
        self._authorize(call)
        return self._page(call, [self._group(name) for name in self._names()])

    def members(self, call: Call) -> Reply:
        """List a group's members by their usernames; a suspended user stays one."""
        self._authorize(call)
        wanted = call.path["id"]
        name = next((name for name in self._names() if _identifier(name) == wanted), None)
        if name is None:
            return Reply(_not_found(wanted), 404, _HEADERS)
        return self._page(call, self._members(name))

    def _authorize(self, call: Call) -> None:
        record = bearer(call, self._realm)
        ranges = {one.partition(";")[0].strip() for one in call.accept.split(",")}
        if call.accept and not ranges & _ACCEPTABLE:
            raise OAuthError(406, "not_acceptable", "Could not find acceptable representation")
        if SCOPE not in record.grant.scope:
            raise insufficient_scope()

    def _names(self) -> list[str]:
        return sorted({group for account in self._realm.state.accounts.values() for group in account.user.groups})

    def _group(self, name: str) -> dict[str, object]:
        parent = name.rpartition("/")[0]
        extension = {"parentGroup": self._reference(parent)} if parent in self._names() else {}
        return {
            "id": _identifier(name),
            "meta": {"location": self._location(name), "resourceType": "Group"},
            "schemas": [_GROUP_SCHEMA, _INDIGO_SCHEMA],
            "displayName": name.removeprefix("/"),
            _INDIGO_SCHEMA: extension,
        }

    def _reference(self, name: str) -> dict[str, str]:
        return {"display": name.removeprefix("/"), "value": _identifier(name), "$ref": self._location(name)}

    def _location(self, name: str) -> str:
        return f"{self._realm.url}scim/Groups/{_identifier(name)}"

    def _members(self, name: str) -> list[dict[str, str]]:
        accounts = self._realm.state.accounts
        users = [accounts[username].user for username in sorted(accounts) if name in accounts[username].user.groups]
        users_url = f"{self._realm.url}scim/Users/"
        return [
            {"display": user.name or user.username, "value": user.sub, "$ref": f"{users_url}{user.sub}"}
            for user in users
        ]

    def _page(self, call: Call, entries: Sequence[object]) -> Reply:
        limit = self._realm.config.scim_page_limit
        count, start = _number(call, "count", limit), max(1, _number(call, "startIndex", 1))
        body = {"totalResults": len(entries), "schemas": [_LIST_SCHEMA], "Resources": []}
        if count <= 0:
            return Reply(body, headers=_HEADERS)  # without the two others, as IAM does
        shown = entries[start - 1 : start - 1 + min(count, limit)]
        return Reply(body | {"itemsPerPage": len(shown), "startIndex": start, "Resources": shown}, headers=_HEADERS)


def _identifier(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://iam.sandbox.example/groups{name}"))


def _number(call: Call, name: str, otherwise: int) -> int:
    text = call.query.get(name, "")
    if not text:
        return otherwise
    if not _INTEGER.fullmatch(text):
        raise invalid_request(f"{name} must be an integer")
    return int(text)


def _not_found(identifier: str) -> dict[str, object]:
    return {"status": "404", "detail": f"No group mapped to id '{identifier}'", "schemas": [_ERROR_SCHEMA]}

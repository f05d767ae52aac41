"""The client side of SCIM (RFC 7644): who is in the issuer's groups.

IAM lists groups without their members, and the members of each below `/scim/Groups/{id}/members`. Both lists come in
pages, which need not be those of one moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ttscache.errors import UpstreamUnavailableError
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher
from ttscache.upstream.guard import guarded

# well above what a VO has
MOST_GROUPS, MOST_MEMBERS = 2_000, 50_000
# of all lists together; each group costs one at least
MOST_PAGES = 5_000
# as many as IAM gives at once
_PAGE = 100
_MOST_CHARACTERS = 255
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
# what identifies an entry of a list, and what it is called
_GROUP, _MEMBER = ("id", "displayName"), ("value", "display")


@dataclass(frozen=True, order=True)
class Member:
    """A user who is in some group; ``subject`` is the `sub` of the user's tokens."""

    display: str
    subject: str


@dataclass
class _Walk:
    """One reading of all lists: by whose token, until when, and how many pages were asked for."""

    token: str = field(repr=False)
    deadline: Deadline
    pages: int = 0


@dataclass(frozen=True)
class _Page:
    """A part of a list: how long the list is now, and what is called how."""

    total: int
    entries: tuple[tuple[str, str], ...]


class GroupDirectory:
    """The groups of one issuer, with a circuit around it."""

    def __init__(self, issuer: str, url: str, fetcher: Fetcher) -> None:
        """``url`` is the issuer's."""
        self._issuer = issuer
        self._url = url.rstrip("/") + "/scim/Groups"
        self._fetcher = fetcher
        self.circuit = Circuit()

    async def members(self, access_token: str, deadline: Deadline) -> tuple[Member, ...]:
        """Return everybody who is in a group, once, by display name; the token needs the scope `scim:read`.

        Raises :class:`UpstreamUnavailableError`, as well when the token is refused: all or nothing is told.
        """
        walk = _Walk(access_token, deadline)
        found: dict[str, str] = {}
        for group in await self._listed(self._url, _GROUP, MOST_GROUPS, walk):
            # IAM of old has members within the group as well; only this list is sure to have all of them
            found |= await self._listed(f"{self._url}/{quote(group, safe='')}/members", _MEMBER, MOST_MEMBERS, walk)
            self._bound(len(found), MOST_MEMBERS)
        return tuple(sorted(Member(display, subject) for subject, display in found.items()))

    async def _listed(self, url: str, names: tuple[str, str], most: int, walk: _Walk) -> dict[str, str]:
        """Return what all pages of a list have; one that has nothing new is the last."""
        listed: dict[str, str] = {}
        start, total, known = 1, 1, -1
        while start <= total and known < len(listed):
            known = len(listed)
            page = await self._page(url, start, names, walk)
            listed.update(page.entries)
            start, total = start + len(page.entries), page.total
            self._bound(len(listed), most)
        return listed

    async def _page(self, url: str, start: int, names: tuple[str, str], walk: _Walk) -> _Page:
        walk.pages += 1
        self._bound(walk.pages, MOST_PAGES)
        asked = f"{url}?startIndex={start}&count={_PAGE}"
        # IAM answers 406 to those who take only `application/json`
        headers = {"Authorization": f"Bearer {walk.token}", "Accept": "application/scim+json"}
        return await guarded(
            self.circuit,
            walk.deadline,
            lambda: self._fetcher.get(asked, walk.deadline, headers=headers),
            lambda answer: self._read(answer, start, names),
            self._unavailable,
        )

    def _read(self, answer: Answer, start: int, names: tuple[str, str]) -> _Page:
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise UpstreamUnavailableError(
                f"issuer '{self._issuer}' does not let this daemon's client read groups;"
                " register the scope scim:read for it",
                retry_after=60.0,
            )
        if answer.status != _OK:
            raise UpstreamFailedError(answer.retry_after) from self._unavailable(
                f"answered with status {answer.status}", retry_after=answer.retry_after or 5.0
            )
        page = _parsed(answer.body, start, names)
        if page is None:  # raised here, for the parser's error has the body with it
            raise UpstreamFailedError from self._unavailable("answered with what is no list")
        return page

    def _bound(self, number: int, most: int) -> None:
        if number > most:
            raise self._unavailable("has more groups, members or pages than this daemon reads", retry_after=60.0)

    def _unavailable(self, what: str, retry_after: float = 5.0) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"issuer '{self._issuer}' (groups) {what}", retry_after=retry_after)


def _parsed(body: bytes, start: int, names: tuple[str, str]) -> _Page | None:
    """Read a list response (RFC 7644 section 3.4.2) that begins where it was asked to; None when it is not one."""
    try:
        document = json.loads(body)
        total, resources = document["totalResults"], document.get("Resources")
        if isinstance(total, bool) or not isinstance(total, int) or not isinstance(resources, list | None):
            return None
        if document.get("startIndex", start) != start:
            return None
        return _Page(total, tuple(_entry(each, names) for each in resources or ()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _entry(resource: Mapping[str, Any], names: tuple[str, str]) -> tuple[str, str]:
    """Return what identifies an entry, and what it is called: by that as well when it has no name of its own."""
    identifier, display = resource[names[0]], resource.get(names[1]) or ""
    if not isinstance(identifier, str) or not isinstance(display, str):
        raise TypeError("not an entry")
    if not 0 < len(identifier) <= _MOST_CHARACTERS or not identifier.isprintable():
        raise ValueError("not an identifier")
    # people write their names with all kinds of blanks, for which nobody else is to be left out
    name = "".join(each if each.isprintable() else " " for each in display[:_MOST_CHARACTERS]).strip()
    return identifier, name or identifier

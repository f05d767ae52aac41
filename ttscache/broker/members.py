"""Who is in an issuer's groups: asked when it is wanted, and kept for a while."""

from __future__ import annotations

import time

from ttscache.broker.flights import Flights
from ttscache.errors import UnavailableError
from ttscache.net.deadline import Deadline
from ttscache.upstream.scim import GroupDirectory, Member
from ttscache.upstream.token_endpoint import TokenEndpoint

_SCOPE = "scim:read"
_FRESH_SECONDS = 300.0
# clients that make their maps of it do better with an old one than with none
_KEEP_SECONDS = 86400.0
_ASK_SECONDS = 60.0


class Members:
    """The members of all groups of one issuer, read as the daemon's own client."""

    def __init__(self, endpoint: TokenEndpoint, directory: GroupDirectory) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._flights = Flights("members")
        self._known: tuple[Member, ...] = ()
        self._asked_at = float("-inf")

    async def all(self, deadline: Deadline) -> tuple[Member, ...]:
        """Return them. Raises ExchangeRefusedError, or an UnavailableError when there is nothing of the last day."""
        if time.monotonic() - self._asked_at < _FRESH_SECONDS:
            return self._known
        try:
            known, _ = await self._flights.join("all", self._ask, deadline)
        except UnavailableError:
            if time.monotonic() - self._asked_at >= _KEEP_SECONDS:
                raise
            return self._known
        return known

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._flights.drain()

    async def _ask(self) -> tuple[Member, ...]:
        deadline = Deadline.after(_ASK_SECONDS)
        answer = await self._endpoint.client_credentials(deadline, (_SCOPE,))
        self._known = await self._directory.members(answer.access_token, deadline)
        self._asked_at = time.monotonic()
        return self._known

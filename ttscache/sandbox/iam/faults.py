"""What is to go wrong: faults that tests and people switch on, for an endpoint or for one grant of it."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ttscache.sandbox.iam.config import GrantType
from ttscache.sandbox.iam.keys import OddJwks, OddKey

Endpoint = Literal["discovery", "jwks", "token", "introspect", "userinfo", "revoke", "proxycert", "groups", "members"]

# What stands in place of the answer's body, or what becomes of it.
#   html, empty, error, garbage   a page, nothing, an OAuth error, or what is no JSON, instead of the answer
#   truncated                     the answer's first half, then the connection ends
#   huge                          the answer, and megabytes of blanks: valid, and only its size speaks against it
#   endless                       the answer, and blanks for as long as somebody reads them (up to a limit)
BodyKind = Literal["html", "empty", "error", "garbage", "truncated", "huge", "endless"]
REPLACING: frozenset[BodyKind] = frozenset({"html", "empty", "error", "garbage"})

# How requests are named by their grant; `other` is any that IAM does not know.
OTHER_GRANT = "other"
GRANT_LABELS = frozenset(grant.label for grant in GrantType) | {OTHER_GRANT}

MAX_FAULTS = 100
MAX_DELAY = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. The first that fits a request is applied to it, `times` times (`None`: until it is cleared).

    Which requests: those of `endpoint`, and of `grant` (its label, such as `refresh_token`) when given.

    Instead of the answer: `status`, `body` (see `BodyKind`), `redirect` (a `Location`, with 302 or `status`), or a
    `reset` connection; with `late` IAM has done what it was asked for first, and only its answer is lost. `delay`
    (seconds) comes before anything else, `retry_after` is a header's value.

    Within a successful answer: `answer` replaces and `omit` removes fields of the JSON body, `claims` and
    `omit_claims` do so within the access token, which `signed_by` has signed with a wrong key and `opaque` makes no
    JWT at all; `jwks` spoils the key set.
    """

    endpoint: Endpoint = "token"
    grant: str | None = None
    times: int | None = None
    delay: float = 0.0
    status: int | None = None
    body: BodyKind | None = None
    retry_after: str | None = None
    redirect: str | None = None
    reset: bool = False
    late: bool = False
    answer: Mapping[str, object] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)
    omit_claims: tuple[str, ...] = ()
    signed_by: OddKey | None = None
    opaque: bool = False
    jwks: OddJwks | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be applied, with `ValueError`."""
        if self.grant is not None and (self.endpoint != "token" or self.grant not in GRANT_LABELS):
            raise ValueError(f"grant must be one of the token endpoint's: {', '.join(sorted(GRANT_LABELS))}")
        if not 0 <= self.delay <= MAX_DELAY:
            raise ValueError(f"delay must be between 0 and {MAX_DELAY:.0f} seconds")
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the statuses of an answer
            raise ValueError("status must be between 200 and 599")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be positive")
        if self.retry_after is not None and not self.retry_after.isprintable():
            raise ValueError("retry_after must be printable")
        if self.redirect is not None and not self.redirect.isprintable():
            raise ValueError("redirect must be printable")

    @property
    def replaces(self) -> bool:
        """Whether the answer is lost: something else is sent, or nothing."""
        return self.reset or self.status is not None or self.redirect is not None or self.body in REPLACING

    def fits(self, endpoint: str, grant: str | None) -> bool:
        """Tell whether the fault is for such a request."""
        return self.endpoint == endpoint and self.grant in (None, grant)


NO_FAULT = Fault()


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._cleared = asyncio.Event()

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults still to be applied, with the `times` that are left."""
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        """Switch a fault on; `ValueError` when there are too many."""
        if len(self._faults) >= MAX_FAULTS:
            raise ValueError("too many faults")
        self._faults.append(fault)

    def clear(self) -> None:
        """Switch everything off and let go at once of the requests that are being delayed."""
        self._faults.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def take(self, endpoint: str, grant: str | None) -> Fault:
        """Return the fault for a request, counting it down; `NO_FAULT` when there is none."""
        for index, fault in enumerate(self._faults):
            if fault.fits(endpoint, grant):
                self._count_down(index)
                return fault
        return NO_FAULT

    async def hold(self, fault: Fault) -> None:
        """Wait for the fault's delay, or until the faults are cleared."""
        if fault.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cleared.wait(), fault.delay)

    def _count_down(self, index: int) -> None:
        times = self._faults[index].times
        if times == 1:
            del self._faults[index]
        elif times is not None:
            self._faults[index] = dataclasses.replace(self._faults[index], times=times - 1)

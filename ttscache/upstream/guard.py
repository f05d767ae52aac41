"""A call to an upstream within its circuit, with every failure told in the upstream's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from ttscache.errors import UnavailableError
from ttscache.net.circuit import Circuit, CircuitOpenError, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, FetchFailedError

_Result = TypeVar("_Result")


class Unavailable(Protocol):
    """Makes the error that a caller reads, of what the upstream did."""

    def __call__(self, what: str, retry_after: float = 5.0) -> UnavailableError:
        """Return it; ``retry_after`` is in seconds."""


async def guarded(
    circuit: Circuit,
    deadline: Deadline,
    send: Callable[[], Awaitable[Answer]],
    read: Callable[[Answer], _Result],
    unavailable: Unavailable,
) -> _Result:
    """Return what ``read`` makes of the answer.

    Where the upstream failed as such, ``read`` raises :class:`UpstreamFailedError` from the error for the caller,
    which opens the circuit; anything else that it raises is the upstream's proper answer.
    """
    try:
        async with circuit.call(deadline):
            return read(await _answered(send, unavailable))
    except CircuitOpenError as error:
        raise unavailable("failed a moment ago", retry_after=error.retry_after) from None
    except UpstreamFailedError as error:
        if isinstance(error.__cause__, UnavailableError):
            raise error.__cause__ from None
        raise


async def _answered(send: Callable[[], Awaitable[Answer]], unavailable: Unavailable) -> Answer:
    try:
        return await send()
    except FetchFailedError as error:
        raise UpstreamFailedError from unavailable(f"does not answer: {error.reason}")

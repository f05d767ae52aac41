"""What a number of requests cost a server, whichever way its clients come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from benchmarks.site import Server

_Order = TypeVar("_Order")
_Answer = TypeVar("_Answer")


async def cost(
    server: Server, callers: Sequence[Callable[[_Order], Awaitable[_Answer]]], orders: Sequence[_Order]
) -> tuple[float, list[tuple[_Order, _Answer]]]:
    """Return the server's milliseconds of CPU time for an order, and the answers. The callers take them in turns."""
    waiting = iter(orders)
    before = server.cpu_seconds
    answered = await asyncio.gather(*(_served(caller, waiting) for caller in callers))
    spent = server.cpu_seconds - before
    return spent / len(orders) * 1e3, [pair for pairs in answered for pair in pairs]


async def _served(
    caller: Callable[[_Order], Awaitable[_Answer]], waiting: Iterator[_Order]
) -> list[tuple[_Order, _Answer]]:
    return [(order, await caller(order)) for order in waiting]

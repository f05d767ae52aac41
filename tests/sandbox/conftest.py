from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.sandbox.iam_client import IamUser, config
from ttscache.sandbox.iam import EmbeddedIam

StartIam = Callable[..., Awaitable[IamUser]]


@pytest.fixture
async def start_iam() -> AsyncIterator[StartIam]:
    """Start embedded IAMs with the settings given; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: object) -> IamUser:
            iam = EmbeddedIam(config(**settings))
            await iam.start()
            stack.push_async_callback(iam.stop)
            return IamUser(iam, await stack.enter_async_context(aiohttp.ClientSession()))

        yield start


@pytest.fixture
async def user(start_iam: StartIam) -> IamUser:
    return await start_iam()

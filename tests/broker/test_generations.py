"""What changes the answer is another entry of the cache: the attribute authority's settings, and what sessions ask."""

from dataclasses import replace

import pytest

from tests.broker.world import Setup, World, profile
from ttscache.config.settings import LocalVoms
from ttscache.errors import SignerUnavailableError

VOMS = LocalVoms("cms", "voms.example", 15000, 86400.0, None)
CARRYING = Setup(profiles=(profile(voms=("cms",)), *Setup().profiles[1:]), voms={"cms": VOMS})


@pytest.mark.parametrize("change", [{"host": "voms2.example"}, {"port": 15001}, {"lifetime": 3600.0}], ids=str)
async def test_another_attribute_authority_is_another_proxy(world: World, change: dict[str, object]) -> None:
    first = await world.replica(CARRYING).issue()
    assert (await world.replica(CARRYING).issue()).serial == first.serial
    other = replace(CARRYING, voms={"cms": replace(VOMS, **change)})  # type: ignore[arg-type] # of those fields
    assert (await world.replica(other).issue()).serial != first.serial


async def test_a_session_that_was_opened_with_other_scopes_is_opened_again(world: World) -> None:
    session = await world.replica().session()
    assert (await world.replica().session()).generation == session.generation
    wider = replace(Setup(), scopes=(*Setup().scopes, "profile"))
    assert (await world.replica(wider).session()).generation != session.generation
    assert world.granted["token_exchange"] == 2


async def test_a_ca_that_has_ended_is_no_refusal(world: World) -> None:
    replica = world.replica(Setup(exchanging=False, profiles=(profile(outlive_token=True), *Setup().profiles[1:])))
    token = world.token()
    identity = await replica.identity(token)
    world.clock.time = world.authority.certificate.not_valid_after_utc.timestamp()
    with pytest.raises(SignerUnavailableError, match="has ended"):
        await replica.issue_to(identity, token)

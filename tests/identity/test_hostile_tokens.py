"""Whatever comes for a token: it is taken or it is refused by a TokenError, and soon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.identity import kit
from tests.identity.kit import CLAIMS, OURS, Realm, base64url, compact
from ttscache.errors import TokenError

quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


class World:
    """A realm that outlives the many examples of a test."""

    def __init__(self, runner: asyncio.Runner, realm: Realm) -> None:
        self._runner = runner
        self.realm = realm

    def code(self, token: str) -> str | None:
        """Return the code of the refusal, None when the token is taken."""

        async def attempt() -> str | None:
            try:
                told, code = (await self.realm.verify(token, 2.0)).subject, None
            except TokenError as error:
                told, code = error.message, error.code
            assert told.isprintable()
            return code

        return self._runner.run(asyncio.wait_for(attempt(), 5.0))


@pytest.fixture(scope="module")
def world(ca_file: Path) -> Iterator[World]:
    with asyncio.Runner() as runner:
        opened = kit.open_realm(ca_file)
        realm = runner.run(opened.__aenter__())
        yield World(runner, realm)
        runner.run(opened.__aexit__(None, None, None))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
claim_names = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "client_id", "azp", "wlcg.groups", "entitlements"]
)
header_names = st.sampled_from(["alg", "kid", "typ", "cty", "crit", "jwk", "jku", "x5c", "x5u", "x5t", "b64", "zip"])


@quick
@given(st.text())
@example("\ud800.\ud800.\ud800")
@example("." * 16384)
def test_text(world: World, text: str) -> None:
    assert world.code(text) in {"token_malformed", "token_missing"}


@quick
@given(st.binary(), st.binary(), st.binary())
def test_three_parts_of_bytes(world: World, header: bytes, payload: bytes, signature: bytes) -> None:
    assert world.code(".".join(map(base64url, (header, payload, signature)))) == "token_malformed"


@quick
@given(json_values, json_values)
def test_json_that_is_signed(world: World, header: object, claims: object) -> None:
    assert world.code(compact(header, json.dumps(claims).encode(), world.realm.key)) is not None


@quick
@given(st.dictionaries(claim_names, json_values, min_size=1))
def test_claims(world: World, changes: dict[str, Any]) -> None:
    code = world.code(world.realm.token(**changes))
    if changes.keys() & {"iss", "sub", "aud", "exp"}:
        unchanged = {"iss": world.realm.url, **CLAIMS} | changes
        assert code is not None or OURS in unchanged["aud"]


@quick
@given(st.dictionaries(header_names, json_values, min_size=1))
def test_headers(world: World, changes: dict[str, Any]) -> None:
    code = world.code(world.realm.token(changes))
    if changes.keys() & {"crit", "jwk", "jku", "x5c", "x5u", "alg"}:
        assert code in {"token_malformed", "token_algorithm"}


@quick
@given(st.integers(min_value=0), st.characters(exclude_categories=["Cs"]))
def test_one_letter_changed(world: World, position: int, letter: str) -> None:
    token = world.realm.token()
    position %= len(token)
    changed = token[:position] + letter + token[position + 1 :]
    # not even in the bits of a part's last letter that stand for nothing
    if changed != token:
        assert world.code(changed) is not None

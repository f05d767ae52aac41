"""What is kept of a DN: whose it is, and what it was last given by."""

import pytest

from proxy_gen.names import DistinguishedName
from tests.mapping.people import identity, rule
from ttscache.broker.codec import encode_fields
from ttscache.broker.keys import OWNERS, owner_key
from ttscache.broker.ownership import Owners, known_names
from ttscache.errors import DnRefusedError
from ttscache.mapping.engine import decide
from ttscache.mapping.export_names import KnownName
from ttscache.mapping.rules import Rule
from ttscache.store.memory import MemoryStore

DN = "/DC=ch/CN=jane"
USERS = rule("users", "/DC=ch/CN={preferred_username}", account="{preferred_username}")
PRODUCTION = rule("production", "/DC=ch/CN={preferred_username}", account="cmsprod")
JOE = {"subject": "b2", "preferred_username": "joe"}


class CountingStore(MemoryStore):
    """Counts what is asked of it."""

    asked = 0

    async def get(self, key: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - as MemoryStore's
        self.asked += 1
        return await super().get(key)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(lambda: 1000.0)


def owners(store: MemoryStore) -> Owners:
    return Owners(store, lambda: 1000.0)


async def given(owned: Owners, by: Rule, **who: object) -> None:
    somebody = identity(**who)
    await owned.require(decide([by], somebody), somebody)


async def test_names_that_were_given_are_known(store: CountingStore) -> None:
    owned = owners(store)
    await given(owned, USERS)
    await given(owned, PRODUCTION, **JOE)
    wanted = [KnownName("/DC=ch/CN=joe", "cmsprod", "production"), KnownName(DN, "jane", "users")]
    assert sorted(await known_names(store), key=lambda known: known.dn, reverse=True) == wanted


async def test_the_last_decision_is_kept_and_the_same_again_asks_nothing(store: CountingStore) -> None:
    owned = owners(store)
    await given(owned, USERS)
    asked = store.asked
    for _ in range(3):
        await given(owned, USERS)
    assert store.asked == asked
    await given(owned, PRODUCTION)
    assert await known_names(store) == [KnownName(DN, "cmsprod", "production")]
    await given(owners(store), USERS)
    assert await known_names(store) == [KnownName(DN, "jane", "users")]


async def test_another_s_decision_is_not_kept(store: CountingStore) -> None:
    await given(owners(store), USERS)
    for owned in (owners(store), owners(store)):
        with pytest.raises(DnRefusedError, match="belongs to another"):
            await given(owned, PRODUCTION, subject="b2")
    assert await known_names(store) == [KnownName(DN, "jane", "users")]


async def test_a_shared_name_is_not_kept(store: CountingStore) -> None:
    await given(owners(store), rule("all", DN, account="x", shared=True))
    assert await known_names(store) == []


async def test_records_from_before_are_read_and_completed(store: CountingStore) -> None:
    canonical = DistinguishedName.parse("/DC=ch/CN=jane").canonical
    old = encode_fields({"issuer": "cms", "subject": "a1"})
    await store.put(owner_key(canonical), old, expires_at=2000.0)
    await store.put(OWNERS + "unreadable", b"?", expires_at=2000.0)
    assert await known_names(store) == []
    with pytest.raises(DnRefusedError):
        await given(owners(store), USERS, subject="b2")
    await given(owners(store), USERS)
    assert await known_names(store) == [KnownName(DN, "jane", "users")]

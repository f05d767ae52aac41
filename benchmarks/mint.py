"""Minting with pooled keys: CPU time of the product's own path against bare `cryptography`.

Every mint is for an identity that was not there before: a P-256 key and its end-entity certificate under a P-256 CA,
a proxy for an RSA-2048 key below it, all of it in PEM.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from benchmarks.bare_mint import BareMint
from benchmarks.figures import Figure, Goal, compared
from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, PrivateKey, generate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.pool import KeyPool
from proxy_gen.proxy import issue_proxy
from ttscache.authority.generations import Generations
from ttscache.broker.attributes import Attributes
from ttscache.broker.local_signer import LocalSigner
from ttscache.broker.minting import Mint
from ttscache.broker.orders import MintingOrder
from ttscache.broker.ownership import Owners
from ttscache.broker.parents import KeptParents
from ttscache.broker.revocations import Revocations
from ttscache.config.settings import ProxyProfile
from ttscache.model import Decision, Identity
from ttscache.net.deadline import Deadline
from ttscache.store.memory import MemoryStore

_KEYS = 16
_ROUNDS = 40
_MINTS = 40
_HOUR = 3600
_PREFIX = "/DC=org/DC=ttscache/O=benchmark/CN=jane/CN=u-"
_PROFILE = ProxyProfile(
    name="pilot",
    lifetime=12 * _HOUR,
    min_lifetime=_HOUR // 6,
    max_lifetime=24 * _HOUR,
    key=KeyKind.RSA_2048,
    limited=False,
    outlive_token=True,
    voms=(),
)

_MintOne = Callable[[str], Awaitable[bytes]]


class _Rotating(KeyPool):
    """A full pool that hands its keys round: to make 40 ms of new key for each mint would be all that is measured."""

    def take_ready(self) -> PrivateKey | None:
        self._keys.rotate()
        return self._keys[0]


async def run() -> list[Figure]:
    """Measure."""
    authority = CertificateAuthority.create(
        DistinguishedName.parse("/DC=org/DC=ttscache/CN=benchmark CA"),
        KeyKind.P_256,
        now=datetime.now(UTC),
        lifetime=timedelta(days=30),
    )
    pool = _Rotating(KeyKind.RSA_2048, _KEYS)
    try:
        while len(pool) < _KEYS:
            time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs here
        bare, library, product = _bare(authority, pool), _library(authority, pool), _product(authority, pool)
        rounds = await _rounds((bare, library, product))
    finally:
        pool.stop()
    return [
        compared("mint", "EEC and proxy", "ms CPU", [(calls, base) for base, calls, _ in rounds], goal=Goal("<", 1.5)),
        compared("mint", "with its EEC's record", "ms CPU", [(mint, base) for base, _, mint in rounds]),
    ]


async def _rounds(sides: Sequence[_MintOne]) -> list[tuple[float, ...]]:
    """Return each round's milliseconds a mint, side by side; the first round is to warm up."""
    rounds = [tuple([await _measured(side) for side in sides]) for _ in range(_ROUNDS + 1)]
    return rounds[1:]


async def _measured(mint: _MintOne) -> float:
    users = [secrets.token_hex(8) for _ in range(_MINTS)]
    started = time.thread_time()
    for user in users:
        await mint(user)
    return (time.thread_time() - started) / _MINTS * 1e3


def _bare(authority: CertificateAuthority, pool: _Rotating) -> _MintOne:
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    bare = BareMint(authority.certificate, authority.key)
    keys = cycle(key for key in pool._keys if isinstance(key, rsa.RSAPrivateKey))

    async def mint(user: str) -> bytes:
        return bare.mint(user, next(keys))

    return mint


def _library(authority: CertificateAuthority, pool: _Rotating) -> _MintOne:
    async def mint(user: str) -> bytes:
        now = datetime.now(UTC)
        key = generate_key(KeyKind.P_256)
        subject = DistinguishedName.parse(_PREFIX + user)
        eec = authority.issue_eec(subject, key.public_key(), now=now, lifetime=timedelta(hours=48))
        leaf = pool.take()
        proxy = issue_proxy(eec, key, leaf.public_key(), now=now, lifetime=timedelta(hours=12))
        return Credential((proxy, eec), leaf).to_pem()

    return mint


def _product(authority: CertificateAuthority, pool: _Rotating) -> _MintOne:
    store = MemoryStore(time.time)
    revocations = Revocations(store, time.time, stale_for=_HOUR)
    signer = LocalSigner(Generations.of([authority]), time.time)
    parents = KeptParents(signer, store, time.time, revocations.is_revoked)
    product = Mint(parents, Attributes({}, time.time), Owners(store, time.time), {KeyKind.RSA_2048: pool}, time.time)

    async def mint(user: str) -> bytes:
        return (await product.proxy_for_new_key(_order(user), Deadline.after(60))).pem

    return mint


def _order(user: str) -> MintingOrder:
    now = time.time()
    identity = Identity(
        issuer="benchmark",
        subject=user,
        client_id=None,
        groups=(),
        scopes=frozenset(),
        entitlements=(),
        claims={},
        issued_at=now,
        expires_at=now + _HOUR,
        digest=user,
    )
    decision = Decision(
        rule="users",
        dn=_PREFIX + user,
        account="jane",
        fqans=(),
        scopes=(),
        profiles=("pilot",),
        shared=False,
        trace=(),
    )
    return MintingOrder(
        identity=identity,
        decision=decision,
        session=None,
        profile=_PROFILE,
        lifetime=_PROFILE.lifetime,
        limited=False,
        limits={},
        fqans={},
    )

"""The main use case: an identity asks for a credential."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from proxy_gen.errors import FqanRefusedError as NotAnFqanError
from proxy_gen.voms.fqan import Fqan
from ttscache.broker.cache import CredentialCache
from ttscache.broker.codec import CachedCredential
from ttscache.broker.idtokens import IdTokens, TokenOrder
from ttscache.broker.keys import digest
from ttscache.broker.lifetimes import asked_lifetime
from ttscache.broker.minting import Mint
from ttscache.broker.orders import MintingOrder
from ttscache.broker.ownership import Owners
from ttscache.broker.sessions import SessionGoneError, Sessions
from ttscache.config.settings import IdTokenProfile, Profile, ProxyProfile
from ttscache.errors import (
    FqanRefusedError,
    ProfileRefusedError,
    ProfileUnknownError,
    RequestInvalidError,
    SessionLostError,
)
from ttscache.mapping.engine import decide
from ttscache.mapping.rules import Rule
from ttscache.model import Credential, CredentialRequest, Decision, Identity, IssuedToken, Session
from ttscache.net.deadline import Deadline

_Kind = TypeVar("_Kind", ProxyProfile, IdTokenProfile)
_Issued = TypeVar("_Issued")
# An RSA key, a signature, a few writes; and a refresh that an issuer takes its time for.
_MINT_SECONDS = 60.0
_MAX_IN_MEMORY = 50_000
_SESSION_TRIES = 3
# As long as a session is relied upon without being read again.
_WARM_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class _Plan:
    """What a request comes to, before any session: the same for every repetition of it with the same token.

    ``base`` is the digest of everything that changes the answer but the session's generation. ``served`` is what was
    last answered; it is the answer again until ``until`` (monotonic), unless a session has changed since ``changes``.
    """

    identity: Identity
    decision: Decision
    profile: ProxyProfile
    lifetime: int
    limited: bool
    fqans: Mapping[str, tuple[Fqan, ...]]
    base: str
    served: CachedCredential | None = None
    until: float = 0.0
    changes: int = 0


class CredentialBroker:
    """Decides, finds or opens the session, and returns a credential from the cache or the mint."""

    def __init__(
        self,
        rules: Sequence[Rule],
        profiles: Mapping[str, Profile],
        exchanging: frozenset[str],
        sessions: Sessions,
        mint: Mint,
        cache: CredentialCache,
        owners: Owners,
        idtokens: IdTokens,
    ) -> None:
        """``exchanging`` are the names of the issuers with which sessions are held."""
        self._rules = rules
        self._profiles = profiles
        self._exchanging = exchanging
        self._sessions = sessions
        self._mint = mint
        self._cache = cache
        self._owners = owners
        self._idtokens = idtokens
        self._plans: OrderedDict[tuple[str, CredentialRequest], _Plan] = OrderedDict()

    @property
    def authority(self) -> str | None:
        """The name of the CA that signs the end-entity certificates, in slash form; None where that depends."""
        return self._mint.parents.issuer

    def decide(self, identity: Identity) -> Decision:
        """Return the mapping's decision. Raises MappingRefusedError or DnRefusedError, with the trace."""
        return decide(self._rules, identity)

    def allowed_profiles(self, decision: Decision) -> tuple[Profile, ...]:
        """Return the profiles that the decision allows, the default first."""
        return tuple(self._profiles[name] for name in decision.profiles)

    def vos(self, profile: ProxyProfile) -> tuple[str, ...]:
        """Return the VOs whose attributes a profile's proxies carry."""
        return tuple(self._mint.attributes.vo(name) for name in profile.voms)

    async def issue(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> Credential:
        """Return a credential for the identity.

        One whose key the daemon makes is cached; for a CSR it is signed anew, on the same session and EEC. Raises
        any of the errors of :mod:`ttscache.errors` but those of tokens.
        """
        if request.csr is None and (warm := self._warm(identity, request)) is not None:
            return warm
        return await _persistently(lambda: self._issue(identity, subject_token, request, deadline))

    async def issue_idtoken(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> IssuedToken:
        """Return an HTCondor IDTOKEN for the identity. Raises as :meth:`issue`."""
        return await _persistently(lambda: self._issue_idtoken(identity, subject_token, request, deadline))

    async def _issue_idtoken(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> IssuedToken:
        decision = self.decide(identity)
        profile = self._profile(decision, request, IdTokenProfile)
        lifetime = asked_lifetime(profile, request.lifetime)
        session = await self._session(identity, subject_token, deadline)
        if session is not None:
            session = await self._sessions.confirmed(session, deadline)
        order = TokenOrder(identity, decision, profile, lifetime, _limits(identity, profile, session))
        return await self._idtokens.issue(order)

    async def _session(self, identity: Identity, subject_token: str, deadline: Deadline) -> Session | None:
        if identity.issuer not in self._exchanging:
            return None
        return await self._sessions.current(identity, subject_token, deadline)

    async def _issue(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> Credential:
        plan = self._plan(identity, request)
        changes = self._sessions.changes
        session = await self._session(identity, subject_token, deadline)
        if request.csr is not None:
            return await self._mint.proxy_for_csr(await self._order(plan, session, deadline), request.csr, deadline)

        async def mint() -> Credential:
            # not this caller's deadline: others may have joined, and the outcome is kept
            own = Deadline.after(_MINT_SECONDS)
            return await self._mint.proxy_for_new_key(await self._order(plan, session, own), own)

        key = plan.base + self._mint.parents.generation
        if session is not None:
            self._sessions.confirm_behind(session)
            key += session.generation
        served = await self._cache.get(key, plan.profile.min_lifetime, mint, deadline)
        plan.served, plan.until, plan.changes = served, time.monotonic() + _WARM_SECONDS, changes
        return served.credential

    def _warm(self, identity: Identity, request: CredentialRequest) -> Credential | None:
        """Return what the same request was answered with a moment ago, if nothing can have changed since."""
        plan = self._plans.get((identity.digest, request))
        if plan is None or plan.served is None or plan.changes != self._sessions.changes:
            return None
        if time.monotonic() >= plan.until or not self._cache.is_fresh(plan.served):
            return None
        return plan.served.credential

    async def _order(self, plan: _Plan, session: Session | None, deadline: Deadline) -> MintingOrder:
        confirmed = None if session is None else await self._sessions.confirmed(session, deadline)
        await self._owners.require(plan.decision, plan.identity)
        return MintingOrder(
            identity=plan.identity,
            decision=plan.decision,
            session=confirmed,
            profile=plan.profile,
            lifetime=plan.lifetime,
            limited=plan.limited,
            limits=_limits(plan.identity, plan.profile, confirmed),
            fqans=plan.fqans,
        )

    async def drain(self) -> None:
        """Wait for everything that is under way behind the scenes."""
        await self._cache.drain()
        await self._mint.drain()
        await self._sessions.drain()

    def _profile(self, decision: Decision, request: CredentialRequest, kind: type[_Kind]) -> _Kind:
        """Return the profile that is asked for, or else the rule's first of the kind."""
        if request.profile is None:
            found = next((each for each in self.allowed_profiles(decision) if isinstance(each, kind)), None)
            if found is None:
                raise ProfileRefusedError(f"rule '{decision.rule}' allows no profile of the type that was asked for")
            return found
        profile = self._profiles.get(request.profile)
        if profile is None:
            raise ProfileUnknownError("there is no profile of this name; /v1/whoami lists those that are allowed")
        if profile.name not in decision.profiles:
            raise ProfileRefusedError(
                f"rule '{decision.rule}' does not allow profile '{profile.name}'; allowed: "
                + ", ".join(decision.profiles)
            )
        if not isinstance(profile, kind):
            raise RequestInvalidError(f"profile '{profile.name}' is of another type than was asked for")
        return profile

    def _plan(self, identity: Identity, request: CredentialRequest) -> _Plan:
        if request.csr is not None:
            return self._planned(identity, request)
        key = (identity.digest, request)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._planned(identity, request)
            if len(self._plans) > _MAX_IN_MEMORY:
                self._plans.popitem(last=False)
        return plan

    def _planned(self, identity: Identity, request: CredentialRequest) -> _Plan:
        decision = self.decide(identity)
        profile = self._profile(decision, request, ProxyProfile)
        lifetime = asked_lifetime(profile, request.lifetime)
        limited = profile.limited if request.limited is None else request.limited
        fqans = self._fqans(decision, profile, request)
        # without a session what is issued ends with the token, so that one of a longer life is another answer
        without_session = identity.issuer not in self._exchanging and not profile.outlive_token
        ends_with = int(identity.expires_at) if without_session else 0
        decided = (decision.rule, decision.dn, decision.account, decision.fqans, decision.scopes, decision.shared)
        carried = [(name, self._mint.attributes.generation(name), fqans[name]) for name in fqans]
        asked = (profile, lifetime, limited, ends_with, carried)
        base = digest(identity.issuer, identity.subject, repr(decided), repr(asked))
        return _Plan(identity, decision, profile, lifetime, limited, fqans, base)

    def _fqans(
        self, decision: Decision, profile: ProxyProfile, request: CredentialRequest
    ) -> dict[str, tuple[Fqan, ...]]:
        """Return what the proxy carries, by attribute authority, in the order asked for: the first is the primary.

        Raises :class:`FqanRefusedError` for what the rule does not grant or the profile does not carry.
        """
        granted = [Fqan.parse(text) for text in decision.fqans]
        wanted = list(dict.fromkeys(_parsed(text) for text in request.fqans)) or granted
        if not set(wanted) <= set(granted):
            raise FqanRefusedError(f"rule '{decision.rule}' does not grant every FQAN that was asked for")
        vos = {name: self._mint.attributes.vo(name) for name in profile.voms}
        carried = {name: tuple(fqan for fqan in wanted if fqan.vo == vo) for name, vo in vos.items()}
        if request.fqans and sum(map(len, carried.values())) < len(wanted):
            carries = f"attributes of {', '.join(vos.values())} only" if vos else "no VOMS attributes"
            raise FqanRefusedError(f"profile '{profile.name}' carries {carries}")
        return {name: fqans for name, fqans in carried.items() if fqans}


def _limits(identity: Identity, profile: Profile, session: Session | None) -> dict[str, float]:
    if session is not None:
        return {"session": session.ends_at}
    return {} if profile.outlive_token else {"token": identity.expires_at}


def _parsed(text: str) -> Fqan:
    try:
        return Fqan.parse(text)
    except NotAnFqanError as error:
        raise RequestInvalidError(str(error)) from None


async def _persistently(attempt: Callable[[], Awaitable[_Issued]]) -> _Issued:
    """Try again where another caller or replica has ended the session: the token at hand may open the next."""
    for _ in range(_SESSION_TRIES):
        try:
            return await attempt()
        except SessionGoneError:
            continue
    raise SessionLostError("the session ended as soon as it was opened; try again")

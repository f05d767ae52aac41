"""The main use case: an identity asks for a credential."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy_gen.voms.fqan import Fqan
from ttscache.broker.cache import Cache, Wanted
from ttscache.broker.codec import Cached
from ttscache.broker.flights import LeaderError, on_own_account
from ttscache.broker.idtokens import IdTokens, TokenOrder
from ttscache.broker.keys import credential_key, digest
from ttscache.broker.lifetimes import asked_lifetime
from ttscache.broker.minting import Mint
from ttscache.broker.orders import MintingOrder
from ttscache.broker.policy import Policy, carried_fqans, still_grants, substance
from ttscache.broker.reception import Asker, Reception, persistently
from ttscache.config.settings import IdTokenProfile, Profile, ProxyProfile
from ttscache.errors import RateLimitedError
from ttscache.metrics import CACHE, ISSUED
from ttscache.model import Credential, CredentialRequest, Decision, Identity, IssuedToken, Session
from ttscache.net.deadline import Deadline

# An RSA key, a signature, a few writes; and a refresh that an issuer takes its time for.
_MINT_SECONDS = 60.0
_MAX_IN_MEMORY = 10_000
# As long as a session is relied upon without being read again.
_WARM_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class _Plan:
    """What a request comes to, before any session: the same for every repetition of it with the same token.

    ``base`` is the digest of everything that changes the answer but the session's generation, when it is needed.
    ``served`` is what was last answered; it is the answer again until ``until`` (monotonic), unless a session has
    changed since ``changes``.
    """

    identity: Identity
    decision: Decision
    profile: ProxyProfile
    lifetime: int
    limited: bool
    fqans: Mapping[str, tuple[Fqan, ...]]
    base: str | None = None
    served: Cached[Credential] | None = None
    until: float = 0.0
    changes: int = 0


class CredentialBroker:
    """Decides, finds or opens the session, and returns a credential from the cache or the mint."""

    def __init__(
        self, policy: Policy, reception: Reception, mint: Mint, cache: Cache[Credential], idtokens: IdTokens
    ) -> None:
        self.policy = policy
        self._reception = reception
        self._sessions = reception.sessions
        self._mint = mint
        self._cache = cache
        self._idtokens = idtokens
        self._plans: OrderedDict[tuple[str, CredentialRequest], _Plan] = OrderedDict()

    @property
    def authority(self) -> str | None:
        """The name of the CA that signs the end-entity certificates, in slash form; None where that depends."""
        return self._mint.parents.issuer

    def vos(self, profile: ProxyProfile) -> tuple[str, ...]:
        """Return the VOs whose attributes a profile's proxies carry."""
        return tuple(self._mint.attributes.vo(name) for name in profile.voms)

    async def issue(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> Credential:
        """Return a credential for who asks.

        One whose key the daemon makes is cached; for a CSR it is signed anew, on the same session and EEC. Raises
        any of the errors of :mod:`ttscache.errors` but those of tokens.
        """
        await self._reception.require_welcome(asker.identity)
        if request.csr is None and (warm := self._warm(asker.identity, request)) is not None:
            return warm
        return await persistently(lambda: self._issue(asker, request, deadline))

    async def issue_idtoken(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> IssuedToken:
        """Return an HTCondor IDTOKEN for who asks. Raises as :meth:`issue`."""
        await self._reception.require_welcome(asker.identity)
        return await persistently(lambda: self._issue_idtoken(asker, request, deadline))

    async def drain(self) -> None:
        """Wait for everything that is under way behind the scenes."""
        await self._cache.drain()
        await self._mint.drain()
        await self._sessions.drain()

    async def _issue_idtoken(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> IssuedToken:
        identity = asker.identity
        decision = self.policy.decide(identity)
        profile = self.policy.profile(decision, request, IdTokenProfile)
        lifetime = asked_lifetime(profile, request.lifetime)
        self._reception.charge(asker)
        session = await self._reception.confirmed_session(asker, deadline)
        order = TokenOrder(identity, decision, profile, lifetime, _limits(identity, profile, session))
        issued = await self._idtokens.issue(order)
        ISSUED.labels(profile.name).inc()
        return issued

    async def _issue(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> Credential:
        plan = self._plan(asker.identity, request)
        if request.csr is not None:
            return await self._issue_for_csr(plan, asker, request.csr, deadline)
        changes = self._sessions.changes
        session = await self._reception.session(asker, deadline)

        async def mint() -> Credential:
            try:
                self._reception.charge(asker)
            except RateLimitedError as limited:
                raise LeaderError(asker, limited) from None
            # not this caller's deadline: others may have joined, and the outcome is kept
            own = Deadline.after(_MINT_SECONDS)
            return await self._handed_out(
                plan, await self._mint.proxy_for_new_key(await self._order(plan, session, own), own)
            )

        generation = ""
        if session is not None:
            self._sessions.confirm_behind(session)
            generation = session.generation
        wanted = self._wanted(plan, generation)

        def still_granted() -> bool:
            return self._still_granted(plan)

        served = await on_own_account(asker, lambda: self._cache.get(wanted, mint, deadline, still_granted))
        plan.served, plan.until, plan.changes = served, time.monotonic() + _WARM_SECONDS, changes
        return served.credential

    async def _issue_for_csr(self, plan: _Plan, asker: Asker, csr: bytes, deadline: Deadline) -> Credential:
        identity = plan.identity
        self._reception.charge(asker)
        public_key = self._mint.accepted_key(csr, plan.profile)
        self._reception.allowances.duplicate(identity.issuer, identity.subject, plan.profile.name, public_key.der)
        order = await self._order(plan, await self._reception.session(asker, deadline), deadline)
        return await self._handed_out(plan, await self._mint.proxy_for_key(order, public_key, deadline))

    async def _handed_out(self, plan: _Plan, credential: Credential) -> Credential:
        """Return what was made, unless who it is for was revoked while it was being made."""
        await self._reception.require_welcome(plan.identity)
        ISSUED.labels(credential.profile).inc()
        return credential

    def _warm(self, identity: Identity, request: CredentialRequest) -> Credential | None:
        """Return what the same request was answered with a moment ago, if nothing can have changed since."""
        plan = self._plans.get((identity.digest, request))
        if plan is None or plan.served is None or plan.changes != self._sessions.changes:
            return None
        if time.monotonic() >= plan.until or not self._cache.is_fresh(plan.served):
            return None
        _FRESH.inc()
        return plan.served.credential

    def _wanted(self, plan: _Plan, generation: str) -> Wanted:
        identity = plan.identity
        plan.base = plan.base or self._base(plan)
        what = digest(plan.base, self._mint.parents.generation, generation)
        key = credential_key(identity.issuer, identity.subject, what)
        return Wanted(key, (identity.issuer, identity.subject), plan.profile.min_lifetime)

    def _still_granted(self, plan: _Plan) -> bool:
        return still_grants(self.policy, self._reception.newest(plan.identity), plan.decision)

    async def _order(self, plan: _Plan, session: Session | None, deadline: Deadline) -> MintingOrder:
        await self._reception.require_welcome(plan.identity)  # also of a renewal, for which nobody has come to the door
        confirmed = None if session is None else await self._sessions.confirmed(session, deadline)
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

    def _plan(self, identity: Identity, request: CredentialRequest) -> _Plan:
        if request.csr is not None:
            request = replace(request, csr=None)
        key = (identity.digest, request)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._planned(identity, request)
            if len(self._plans) > _MAX_IN_MEMORY:
                self._plans.popitem(last=False)
        return plan

    def _planned(self, identity: Identity, request: CredentialRequest) -> _Plan:
        decision = self.policy.decide(identity)
        profile = self.policy.profile(decision, request, ProxyProfile)
        lifetime = asked_lifetime(profile, request.lifetime)
        limited = profile.limited if request.limited is None else request.limited
        fqans = carried_fqans(decision, profile, request, self._mint.attributes.vo)
        return _Plan(identity, decision, profile, lifetime, limited, fqans)

    def _base(self, plan: _Plan) -> str:
        """Return the digest of everything that changes the answer but the session's generation."""
        identity, profile = plan.identity, plan.profile
        # without a session what is issued ends with the token, so that one of a longer life is another answer
        without_session = identity.issuer not in self._reception.issuers and not profile.outlive_token
        ends_with = int(identity.expires_at) if without_session else 0
        carried = [(name, self._mint.attributes.generation(name), plan.fqans[name]) for name in plan.fqans]
        asked = (profile, plan.lifetime, plan.limited, ends_with, carried)
        return digest(identity.issuer, identity.subject, repr(substance(plan.decision)), repr(asked))


_FRESH = CACHE.labels("fresh")


def _limits(identity: Identity, profile: Profile, session: Session | None) -> dict[str, float]:
    if session is not None:
        return {"session": session.ends_at}
    return {} if profile.outlive_token else {"token": identity.expires_at}

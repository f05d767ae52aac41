"""The main use case: an identity asks for a credential."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from ttscache.broker.cache import CredentialCache
from ttscache.broker.lifetimes import asked_lifetime
from ttscache.broker.minting import Mint, MintingOrder
from ttscache.broker.ownership import Owners
from ttscache.broker.sessions import SessionGoneError, Sessions
from ttscache.config.settings import Profile
from ttscache.errors import FqanRefusedError, ProfileRefusedError, ProfileUnknownError, SessionLostError
from ttscache.mapping.engine import decide
from ttscache.mapping.rules import Rule
from ttscache.model import Credential, CredentialRequest, Decision, Identity, Session
from ttscache.net.deadline import Deadline

# An RSA key, a signature, a few writes; and a refresh that an issuer takes its time for.
_MINT_SECONDS = 60.0
_MAX_IN_MEMORY = 50_000
_SESSION_TRIES = 3


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
    ) -> None:
        """``exchanging`` are the names of the issuers with which sessions are held."""
        self._rules = rules
        self._profiles = profiles
        self._exchanging = exchanging
        self._sessions = sessions
        self._mint = mint
        self._cache = cache
        self._owners = owners
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    @property
    def authority(self) -> str:
        """The name of whoever signs the end-entity certificates, in slash form."""
        return self._mint.authority

    def decide(self, identity: Identity) -> Decision:
        """Return the mapping's decision. Raises MappingRefusedError or DnRefusedError, with the trace."""
        decision = self._decisions.get(identity.digest)
        if decision is None:
            # one token always gets the same decision from the same rules
            decision = self._decisions[identity.digest] = decide(self._rules, identity)
            if len(self._decisions) > _MAX_IN_MEMORY:
                self._decisions.popitem(last=False)
        return decision

    def allowed_profiles(self, decision: Decision) -> tuple[Profile, ...]:
        """Return the profiles that the decision allows, the default first."""
        return tuple(self._profiles[name] for name in decision.profiles)

    async def issue(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> Credential:
        """Return a credential for the identity.

        One whose key the daemon makes is cached; for a CSR it is signed anew, on the same session and EEC. Raises
        any of the errors of :mod:`ttscache.errors` but those of tokens.
        """
        for _ in range(_SESSION_TRIES):
            try:
                return await self._issue(identity, subject_token, request, deadline)
            except SessionGoneError:
                continue  # ended by another caller or replica: the token at hand may open the next
        raise SessionLostError("the session ended as soon as it was opened; try again")

    async def _issue(
        self, identity: Identity, subject_token: str, request: CredentialRequest, deadline: Deadline
    ) -> Credential:
        decision = self.decide(identity)
        profile = self._profile(decision, request)
        lifetime = asked_lifetime(profile, request.lifetime)
        limited = profile.limited if request.limited is None else request.limited
        _require_fqans(decision, profile, request)
        session = await self._session(identity, subject_token, deadline)

        async def order(confirm_by: Deadline) -> MintingOrder:
            confirmed = None if session is None else await self._sessions.confirmed(session, confirm_by)
            await self._owners.require(decision, identity)
            return MintingOrder(
                identity=identity,
                decision=decision,
                generation="" if confirmed is None else confirmed.generation,
                profile=profile,
                lifetime=lifetime,
                limited=limited,
                limits=_limits(identity, profile, confirmed),
            )

        if request.csr is not None:
            return await self._mint.proxy_for_csr(await order(deadline), request.csr, deadline)

        async def mint() -> Credential:
            # not this caller's deadline: others may have joined, and the outcome is kept
            own = Deadline.after(_MINT_SECONDS)
            return await self._mint.proxy_for_new_key(await order(own), own)

        if session is not None:
            self._sessions.confirm_behind(session)
        key = self._cache_key(identity, decision, session, profile, lifetime, limited=limited)
        return (await self._cache.get(key, profile.min_lifetime, mint, deadline)).credential

    async def drain(self) -> None:
        """Wait for everything that is under way behind the scenes."""
        await self._cache.drain()
        await self._mint.drain()
        await self._sessions.drain()

    def _profile(self, decision: Decision, request: CredentialRequest) -> Profile:
        if request.profile is None:
            return self._profiles[decision.profiles[0]]
        profile = self._profiles.get(request.profile)
        if profile is None:
            raise ProfileUnknownError("there is no profile of this name; /v1/whoami lists those that are allowed")
        if profile.name not in decision.profiles:
            raise ProfileRefusedError(
                f"rule '{decision.rule}' does not allow profile '{profile.name}'; allowed: "
                + ", ".join(decision.profiles)
            )
        return profile

    async def _session(self, identity: Identity, subject_token: str, deadline: Deadline) -> Session | None:
        if identity.issuer not in self._exchanging:
            return None
        return await self._sessions.current(identity, subject_token, deadline)

    def _cache_key(
        self,
        identity: Identity,
        decision: Decision,
        session: Session | None,
        profile: Profile,
        lifetime: int,
        *,
        limited: bool,
    ) -> tuple[object, ...]:
        """Return everything that changes the answer."""
        # without a session what is issued ends with the token, so that one of a longer life is another answer
        ends_with = 0 if session is not None or profile.outlive_token else int(identity.expires_at)
        return (
            identity.issuer,
            identity.subject,
            "" if session is None else session.generation,
            (decision.rule, decision.dn, decision.account, decision.fqans, decision.scopes, decision.shared),
            profile,
            lifetime,
            limited,
            ends_with,
            self._mint.authority_id,
        )


def _limits(identity: Identity, profile: Profile, session: Session | None) -> dict[str, float]:
    if session is not None:
        return {"session": session.ends_at}
    return {} if profile.outlive_token else {"token": identity.expires_at}


def _require_fqans(decision: Decision, profile: Profile, request: CredentialRequest) -> None:
    if not request.fqans:
        return
    if set(request.fqans) - set(decision.fqans):
        raise FqanRefusedError(f"rule '{decision.rule}' does not grant every FQAN that was asked for")
    raise FqanRefusedError(f"profile '{profile.name}' carries no VOMS attributes")

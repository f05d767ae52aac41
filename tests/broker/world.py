"""A real IAM, and replicas of the broker's rooms over one store, wired as the daemon wires them; clocks that stand."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority
from proxy_gen.keys import KeyKind, PrivateKey, generate_key
from proxy_gen.names import DistinguishedName
from ttscache.authority.generations import Generations
from ttscache.broker.access_tokens import AccessTokens
from ttscache.broker.anchors import LocalAnchors
from ttscache.broker.attributes import Attributes
from ttscache.broker.cache import Cache
from ttscache.broker.codec import PROXY, TOKEN
from ttscache.broker.credentials import CredentialBroker
from ttscache.broker.idtokens import IdTokens
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.limits import Allowances
from ttscache.broker.local_attributes import LocalAttributes, attribute_authority_name
from ttscache.broker.local_signer import LocalSigner
from ttscache.broker.minting import Mint
from ttscache.broker.orders import Parents
from ttscache.broker.ownership import Owners
from ttscache.broker.parents import KeptParents
from ttscache.broker.policy import Policy
from ttscache.broker.publishing import Publisher
from ttscache.broker.reception import Asker, Reception
from ttscache.broker.renewals import Renewals
from ttscache.broker.revocations import Revocations
from ttscache.broker.session_records import SessionRecords
from ttscache.broker.sessions import Sessions
from ttscache.broker.standing import StandingSessions
from ttscache.config.settings import Limits, LocalVoms, Profile, ProxyProfile, Rate, SessionPolicy, StandingSession
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import Issuer, TokenVerifier, identity_of
from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template
from ttscache.model import Credential, CredentialRequest, Identity, Session
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.store.base import Store
from ttscache.upstream.settings import AuthMethod, ExchangeSettings
from ttscache.upstream.token_endpoint import TokenEndpoint

AUDIENCE = "https://ttscache.test"
ISSUER = "test"
START = 2_000_000_000.0
HOUR, DAY = 3600.0, 86400.0
POLICY = SessionPolicy(confirm=HOUR, grace=6 * HOUR, idle=7 * DAY, absolute=30 * DAY)
SCOPES = ("openid", "offline_access", "wlcg.groups")
TOP = "/DC=ch/DC=example"


GENEROUS = Limits(identity=Rate(10_000, 60.0), address=Rate(10_000, 60.0), duplicates=Rate(10_000, 60.0))


class Clock:
    """A wall clock that stands until it is moved; leases run on the machine's, which ``slept`` puts forward."""

    def __init__(self) -> None:
        self.time = START
        self.slept = 0.0

    def __call__(self) -> float:
        return self.time


def profile(name: str = "pilot", **changes: Any) -> ProxyProfile:  # noqa: ANN401 - any field
    made = ProxyProfile(
        name=name, lifetime=43200, min_lifetime=600, max_lifetime=43200,
        key=KeyKind.P_256, limited=False, outlive_token=False, voms=(),
    )  # fmt: skip
    return replace(made, **changes)


def rule(name: str = "users", dn: str = TOP + "/CN={preferred_username}", **changes: Any) -> Rule:  # noqa: ANN401
    made = Rule(
        name=name, when=When(groups=("/cms",)), dn=Template.parse(dn), account=Template.parse("{preferred_username}"),
        fqans=("/cms",), scopes=(), profiles=("pilot", "limited", "short"), shared=False,
    )  # fmt: skip
    return replace(made, **changes)


PRODUCTION = rule(
    "production", when=When(groups=("/cms/production",)), account=Template.parse("cmsprod"), fqans=("/cms/production",)
)


@dataclass(frozen=True)
class Setup:
    """What a replica is configured with."""

    policy: SessionPolicy = POLICY
    rules: tuple[Rule, ...] = (rule(),)
    profiles: tuple[Profile, ...] = (
        profile(),
        profile("limited", limited=True),
        profile("short", lifetime=900, min_lifetime=60, max_lifetime=3600),
    )
    scopes: tuple[str, ...] = SCOPES
    secret: str | None = None
    exchanging: bool = True
    stale_for: float = 300.0
    voms: Mapping[str, LocalVoms] = field(default_factory=dict)
    limits: Limits = GENEROUS
    sessions: tuple[StandingSession, ...] = ()


@dataclass(frozen=True)
class Told:
    """What consumers are told to trust."""

    certificates_pem: bytes
    crl_der: bytes | None
    files: dict[str, bytes]
    voms_files: dict[str, bytes]


class Replica:
    """One process's rooms over a store."""

    def __init__(self, world: "World", store: Store, setup: Setup) -> None:
        self.world = world
        self.store = store
        self.setup = setup
        self.fetcher = Fetcher()
        clock, iam = world.clock, world.iam
        identity = IssuerSettings(
            name=ISSUER,
            url=iam.url,
            token_issuer=iam.url,
            audiences=frozenset({AUDIENCE}),
            algorithms=frozenset({"ES256"}),
            token_profile=TokenProfile.WLCG,
            leeway=30.0,
        )
        client = iam.config.client("ttscache")
        exchange = ExchangeSettings(
            client_id=client.client_id,
            secret=setup.secret or client.secret,
            auth_method=AuthMethod.BASIC,
            scopes=setup.scopes,
            audience=None,
        )
        self.issuer = Issuer(identity, self.fetcher)
        self.verifier = TokenVerifier([self.issuer], clock)
        exchanging = {
            ISSUER: ExchangingIssuer(
                name=ISSUER,
                policy=setup.policy,
                settings=exchange,
                endpoint=TokenEndpoint(ISSUER, exchange, self.fetcher, self.issuer.discovery.token_endpoint, clock),
                inspect=lambda token, deadline: self.verifier.inspect(token, ISSUER, deadline),
                identify=lambda claims: identity_of("", claims, identity),
                hands_out_tokens=True,
            )
        }
        names = [
            attribute_authority_name(ca, each.host) for ca in world.generations.all for each in setup.voms.values()
        ]
        owners = Owners(store, clock, names)
        self.exchanging = exchanging if setup.exchanging else {}
        self.revocations = Revocations(store, clock, stale_for=setup.stale_for)
        self.renewals = Renewals(clock)
        records = SessionRecords(store, clock, stale_for=setup.stale_for)
        self.sessions = Sessions(store, self.exchanging, clock, self.renewals, records)
        self.allowances = Allowances(setup.limits)
        self.standing = StandingSessions(
            {each.name: each for each in setup.sessions},
            self.exchanging,
            self.sessions,
            self.revocations,
            self.verifier.verify,
        )
        self.reception = Reception(self.exchanging, self.sessions, self.standing, self.revocations, self.allowances)
        policy = Policy(setup.rules, {each.name: each for each in setup.profiles})
        mint = Mint(self.parents(), self.attributes(), owners, {}, clock)
        proxies = Cache(PROXY, store, clock, self.renewals, lambda proxy: self.revocations.is_revoked(proxy.eec_serial))
        self.broker = CredentialBroker(policy, self.reception, mint, proxies, IdTokens(clock))
        self.access_tokens = AccessTokens(policy, self.reception, Cache(TOKEN, store, clock, self.renewals), clock)

    def parents(self) -> Parents:
        signer = LocalSigner(self.world.generations, self.world.clock)
        return KeptParents(signer, self.store, self.world.clock, self.revocations.is_revoked)

    def attributes(self) -> Attributes:
        sources = {
            name: LocalAttributes(settings, self.world.generations, self.world.clock)
            for name, settings in self.setup.voms.items()
        }
        return Attributes(sources, self.world.clock)

    async def published(self) -> "Told":
        """What consumers are told to trust."""
        subjects, longest = (TOP + "/*",), 2 * max(each.max_lifetime for each in self.setup.profiles)
        source = LocalAnchors(self.world.generations, subjects, longest, self.store, self.world.clock, self.revocations)
        publisher = Publisher(source, self.broker._mint.attributes.files, self.world.clock)
        published = await publisher.published(Deadline.after(5))
        return Told(published.certificates_pem, published.crl_der, published.files, publisher.voms_files())

    async def identity(self, token: str) -> Identity:
        return await self.verifier.verify(token, Deadline.after(5))

    async def session(self, token: str | None = None) -> Session:
        token = token or self.world.token()
        return await self.sessions.current(await self.identity(token), token, Deadline.after(10))

    async def confirmed(self, session: Session, seconds: float = 10) -> Session:
        return await self.sessions.confirmed(session, Deadline.after(seconds))

    async def issue(self, token: str | None = None, seconds: float = 10, **request: Any) -> Credential:  # noqa: ANN401
        token = token or self.world.token()
        return await self.issue_to(await self.identity(token), token, seconds, **request)

    async def issue_to(
        self,
        identity: Identity,
        token: str,
        seconds: float = 10,
        **request: Any,  # noqa: ANN401
    ) -> Credential:
        asker = Asker(identity, token, "192.0.2.1")
        return await self.broker.issue(asker, CredentialRequest(**request), Deadline.after(seconds))

    async def behind(self) -> None:
        """Let what is due to be renewed behind be renewed."""
        self.renewals.tick()
        await self.renewals.settle()
        await self.broker.drain()

    async def close(self) -> None:
        await self.renewals.drain()
        await self.broker.drain()
        await self.issuer.jwks.close()
        await self.fetcher.close()


@dataclass
class World:
    """Everything that a test of the broker stands on."""

    iam: EmbeddedIam
    clock: Clock
    authority: CertificateAuthority
    open_store: Callable[[], Store]
    replicas: list[Replica] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    successors: list[CertificateAuthority] = field(default_factory=list)

    def store(self) -> Store:
        """A store as another process would open it."""
        self.stores.append(self.open_store())
        return self.stores[-1]

    def replica(self, setup: Setup | None = None, store: Store | None = None) -> Replica:
        """A replica; over the first one's store unless another is given."""
        if store is None:
            store = self.stores[0] if self.stores else self.store()
        self.replicas.append(Replica(self, store, setup or Setup()))
        return self.replicas[-1]

    def token(self, username: str = "jane", scope: str = "openid profile wlcg wlcg.groups") -> str:
        return self.iam.token_for(username, scope=scope, audience=AUDIENCE)

    @property
    def generations(self) -> Generations:
        return Generations.of([self.authority, *self.successors])

    @property
    def granted(self) -> Mapping[str, int]:
        """How many tokens the IAM has issued by grant."""
        return self.iam.counters.granted

    @property
    def asked(self) -> Mapping[str, int]:
        """How often the IAM was asked, by grant."""
        return self.iam.counters.grants

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.close()
        for store in self.stores:
            await store.close()
        await self.iam.stop()


def an_authority(left: timedelta = timedelta(days=3650)) -> CertificateAuthority:
    """A CA that is ten days old, and ends so long from the start."""
    name, age = DistinguishedName.parse(f"{TOP}/CN=CA"), timedelta(days=10)
    made = datetime.fromtimestamp(START, UTC) - age
    return CertificateAuthority.create(name, KeyKind.P_256, now=made, lifetime=age + left)


async def start(open_store: Callable[[Clock], Store], **iam: Any) -> World:  # noqa: ANN401 - IamConfig's own
    clock = Clock()
    # the IAM's tokens outlive every jump that a test makes with the daemon's clock, unless it says otherwise
    settings: dict[str, Any] = {"signing": ("ES256",), "now": clock, "access_lifetime": 40 * 86400} | iam
    server = EmbeddedIam(IamConfig(**settings))
    await server.start()
    return World(server, clock, an_authority(), lambda: open_store(clock))


def csr(kind: KeyKind = KeyKind.P_256, key: PrivateKey | None = None) -> bytes:
    key = key or generate_key(kind)
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return built.public_bytes(Encoding.PEM)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that is under way has happened."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what happens is in a server and tells nobody
            await asyncio.sleep(0.005)


def together(work: Callable[[], Awaitable[Any]], times: int) -> Awaitable[list[Any]]:
    """Begin the same work so many times at once; refusals are among the results."""
    return asyncio.gather(*(work() for _ in range(times)), return_exceptions=True)

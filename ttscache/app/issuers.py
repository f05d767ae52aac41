"""Opens the issuers of a configuration: to verify their tokens, to hold sessions with them, to ask them more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.members import Members
from ttscache.broker.readiness import Status
from ttscache.config.settings import AccessTokenProfile, IssuerConfiguration, ManagedProxyAuthority, Settings
from ttscache.identity.verifier import Issuer, TokenVerifier, identity_of
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.server.services import Services
from ttscache.upstream.scim import GroupDirectory
from ttscache.upstream.token_endpoint import TokenEndpoint
from ttscache.upstream.token_review import TokenReviews


class Fetchers:
    """One fetcher for each file of private CAs: upstreams that share them share connections."""

    def __init__(self) -> None:
        self._made: dict[Path | None, Fetcher] = {}

    def __call__(self, ca_file: Path | None) -> Fetcher:
        """Return the one that trusts these CAs, or the system's."""
        if ca_file not in self._made:
            self._made[ca_file] = Fetcher(ca_file)
        return self._made[ca_file]

    async def close(self) -> None:
        """Close all connections."""
        for each in self._made.values():
            await each.close()


@dataclass(frozen=True)
class Issuers:
    """The configured issuers: as their tokens are verified, and as sessions are held with them."""

    all: Mapping[str, Issuer]
    exchanging: Mapping[str, ExchangingIssuer]
    verifier: TokenVerifier

    def checks(self) -> dict[str, Callable[[Deadline], Awaitable[Status]]]:
        """Return the readiness of each."""
        return {name: _IssuerCheck(issuer, self.exchanging.get(name)) for name, issuer in self.all.items()}


def open_issuers(settings: Settings, fetchers: Fetchers, previous: Services | None) -> Issuers:
    """Open the configured issuers; what ``previous`` services have learnt of the same ones is taken over."""
    issuers = {c.identity.name: Issuer(c.identity, _issuer_fetcher(c, fetchers)) for c in settings.issuers}
    for name, issuer in issuers.items():
        if previous is not None and name in previous.issuers:
            issuer.adopt(previous.issuers[name])
    verifier = TokenVerifier(issuers.values(), time.time)
    exchanging = {
        c.identity.name: _exchanging(settings, c, issuers[c.identity.name], verifier, fetchers(c.identity.ca_file))
        for c in settings.issuers
        if c.exchange is not None
    }
    for name, each in exchanging.items():
        known = None if previous is None else previous.exchanging.get(name)
        if known is not None and known.settings == each.settings:
            each.endpoint.adopt(known.endpoint)
    return Issuers(issuers, exchanging, verifier)


def _exchanging(
    settings: Settings, configuration: IssuerConfiguration, issuer: Issuer, verifier: TokenVerifier, fetcher: Fetcher
) -> ExchangingIssuer:
    name = configuration.identity.name
    if configuration.exchange is None:
        raise TypeError("an issuer with `exchange`")
    return ExchangingIssuer(
        name=name,
        policy=configuration.session,
        settings=configuration.exchange,
        endpoint=TokenEndpoint(name, configuration.exchange, fetcher, issuer.discovery.token_endpoint, time.time),
        inspect=lambda token, deadline: verifier.inspect(token, name, deadline),
        identify=lambda claims: identity_of("", claims, configuration.identity),
        keeps_access_token=isinstance(settings.authority, ManagedProxyAuthority),
        hands_out_tokens=any(isinstance(profile, AccessTokenProfile) for profile in settings.profiles.values()),
    )


def _issuer_fetcher(configuration: IssuerConfiguration, fetchers: Fetchers) -> Fetcher | AuthorizedFetcher:
    """Return what fetches an issuer's keys; a cluster's shows them to who presents a token of its own."""
    fetcher, api = fetchers(configuration.identity.ca_file), configuration.api
    return fetcher if api is None else AuthorizedFetcher(fetcher, configuration.identity.url, api.token)


def open_reviews(settings: Settings, fetchers: Fetchers) -> dict[str, TokenReviews]:
    """Return what asks the clusters that are to be asked of each token."""
    reviewing = [c for c in settings.issuers if c.api is not None and c.api.review]
    return {
        c.identity.name: TokenReviews(c.identity.name, c.identity.url, fetcher, c.identity.audiences)
        for c in reviewing
        if isinstance(fetcher := _issuer_fetcher(c, fetchers), AuthorizedFetcher)
    }


def open_members(settings: Settings, issuers: Issuers, fetchers: Fetchers) -> Members | None:
    """Return who reads the groups of the issuer that old clients' session is of."""
    if settings.legacy is None:
        return None
    (name,) = {each.issuer for each in settings.sessions if each.name == settings.legacy.session}
    configured = next(c.identity for c in settings.issuers if c.identity.name == name)
    directory = GroupDirectory(name, configured.url, fetchers(configured.ca_file))
    return Members(issuers.exchanging[name].endpoint, directory)


class _IssuerCheck:
    """Readiness of one issuer: without it, what is known of its keys still serves."""

    def __init__(self, issuer: Issuer, exchanging: ExchangingIssuer | None) -> None:
        self._issuer = issuer
        self._exchanging = exchanging

    async def __call__(self, deadline: Deadline) -> Status:
        reachable = await self._issuer.is_reachable(deadline)
        if reachable and (self._exchanging is None or self._exchanging.endpoint.circuit.worth_trying):
            return Status.OK
        return Status.DEGRADED if self._issuer.jwks.usable else Status.DOWN

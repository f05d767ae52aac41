"""What the parts of a configuration need of each other."""

from __future__ import annotations

from collections.abc import Mapping

from ttscache.config.notes import Notes
from ttscache.config.settings import (
    AccessTokenProfile,
    AuthoritySettings,
    IssuerConfiguration,
    LocalAuthority,
    LocalVoms,
    ManagedProxyAuthority,
    Profile,
    ProxyProfile,
    RemoteVoms,
    WorkloadRule,
)
from ttscache.identity.settings import CREDMON_AUDIENCE

# what IAM asks for where it hands out a managed proxy
_PROXY_SCOPE = "proxy:generate"


def check_authority(
    notes: Notes,
    authority: AuthoritySettings | None,
    issuers: Mapping[str | int, IssuerConfiguration],
    voms: Mapping[str | int, LocalVoms | RemoteVoms],
) -> None:
    """Check what the authority needs of the other parts, and they of it."""
    if isinstance(authority, ManagedProxyAuthority):
        for index, issuer in issuers.items():
            asks = issuer.exchange is not None and _PROXY_SCOPE in issuer.exchange.scopes
            if not asks and issuer.api is None:
                message = f"an authority of kind iam-proxycert needs `exchange` with the scope {_PROXY_SCOPE}"
                notes.wrong(("issuers", index), message)
    if authority is None or isinstance(authority, LocalAuthority):
        return
    for name, each in voms.items():
        if isinstance(each, LocalVoms) and each.credential is None:
            notes.wrong(("voms", name), "without a local CA it needs `cert` and `key`")


def require_distinct_voms(
    notes: Notes, profiles: Mapping[str | int, Profile], voms: Mapping[str | int, LocalVoms | RemoteVoms]
) -> None:
    """Two authorities under one VO and host would share an .lsc file, two of one VO a place in a proxy."""
    seen: set[tuple[str, str]] = set()
    for name, each in voms.items():
        if (each.vo, each.host) in seen:
            notes.wrong(("voms", name), f"VO '{each.vo}' has an authority under host '{each.host}' already")
        seen.add((each.vo, each.host))
    for name, profile in profiles.items():
        vos = [voms[each].vo for each in (profile.voms if isinstance(profile, ProxyProfile) else ()) if each in voms]
        if len(set(vos)) < len(vos):
            notes.wrong(("profiles", name, "voms"), "a proxy carries the attributes of a VO once")


def require_distinct_issuers(notes: Notes, issuers: Mapping[str | int, IssuerConfiguration]) -> None:
    """Issuers that share an `iss`, as clusters do, are told apart by the token's audience."""
    seen: dict[str, set[str]] = {}
    for index, issuer in issuers.items():
        audiences = seen.setdefault(issuer.identity.token_issuer, set())
        for audience in sorted(audiences & issuer.identity.audiences):
            message = f"another issuer has the same `iss` and the audience '{audience}': nothing would tell them apart"
            notes.wrong(("issuers", index, "audiences"), message)
        audiences |= issuer.identity.audiences


def require_distinct_workloads(notes: Notes, workloads: Mapping[str | int, WorkloadRule]) -> None:
    """A pod acts by one session."""
    seen: set[tuple[str, str, str]] = set()
    for index, rule in workloads.items():
        whom = (rule.issuer, rule.namespace, rule.service_account)
        if whom in seen:
            notes.wrong(("workloads", index), "there is a rule for this service account already")
        seen.add(whom)


def check_audiences(
    notes: Notes, profiles: Mapping[str | int, Profile], issuers: Mapping[str | int, IssuerConfiguration]
) -> None:
    """What is given to a service must not open this daemon to it."""
    ours = {CREDMON_AUDIENCE, *(audience for issuer in issuers.values() for audience in issuer.identity.audiences)}
    for name, profile in profiles.items():
        for audience in sorted(ours & set(profile.audiences if isinstance(profile, AccessTokenProfile) else ())):
            message = f"'{audience}' is an audience of this daemon's own: whoever got such a token could come with it"
            notes.wrong(("profiles", name, "audiences"), message)

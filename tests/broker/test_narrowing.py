"""What an access token may be exchanged down to: never to more than the rule, or the presented token, has."""

import posixpath
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mapping.people import identity
from ttscache.broker.narrowing import narrowing
from ttscache.broker.scopes import all_covered, covers
from ttscache.config.settings import AccessTokenProfile
from ttscache.errors import AudienceRefusedError, ScopeRefusedError
from ttscache.model import CredentialRequest, Decision
from ttscache.upstream.token_endpoint import Narrowing

XCACHE, STORAGE, DISK = "https://xcache.example", "https://storage.example", "https://disk.example"
PROFILE = AccessTokenProfile(
    name="storage", lifetime=3600, min_lifetime=60, max_lifetime=21600, outlive_token=False, audiences=(XCACHE, STORAGE)
)
DECISION = Decision(
    rule="users", dn="/CN=jane", account="jane", fqans=(), scopes=(), profiles=("storage",), shared=False, trace=()
)
BOUNDS = ("storage.read:/cms", "storage.create:/cms/jane", "compute.read")

BASES = ("storage.read", "storage.modify", "storage.stage", "wlcg.groups", "compute.read", "storage.readx")
PIECES = st.sampled_from(["cms", "cmsx", "cm", "jane", "", ".", "..", "...", "%2e%2e", "%252e.", "%2f", "\\..", "CMS"])
PATHS = st.lists(PIECES, max_size=4).map(lambda pieces: "/" + "/".join(pieces))
SCOPES = st.one_of(
    st.builds("{}:{}".format, st.sampled_from(BASES), PATHS),
    st.sampled_from([*BASES, "openid", "profile", "email", "offline_access", "wlcg", "storage.read:cms", "storage"]),
    st.text(max_size=12),
)
AUDIENCES = st.sampled_from([XCACHE, STORAGE, DISK, XCACHE + "/", XCACHE.upper(), "", f"{XCACHE} {DISK}"])


def narrowed(
    scopes: tuple[str, ...] = (),
    audiences: tuple[str, ...] = (),
    *,
    rule: tuple[str, ...] = (),
    token: tuple[str, ...] = (),
) -> Narrowing:
    decision, jane = replace(DECISION, scopes=rule), identity(scopes=frozenset(token))
    return narrowing(jane, decision, PROFILE, CredentialRequest(audiences=audiences, scopes=scopes))


def meant(scope: str) -> tuple[str, list[str]]:
    """Return what a service that decodes and resolves all there is may take a scope for."""
    base, _, path = scope.partition(":")
    while (decoded := unquote(path).replace("\\", "/")) != path:
        path = decoded
    resolved = posixpath.normpath(f"/{path}").lstrip("/")
    return base, resolved.split("/") if resolved else []


def is_within(bound: str, scope: str) -> bool:
    (wide, above), (base, path) = meant(bound), meant(scope)
    if base.startswith("storage."):
        return base == wide and path[: len(above)] == above
    return scope == bound or (wide == base == "wlcg.groups" and not above)


@given(
    asked=st.lists(SCOPES, max_size=3).map(tuple),
    audiences=st.lists(AUDIENCES, max_size=3).map(tuple),
    rule=st.lists(SCOPES, max_size=3).map(tuple),
    token=st.lists(SCOPES, max_size=4).map(tuple),
)
@example(asked=("storage.read:/cms/../x",), audiences=(), rule=("storage.read:/cms",), token=())
@example(asked=("storage.read:/cms storage.modify:/",), audiences=(), rule=("storage.read:/",), token=())
@example(asked=("wlcg.groups:/cms/jane",), audiences=(), rule=(), token=("wlcg.groups:/cms",))
def test_what_comes_of_it_is_within_the_bounds(
    asked: tuple[str, ...], audiences: tuple[str, ...], rule: tuple[str, ...], token: tuple[str, ...]
) -> None:
    try:
        given_out = narrowed(asked, audiences, rule=rule, token=token)
    except (AudienceRefusedError, ScopeRefusedError):
        return
    assert set(given_out.audiences) <= set(PROFILE.audiences)
    assert set(given_out.audiences) == (set(audiences) or {XCACHE})
    assert "offline_access" not in " ".join(given_out.scopes).split()
    for scope in given_out.scopes:
        assert any(is_within(bound, scope) for bound in rule or token), scope
    # what was asked for is what there is, all of it or nothing
    assert set(given_out.scopes) == set(asked) if asked else set(given_out.scopes) <= set(rule or token)
    assert given_out.scopes


@given(base=st.sampled_from(BASES), above=PATHS, below=st.one_of(PATHS, st.text(max_size=6)))
def test_what_covers_is_not_a_matter_of_spelling(base: str, above: str, below: str) -> None:
    for bound in (f"{base}:{above}", base):
        scope = f"{base}:{above}{below}"
        assert is_within(bound, scope) or not covers(bound, scope)
        assert covers(scope, scope)


@pytest.mark.parametrize(
    "scope",
    [
        "storage.read:/cms",
        "storage.read:/cms/",
        "storage.read:/cms/x",
        "storage.read:/cms/x..y/z.txt",
        "storage.create:/cms/jane/x",
        "compute.read",
    ],
)
def test_within_the_rule(scope: str) -> None:
    assert narrowed((scope,), rule=BOUNDS).scopes == (scope,)


@pytest.mark.parametrize(
    "scope",
    [
        "storage.read:/",
        "storage.read",
        "storage.read:",
        "storage.read:cms",
        "storage.read:/cmsx",
        "storage.read:/cms/../x",
        "storage.read:/cms/..",
        "storage.read:/cms/.",
        "storage.read:/cms//x",
        "storage.read://cms",
        "storage.read:/cms/%2e%2e/x",
        "storage.read:/cms/%2E%2E/x",
        "storage.read:/cms/..%2fx",
        "storage.read:/cms%2f..%2fx",
        "storage.read:/cms/%252e%252e/x",
        "storage.read:/cms\\..\\x",
        "storage.read:/cms/\\../x",
        "storage.read:/CMS",
        "Storage.read:/cms",
        "storage.read:/cms/x storage.modify:/",
        "storage.read:/cms/x\tstorage.modify:/",
        "storage.read:/cms/\u00a0storage.modify:/",
        "storage.read:/cms\nx",
        "storage.modify:/cms",
        "storage.create:/cms",
        "storage.create:/cms/janet",
        "compute.read:/",
        "compute.modify",
        "",
    ],
)
def test_beyond_the_rule(scope: str) -> None:
    with pytest.raises(ScopeRefusedError, match=r"rule 'users' gives other scopes: storage\.read:/cms "):
        narrowed((scope,), rule=BOUNDS, token=(scope,))
    with pytest.raises(ScopeRefusedError):
        narrowed(("compute.read", scope), rule=BOUNDS, token=(scope,))


def test_without_scopes_in_the_rule_those_of_the_token_bound_it() -> None:
    token = ("openid", "profile", "wlcg", "wlcg.groups", "storage.read:/cms")
    assert narrowed(token=token).scopes == ("storage.read:/cms", "wlcg", "wlcg.groups")
    assert narrowed(("storage.read:/cms/x", "openid"), token=token).scopes == ("openid", "storage.read:/cms/x")
    with pytest.raises(ScopeRefusedError, match="the presented token has other scopes: openid profile storage"):
        narrowed(("storage.read:/",), token=token)
    # the rule's are the bounds where there are any, whatever the token has
    with pytest.raises(ScopeRefusedError, match="rule 'users' gives"):
        narrowed(("wlcg",), token=token, rule=BOUNDS)


def test_a_group_says_nothing_of_another() -> None:
    assert narrowed(("wlcg.groups:/cms/production",), rule=("wlcg.groups",)).scopes == ("wlcg.groups:/cms/production",)
    for asked in ("wlcg.groups", "wlcg.groups:/cms/production", "wlcg.groups:/"):
        with pytest.raises(ScopeRefusedError):
            narrowed((asked,), rule=("wlcg.groups:/cms",))


@pytest.mark.parametrize("scopes", [("offline_access",), ("openid", "offline_access"), ("offline_access", *BOUNDS)])
def test_what_refreshes_is_never_given_out(scopes: tuple[str, ...]) -> None:
    for rule in ((), scopes):
        with pytest.raises(ScopeRefusedError, match="offline_access is never given out"):
            narrowed(scopes, rule=rule, token=scopes)
    assert narrowed(rule=("offline_access", "wlcg")).scopes == ("wlcg",)
    assert narrowed(token=("offline_access", "wlcg")).scopes == ("wlcg",)


@pytest.mark.parametrize("scopes", [(), ("openid",), ("openid", "profile", "email", "offline_access")])
def test_nothing_for_a_service(scopes: tuple[str, ...]) -> None:
    with pytest.raises(ScopeRefusedError, match="neither rule 'users' nor the presented token"):
        narrowed(token=scopes)


def test_audiences() -> None:
    assert narrowed(rule=BOUNDS).audiences == (XCACHE,)
    assert narrowed(audiences=(STORAGE,), rule=BOUNDS).audiences == (STORAGE,)
    both = {narrowed(audiences=each, rule=BOUNDS).audiences for each in ((XCACHE, STORAGE), (STORAGE, XCACHE) * 2)}
    assert [set(each) for each in both] == [{XCACHE, STORAGE}], "their order changes no answer, nor what is cached"


@pytest.mark.parametrize(
    "audience", [DISK, XCACHE + "/", XCACHE.upper(), "", f"{XCACHE} {DISK}", f"{XCACHE} {STORAGE}"]
)
def test_audiences_of_others(audience: str) -> None:
    for asked in ((audience,), (XCACHE, audience), (audience, STORAGE)):
        with pytest.raises(AudienceRefusedError, match=f"'storage' gives tokens for {XCACHE}, {STORAGE} only"):
            narrowed(audiences=asked, rule=BOUNDS)


def test_all_or_nothing() -> None:
    assert all_covered((), ())
    assert all_covered(iter(BOUNDS), ("compute.read", "storage.read:/cms/x"))
    assert not all_covered((), ("compute.read",))
    assert not all_covered(iter(BOUNDS), ("compute.read", "storage.read:/x"))


@pytest.mark.parametrize("wide", ["storage.read", "storage.create", "storage.modify", "storage.stage"])
def test_a_storage_scope_without_a_path_is_worth_itself_alone(wide: str) -> None:
    assert not covers(wide, f"{wide}:/")
    assert covers(wide, wide)

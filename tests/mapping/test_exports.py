"""Mapping rules as files: what is said, what is left out and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from cProfile import Profile
from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.mapfiles import condor, gridmap, lcmaps, xrootd
from tests.mapping.people import identity, rule
from ttscache.errors import TracedRefusalError
from ttscache.mapping.engine import decide
from ttscache.mapping.export_check import faults
from ttscache.mapping.export_names import KnownName
from ttscache.mapping.exports import Export, Format, Source, export, needs_known_names
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import Template
from ttscache.model import Decision, Identity

O = "/DC=ch/O=site"  # noqa: E741 - an organisation
USERS = rule("users", O + "/CN={preferred_username}/CN=u-{sub}", "{preferred_username}", fqans=("/cms",))
ROBOT = rule("robot", O + "/CN=robot", "robot1", fqans=("/cms/Role=robot", "/cms"), shared=True)
PRODUCTION = rule(
    "production", O + "/CN=production", "cmsprod", {"groups": ("/cms/production",)}, fqans=("/cms/Role=production",)
)
JANE = KnownName(O + "/CN=jane/CN=u-1", "jane", "users")


def exported(form: Format, *rules: Rule, known: Sequence[KnownName] = (), **source: object) -> Export:
    made = Source(rules, tuple(known), **source)  # type: ignore[arg-type]
    written = export(form, made)
    assert faults(form, made, written) == []
    return written


def left_out(written: Export) -> dict[str, str]:
    return {each.rule: each.why for each in written.left_out}


def test_condor() -> None:
    written = exported(Format.CONDOR, ROBOT, USERS)
    assert written.left_out == ()
    reader = condor.Reader(written.text, assume_hash=False)
    names = [O + "/CN=robot", O + "/CN=jane/CN=u-1", O + "/CN=root/CN=u-1", O + "/CN=jane doe/CN=u-1", O + "/CN=jane"]
    assert [reader.map("SSL", name) for name in names] == ["robot1", "jane", None, None, None]


@pytest.mark.parametrize("form", [Format.GRIDMAP, Format.LCMAPS], ids=lambda form: form.value)
def test_gridmaps_have_names(form: Format) -> None:
    written = exported(form, ROBOT, USERS, known=[JANE])
    assert written.text == f'"{O}/CN=robot" robot1\n"{JANE.dn}" jane\n'
    assert written.left_out == ()
    assert needs_known_names(form, [ROBOT, USERS])
    assert not needs_known_names(form, [ROBOT])


@pytest.mark.parametrize(
    "known",
    [
        KnownName(O + "/CN=jane/CN=u-1", "jane", "gone"),
        KnownName(O + "/CN=jane/CN=v-1", "jane", "users"),
        KnownName(O + "/CN=jane/CN=u-1", None, "users"),
        KnownName(O + "/CN=root/CN=u-1", "root", "users"),
        KnownName(O + "/CN=robot", "users", "robot"),
    ],
    ids=["the rule is gone", "the DN is another now", "no account", "no good account", "the rule has one name"],
)
def test_known_names_that_the_rules_do_not_give_any_more(known: KnownName) -> None:
    assert exported(Format.GRIDMAP, USERS, ROBOT, known=[known]).text == f'"{O}/CN=robot" robot1\n'


def test_a_known_name_s_account_is_what_the_rules_say_now() -> None:
    assert '" jane\n' in exported(Format.GRIDMAP, USERS, known=[KnownName(JANE.dn, "janet", "users")]).text.replace(
        "janet", "jane"
    )
    other = rule("users", O + "/CN={preferred_username}/CN=u-{sub}", "x-{preferred_username}")
    assert exported(Format.GRIDMAP, other, known=[JANE]).text == ""


def test_a_known_name_tells_what_the_dn_does_not() -> None:
    rules = [rule("mail", O + "/CN={sub}", "{mailbox}"), rule("joined", O + "/OU=x/CN={name}-{sub}", "{sub}")]
    known = [KnownName(O + "/CN=s1", "jane", "mail"), KnownName(O + "/OU=x/CN=a-b-c", "c", "joined")]
    assert exported(Format.GRIDMAP, *rules, known=known).text == f'"{O}/CN=s1" jane\n"{O}/OU=x/CN=a-b-c" c\n'
    why = left_out(exported(Format.CONDOR, *rules, known=known))
    assert "'mailbox', which is not in its DN" in why["mail"]
    assert "begins and ends" in why["joined"]


@pytest.mark.parametrize("form", Format, ids=lambda form: form.value)
@pytest.mark.parametrize(
    "account, when, why",
    [("root", {}, "no user name"), ("1234", {}, "no user name"), ("{sub}", {"sub": ("root", "7")}, "no user name"),
     ("good", {"sub": ("a/b",)}, "cannot be signed")],
    ids=["root", "digits", "no good value", "no DN"],
)  # fmt: skip
def test_a_rule_of_which_nothing_comes_is_told(form: Format, account: str, when: dict[str, object], why: str) -> None:
    useless = rule("useless", O + "/CN={sub}", account, when, fqans=("/cms",), scopes=("storage.read:/",))
    written = exported(form, useless, issuer="cms")
    assert why in left_out(written)["useless"]
    assert len(written.left_out) == 1


@pytest.mark.parametrize("form", [Format.GRIDMAP, Format.LCMAPS, Format.XROOTD_AUTHDB], ids=lambda form: form.value)
def test_a_rule_without_a_known_name_is_told(form: Format) -> None:
    users = replace(USERS, scopes=("storage.read:/",))
    written = exported(form, ROBOT, users)
    assert left_out(written) == {"users": "none of its names is known to have been given"}
    assert exported(form, ROBOT, users, known=[JANE]).left_out == ()


def test_shared_templates_are_not_known() -> None:
    shared = rule("shared", O + "/CN={group}", "{group}", shared=True)
    assert "not kept" in left_out(exported(Format.GRIDMAP, shared))["shared"]


def test_names_that_a_grid_mapfile_cannot_say() -> None:
    star, dollar = rule("star", O + "/CN=a*", "star"), rule("dollar", O + "/CN=a$", "dollar")
    assert set(left_out(exported(Format.GRIDMAP, star, dollar))) == {"star", "dollar"}
    assert set(left_out(exported(Format.LCMAPS, star, dollar))) == {"star"}
    assert left_out(exported(Format.CONDOR, star, dollar)) == {}


def test_globus_takes_names_that_differ_in_case_for_one() -> None:
    one, other = rule("one", O + "/CN=Robot", "one"), rule("other", O + "/CN=robot", "other")
    assert set(left_out(exported(Format.GRIDMAP, one, other))) == {"one", "other"}
    assert left_out(exported(Format.CONDOR, one, other)) == {}
    assert left_out(exported(Format.GRIDMAP, one, rule("other", O + "/CN=robot", "one"))) == {}


ONE_DN = [rule("a", O + "/CN={sub}", "a", {"groups": ("/a",)}), rule("b", O + "/CN={sub}", "b")]
NAME_FORMATS = pytest.mark.parametrize("form", [Format.CONDOR, Format.GRIDMAP], ids=lambda form: form.value)


@NAME_FORMATS
def test_rules_that_one_dn_does_not_tell_apart(form: Format) -> None:
    known = [KnownName(O + "/CN=x", "a", "a"), KnownName(O + "/CN=y", "b", "b")]
    written = exported(form, *ONE_DN, known=known)
    assert written.text == ""
    assert {name: why[:8] for name, why in left_out(written).items()} == {"a": "rule 'b'", "b": "rule 'a'"}


@NAME_FORMATS
@pytest.mark.parametrize("account", ["b", None], ids=["another account", "no account"])
def test_a_name_that_a_template_can_give_as_well(form: Format, account: str | None) -> None:
    robot = rule("robot", O + "/CN=robot", account, {"groups": ("/robots",)})
    users = rule("users", O + "/CN={sub}", "users")
    known = [KnownName(O + "/CN=robot", "users", "users"), KnownName(O + "/CN=jane", "users", "users")]
    written = exported(form, robot, users, known=known)
    if form is Format.CONDOR:
        reader = condor.Reader(written.text, assume_hash=False)
        assert reader.map("SSL", O + "/CN=robot") is None
        assert reader.map("SSL", O + "/CN=robots") == "users"
    else:
        assert written.text == f'"{O}/CN=jane" users\n'
    assert "users" in left_out(written)


SPECIAL = rule("special", O + "/CN={sub}", "admin", {"issuer": ("cms",), "sub": ("a1", "a2")})


@NAME_FORMATS
@pytest.mark.parametrize("account", ["admin", None], ids=["account", "no account"])
def test_what_an_earlier_rule_takes_for_certain_is_its_own(form: Format, account: str | None) -> None:
    special = replace(SPECIAL, account=None if account is None else Template.parse(account))
    users = rule("users", O + "/CN={sub}", "{sub}", {"issuer": ("cms",)})
    some = rule("some", O + "/CN={sub}", "some", {"issuer": ("cms",), "sub": ("a2", "b")})
    known = [KnownName(f"{O}/CN={sub}", sub, "users") for sub in ("a1", "b", "c")]
    written = exported(form, special, some, users, known=known)
    assert written.left_out == ()
    asked = [f"{O}/CN={sub}" for sub in ("a1", "a2", "b", "c")]
    pool, grid = condor.Reader(written.text, assume_hash=False), written.text
    mapped = [pool.map("SSL", dn) if form is Format.CONDOR else gridmap.read(grid).get(dn) for dn in asked]
    assert mapped == [account, account, "some", "c"]


@NAME_FORMATS
@pytest.mark.parametrize(
    "when, dn, later",
    [({"groups": ("/g",)}, "{sub}", {}), ({"scopes": ("x",)}, "{sub}", {}), ({"client_id": ("x",)}, "{sub}", {}),
     ({"entitlements": ("x",)}, "{sub}", {}), ({"claims": {"x": ("y",)}}, "{sub}", {}),
     ({"issuer": ("atlas",)}, "{sub}", {}), ({}, "{sub}", {"issuer": ()}), ({}, "{sub}", {"issuer": ("cms", "atlas")}),
     ({}, "{name}", {}), ({}, "a{name}", {}), ({"sub": ("a1",)}, "a1", {"sub": ("a1", "a2")})],
    ids=["groups", "scopes", "client", "entitlements", "claims", "issuer", "any issuer", "another issuer as well",
         "another claim", "part of a claim", "another subject as well"],
)  # fmt: skip
def test_what_an_earlier_rule_takes_perhaps_is_nobody_s(
    form: Format, when: dict[str, object], dn: str, later: dict[str, object]
) -> None:
    special = rule("special", O + "/CN=a1", "admin", {"issuer": ("cms",), "sub": ("a1",)} | when)
    users = rule("users", f"{O}/CN={dn}", "users", {"issuer": ("cms",)} | later)
    written = exported(form, special, users)
    assert "admin" not in written.text
    assert "special" in left_out(written)


@NAME_FORMATS
def test_a_later_rule_takes_nothing(form: Format) -> None:
    users = rule("users", O + "/CN={sub}", "users", {"groups": ("/users",)})
    known = [KnownName(O + "/CN=a3", "users", "users")]
    written = exported(form, users, SPECIAL, known=known)
    assert "admin" not in written.text
    assert "special" in left_out(written)
    # who comes first, and asks no more than the later does, takes all
    assert left_out(exported(form, rule("first", O + "/CN=a1", "first", {"sub": ("a1", "a2")}), SPECIAL)) == {}


def test_rules_that_agree_may_overlap() -> None:
    rules = [rule("a", O + "/CN=x", "u"), rule("b", O + "/CN={sub}", "u"), rule("c", O + "/CN=x-{name}", "u")]
    assert exported(Format.CONDOR, *rules).left_out == ()
    same = [rule(name, O + "/CN={sub}", "{sub}", {"groups": (name,)}, fqans=(f"/{name}",)) for name in "ab"]
    assert exported(Format.CONDOR, *same).left_out == ()


def test_conditions_that_fix_a_claim_are_part_of_the_name() -> None:
    pinned = rule("pinned", O + "/CN={sub}", "p-{sub}", {"sub": ("a", "b", "c/d")})
    written = exported(Format.GRIDMAP, pinned)
    assert written.text == f'"{O}/CN=a" p-a\n"{O}/CN=b" p-b\n'
    jane = rule("jane", O + "/CN=u-{sub}", "jane", {"sub": ("1",)})
    assert condor.Reader(exported(Format.CONDOR, jane).text, assume_hash=False).map("SSL", O + "/CN=u-2") is None


def test_more_values_than_are_written_down() -> None:
    many = rule("many", O + "/CN={sub}", "m", {"sub": tuple(map(str, range(2000)))})
    assert "combinations" in left_out(exported(Format.CONDOR, many))["many"]


def test_rules_without_an_account_are_nobody_s_business() -> None:
    for form in Format:
        written = exported(form, rule("none", fqans=("/cms",), scopes=("storage.read:/",)))
        assert written.text in {"", "[]\n"}
        assert written.left_out == ()


def test_pool_accounts() -> None:
    pool = rule("pool", O + "/CN=x", ".pool", fqans=("/cms",), scopes=("storage.read:/",))
    assert '"/cms" .pool\n' in exported(Format.LCMAPS_GROUP, pool).text
    assert exported(Format.LCMAPS, pool).text == f'"{O}/CN=x" .pool\n'
    for form in (Format.CONDOR, Format.XROOTD_VOMS, Format.XROOTD_AUTHDB, Format.XROOTD_SCITOKENS):
        assert "pool" in left_out(exported(form, pool, issuer="cms"))["pool"]


GROUP_FORMATS = pytest.mark.parametrize("form", [Format.LCMAPS_GROUP, Format.XROOTD_VOMS], ids=lambda form: form.value)


def orders(fqans: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what may be asked for of a rule's FQANs: some of them, in any order."""
    return [asked for length in range(1, len(fqans) + 1) for asked in permutations(fqans, length)]


@GROUP_FORMATS
def test_fqans(form: Format) -> None:
    written = exported(form, ROBOT, PRODUCTION)
    assert written.left_out == ()
    for line in ("/cms/Role=robot/Capability=NULL", "/cms/Role=NULL/Capability=NULL"):
        assert f'"{line}" robot1\n' in written.text
    assert '"/cms/Role=production/Capability=NULL" cmsprod\n' in written.text


@GROUP_FORMATS
@pytest.mark.parametrize("account", ["cmsuser", None, "{sub}", ".cms"], ids=["account", "none", "template", "pool"])
def test_an_fqan_of_rules_with_different_accounts_is_nobody_s(form: Format, account: str | None) -> None:
    production = rule("production", account="cmsprod", fqans=("/cms/Role=production", "/cms/Role=NULL"))
    members = rule("members", account=account, fqans=("/cms", "/cms/members"))
    written = exported(form, production, members)
    assert '"/cms/Role=NULL' not in written.text
    assert '"/cms/Role=production/Capability=NULL" cmsprod\n' in written.text
    assert left_out(written)["production"] == (
        "without /cms: rule 'members' grants it as well, and not the same account; "
        "list in a rule's fqans only what maps to its account"
    )
    reader = (lcmaps.Reader if form is Format.LCMAPS_GROUP else xrootd.VomsReader)(written.text)
    for asked in orders(["/cms/Role=production/Capability=NULL", "/cms/Role=NULL/Capability=NULL"]):
        assert reader.map(asked) in {None, "cmsprod"}
    assert ('"/cms/members/Role=NULL' in written.text) is (
        account == "cmsuser" or (account == ".cms" and form is Format.LCMAPS_GROUP)
    )


@GROUP_FORMATS
def test_the_self_check_tries_every_order(form: Format) -> None:
    production = rule("production", account="cmsprod", fqans=("/cms/Role=production", "/cms"))
    source = Source([production, rule("members", account="cmsuser", fqans=("/cms",))])
    # right for who takes the FQANs as they stand in his rule
    text = '"/cms/Role=production/Capability=NULL" cmsprod\n"/cms/Role=NULL/Capability=NULL" cmsuser\n'
    assert any("proxies of rule 'production'" in each for each in faults(form, source, Export(text, ())))


def test_storage_scopes() -> None:
    first = rule("a", account="cms", scopes=("storage.read:/store", "storage.modify:/store/user", "openid"))
    second = rule("b", account="cms", scopes=("storage.read:/store/user/x", "storage.create:/store/user/x"))
    written = exported(Format.XROOTD_AUTHDB, first, second)
    assert written.text == "u cms /store/user/x/ dilnrw /store/user/ dilnrw /store/ lr\n"
    assert left_out(written)["b"].startswith("without storage.create:/store/user/x: XrdAcc cannot let files be made")
    unsayable = ("storage.modify:/a", "storage.stage:/b", "storage.poll:/b", "storage.read:/c d", "storage.read:e")
    written = exported(Format.XROOTD_AUTHDB, *(rule(s, account="x", scopes=(s,)) for s in unsayable))
    assert (written.text, set(left_out(written))) == ("", set(unsayable))


def test_storage_scopes_of_known_accounts() -> None:
    users = rule("users", O + "/CN={preferred_username}/CN=u-{sub}", "{preferred_username}", scopes=("storage.read:/",))
    assert exported(Format.XROOTD_AUTHDB, users, known=[JANE]).text == "u jane / lr\n"


def test_tokens() -> None:
    rules = [
        rule("sub", account="one", when={"issuer": ("cms",), "sub": ("s1", "s2"), "groups": ("/g",)}),
        rule("other issuer", account="{sub}", when={"issuer": ("atlas",)}),
        rule("group", account="two", when={"groups": ("/cms",)}),
    ]
    written = exported(Format.XROOTD_SCITOKENS, *rules, issuer="cms")
    assert written.left_out == ()
    reader = xrootd.TokenReader(written.text)
    asked = [("s1", ["/g"]), ("s1", ["g", "/cms"]), ("s1", ["/cms"]), ("s3", ["cms"]), ("s3", ["/g"])]
    assert [reader.map(sub, groups) for sub, groups in asked] == ["one", "one", "two", "two", None]
    assert (
        "wlcg.groups" in left_out(exported(Format.XROOTD_SCITOKENS, *rules, issuer="cms", groups_claim=False))["group"]
    )


@pytest.mark.parametrize(
    "when, account",
    [({"scopes": ("x",)}, "a"), ({"claims": {"x": ("y",)}}, "a"), ({"client_id": ("c",)}, "a"),
     ({"entitlements": ("e",)}, "a"), ({}, "{preferred_username}"), ({"groups": ("/a",)}, None)],
    ids=["scopes", "claims", "client", "entitlements", "template", "no account"],
)  # fmt: skip
def test_tokens_of_a_rule_that_cannot_be_said_are_nobody_s(when: dict[str, object], account: str | None) -> None:
    earlier, later = rule("earlier", account=account, when=when), rule("later", account="b")
    written = exported(Format.XROOTD_SCITOKENS, earlier, later, issuer="cms")
    assert written.text == "[]\n"
    assert "rule 'earlier'" in left_out(written)["later"]
    # unless no token is both's, or the account is the same
    apart = [
        rule("earlier", account=account, when={**when, "sub": ("s1",)}),
        rule("later", account="b", when={"sub": ("s2",)}),
    ]
    assert "s2" in exported(Format.XROOTD_SCITOKENS, *apart, issuer="cms").text


@pytest.mark.parametrize(
    "form",
    [Format.CONDOR, Format.GRIDMAP, Format.XROOTD_VOMS, Format.XROOTD_AUTHDB, Format.XROOTD_SCITOKENS],
    ids=lambda form: form.value,
)
def test_many_values_take_time_in_proportion(form: Format) -> None:
    def steps(count: int) -> int:
        many = {"sub": tuple(f"s{index}" for index in range(count))}
        rules = [
            rule("fixed", O + "/CN={sub}", "fixed", many, fqans=("/g",)),
            rule("half", O + "/CN={name}/CN={sub}", "h-{name}", many, scopes=("storage.read:/",)),
            rule("all", O + "/CN={sub}", "other", {"groups": ("/g",)}),
        ]
        known = [KnownName(f"{O}/CN=n{index}/CN=s{index}", f"h-n{index}", "half") for index in range(count)]
        profile = Profile()
        profile.runcall(exported, form, *rules, known=known, issuer="cms")
        return sum(each.callcount for each in profile.getstats())

    assert steps(160) < 8 * steps(40)


# Rules over few values, so that every identity there can be is tried.
SUBS, USERNAMES, GROUPS = ("a", "a-b", "7"), ("a", "b-a", "root"), ((), ("/g",), ("/g", "/h"))
DNS = ["/CN=a", "/CN=x", "/CN={sub}", "/CN={preferred_username}", "/CN={preferred_username}-{sub}", "/CN=a-{sub}",
       "/CN={sub}/CN=x", "/O={sub}/CN=x-{sub}"]  # fmt: skip
ACCOUNTS = [None, "a", "b", "{sub}", "{preferred_username}", "a-{sub}", "{sub}{preferred_username}"]
WHENS: list[dict[str, object]] = [
    {}, {"sub": ("a",)}, {"sub": ("a", "7")}, {"groups": ("/g",)}, {"groups": ("/h", "/k")}, {"issuer": ("other",)},
    {"claims": {"preferred_username": ("a", "b-a")}},
]  # fmt: skip
FQANS = [(), ("/g",), ("/h",), ("/g", "/h"), ("/h", "/g"), ("/k", "/g")]
rule_lists = st.lists(
    st.tuples(*(st.sampled_from(each) for each in (DNS, ACCOUNTS, WHENS, FQANS))), min_size=1, max_size=4
).map(
    lambda found: [
        rule(f"r{index}", O + dn, account, when, fqans=fqans, scopes=(f"storage.read:/{index}",))
        for index, (dn, account, when, fqans) in enumerate(found)
    ]
)  # fmt: skip
PEOPLE = [
    identity(subject=sub, sub=sub, preferred_username=username, groups=groups)
    for sub, username, groups in product(SUBS, USERNAMES, GROUPS)
]


# One person has one user name at a time, and what is kept of a DN is the last that was decided.
PERSONS = [each for each in PEOPLE if USERNAMES.index(each.claims["preferred_username"]) == SUBS.index(each.subject)]


def decisions(rules: Sequence[Rule], people: Sequence[Identity] = PEOPLE) -> Iterator[tuple[Identity, Decision]]:
    for somebody in people:
        try:
            yield somebody, decide(rules, somebody)
        except TracedRefusalError:
            continue


def contradictions(
    rules: Sequence[Rule],
    mapped: Callable[[Identity, Decision], str | None],
    people: Sequence[Identity] = PEOPLE,
) -> list[str]:
    wrong = ((decision, mapped(who, decision)) for who, decision in decisions(rules, people))
    return [f"{decision} but {account}" for decision, account in wrong if account not in {None, decision.account}]


@settings(max_examples=25, deadline=None)
@given(rule_lists)
def test_no_file_says_other_than_the_rules(rules: list[Rule]) -> None:
    known = tuple(KnownName(d.dn, d.account, d.rule) for _, d in decisions(rules, PERSONS) if d.dn)
    # the last decision on a DN is what is kept of it
    source = Source(rules, tuple({one.dn: one for one in known}.values()), "cms")
    written = {form: export(form, source) for form in Format}
    for form, each in written.items():
        assert faults(form, source, each) == [], form
    text = {form: each.text for form, each in written.items()}
    pool = condor.Reader(text[Format.CONDOR], assume_hash=False)
    hashed = condor.Reader(text[Format.CONDOR_HASH], assume_hash=True)
    grid = gridmap.read(text[Format.GRIDMAP])
    groups, voms = lcmaps.Reader(text[Format.LCMAPS_GROUP]), xrootd.VomsReader(text[Format.XROOTD_VOMS])
    tokens = xrootd.TokenReader(text[Format.XROOTD_SCITOKENS])
    assert contradictions(rules, lambda _, d: pool.map("SSL", str(d.dn))) == []
    assert contradictions(rules, lambda _, d: hashed.map("SSL", str(d.dn))) == []
    assert contradictions(rules, lambda _, d: grid.get(str(d.dn)), PERSONS) == []
    for _, decision in decisions(rules):
        for asked in orders(decision.fqans):
            assert {groups.map(asked), voms.map(asked)} <= {None, decision.account}
    assert contradictions(rules, lambda who, _: tokens.map(who.subject, who.groups)) == []

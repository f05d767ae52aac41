"""Decisions: which rule matches, what it gives, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mapping.people import identity, rule
from ttscache.errors import DnRefusedError, MappingRefusedError
from ttscache.mapping.engine import decide, is_account
from ttscache.model import RuleTrace


def dn_refusal(dn: str, **claims: object) -> str:
    with pytest.raises(DnRefusedError) as raised:
        decide([rule("r", dn)], identity(**claims))
    message = raised.value.message
    assert message.startswith("rule 'r' gives no usable DN: ")
    assert message.isprintable()
    assert raised.value.trace == (RuleTrace("r", matched=True, why="every condition holds"),)
    return message.removeprefix("rule 'r' gives no usable DN: ")


class TestWhichRule:
    def test_the_first_that_matches_and_the_trace_up_to_it(self) -> None:
        rules = [
            rule("elsewhere", when={"issuer": ("atlas",)}),
            rule("production", when={"groups": ("/cms/production",)}),
            rule("all"),
        ]
        decision = decide(rules, identity())
        assert decision.rule == "production"
        assert [(one.rule, one.matched, one.why) for one in decision.trace] == [
            ("elsewhere", False, "issuer is not atlas"),
            ("production", True, "every condition holds"),
        ]

    def test_the_order_decides_not_how_much_a_rule_asks(self) -> None:
        rules = [rule("all"), rule("production", when={"groups": ("/cms/production",)})]
        assert decide(rules, identity()).rule == "all"

    def test_none(self) -> None:
        with pytest.raises(MappingRefusedError) as raised:
            decide([rule("a", when={"sub": ("b2",)}), rule("b", when={"client_id": ("x", "y")})], identity())
        assert [(one.rule, one.matched, one.why) for one in raised.value.trace] == [
            ("a", False, "sub is not b2"),
            ("b", False, "client_id is not x or y"),
        ]
        with pytest.raises(MappingRefusedError) as raised:
            decide([], identity())
        assert raised.value.trace == ()

    def test_a_rule_that_matches_and_refuses_is_not_passed_over(self) -> None:
        """Else a user chose the rule by leaving out a claim."""
        with pytest.raises(DnRefusedError):
            decide([rule("first"), rule("second", "/CN=u-{sub}")], identity(preferred_username=...))

    def test_what_it_gives(self) -> None:
        given = rule(
            account="cms{sub}", fqans=("/cms/Role=p",), scopes=("storage.read:/",), profiles=("a", "b"), shared=True
        )
        decision = decide([given], identity())
        assert decision.dn == "/DC=ch/DC=infn/O=ttscache/CN=jane/CN=u-a1"
        assert (decision.account, decision.fqans, decision.scopes) == ("cmsa1", ("/cms/Role=p",), ("storage.read:/",))
        assert (decision.profiles, decision.shared) == (("a", "b"), True)


class TestConditions:
    @pytest.mark.parametrize(
        "when, why",
        [
            ({}, None),
            ({"issuer": ("cms",)}, None),
            ({"issuer": ("atlas", "cms")}, None),
            ({"issuer": ("CMS",)}, "issuer is not CMS"),
            ({"sub": ("a1", "b2")}, None),
            ({"sub": ("a",)}, "sub is not a"),
            ({"client_id": ("demo",)}, None),
            ({"client_id": ("demo ",)}, "client_id is not demo "),
            ({"groups": ("/atlas", "/cms")}, None),
            ({"groups": ("/cms/prod",)}, "not in group /cms/prod"),
            ({"groups": ("cms",)}, "not in group cms"),
            ({"groups": ("/CMS", "/cms/")}, "not in group /CMS or /cms/"),
            ({"scopes": ("openid", "storage.read:/")}, None),
            ({"scopes": ("openid", "storage.modify:/")}, "scope storage.modify:/ is missing"),
            ({"scopes": ("storage.read:/cms",)}, "scope storage.read:/cms is missing"),
            ({"entitlements": ("urn:y", "urn:x:group:cms")}, None),
            ({"entitlements": ("urn:x:group",)}, "lacks entitlement urn:x:group"),
            ({"claims": {"preferred_username": ("joe", "jane")}}, None),
            ({"claims": {"preferred_username": ("Jane",)}}, "claim preferred_username is not Jane"),
            ({"claims": {"absent": ("x",)}}, "claim absent is not x"),
            ({"claims": {"absent": ("None", "")}}, "claim absent is not None or "),
            ({"issuer": ("cms",), "groups": ("/cms",), "sub": ("b2",)}, "sub is not b2"),
            ({"issuer": ("cms",), "groups": ("/cms",), "scopes": ("openid",), "sub": ("a1",)}, None),
        ],
        ids=str,
    )
    def test_all_must_hold_of_the_values_of_one_any(self, when: dict[str, Any], why: str | None) -> None:
        assert rule(when=when).when.missed(identity()) == why

    @pytest.mark.parametrize(
        "claim, wanted, matches",
        [
            (True, "true", True),
            (False, "false", True),
            (True, "1", False),
            (True, "True", False),
            (1, "1", True),
            (1, "true", False),
            (1.0, "1.0", False),
            (["a", "b"], "b", True),
            (["a", 5], "5", False),
            ([], "", False),
            ("a b", "a", False),
            ({"a": 1}, "a", False),
            (None, "None", False),
            ("", "", True),
        ],
    )
    def test_values_of_claims(self, claim: object, wanted: str, matches: bool) -> None:  # noqa: FBT001 - pytest passes it
        missed = rule(when={"claims": {"c": (wanted,)}}).when.missed(identity(c=claim))
        assert (missed is None) == matches

    def test_who_has_nothing(self) -> None:
        nobody = identity(client_id=None, groups=(), scopes=frozenset(), entitlements=())
        for when in ({"client_id": ("None",)}, {"groups": ("/",)}, {"scopes": ("",)}, {"entitlements": ("",)}):
            assert rule(when=when).when.missed(nobody) is not None


class TestNames:
    @pytest.mark.parametrize(
        "value, why",
        [
            (..., "is missing from the token"),
            (None, "is missing from the token"),
            ("", "is empty"),
            (" \t", "is empty"),
            (True, "is not a string"),
            (1.5, "is not a string"),
            (["jane"], "is not a string"),
            ({"a": "jane"}, "is not a string"),
            ("x" * 257, "has more than 256 characters"),
            ("jané", "has non-ASCII characters, on which consumers differ"),
            ("ja\u202ene", "has non-ASCII characters, on which consumers differ"),
            ("j\u0430ne", "has non-ASCII characters, on which consumers differ"),
            ("\ud800", "has non-ASCII characters, on which consumers differ"),
            ("ja\x00ne", "has control characters"),
            ("jane\n", "has control characters"),
            ("\x7f", "has control characters"),
            *((f"ja{character}ne", f"has a '{character}' in it") for character in '/,+=\\"<>;#'),
        ],
    )
    def test_claims_that_are_missing_or_unfit_are_refused_by_name(self, value: object, why: str) -> None:
        assert dn_refusal("/O=x/CN={preferred_username}", preferred_username=value) == (
            f"claim 'preferred_username' {why}"
        )

    @pytest.mark.parametrize(
        "value", ["proxy", "Proxy", "limited proxy", "LIMITED PROXY", "restricted proxy", "12345", "0", 12345, " jane"]
    )
    def test_reserved_common_names_and_what_consumers_fold(self, value: object) -> None:
        assert "CN" in dn_refusal("/O=x/CN={preferred_username}", preferred_username=value)

    def test_a_value_longer_than_its_type_allows(self) -> None:
        assert decide([rule(dn="/O=x/CN={sub}")], identity(sub="x" * 64)).dn == "/O=x/CN=" + "x" * 64
        assert "64" in dn_refusal("/O=x/CN={sub}", sub="x" * 65)

    def test_a_whole_that_is_too_long(self) -> None:
        assert "512" in dn_refusal("/O=x" + "/OU={sub}" * 8 + "/CN=x", sub="x" * 64)

    @pytest.mark.parametrize(
        "country, fits", [("CH", True), ("CHE", False), ("1A", False), ("c", False), ("C*", False)]
    )
    def test_a_country(self, country: str, fits: bool) -> None:  # noqa: FBT001 - pytest passes it
        if fits:
            assert decide([rule(dn="/C={c}/CN=x")], identity(c=country)).dn == f"/C={country}/CN=x"
        else:
            dn_refusal("/C={c}/CN=x", c=country)

    def test_braces_in_a_value_are_no_template(self) -> None:
        assert decide([rule(dn="/CN=x-{a}")], identity(a="{sub}")).dn == "/CN=x-{sub}"

    def test_numbers_are_written_out(self) -> None:
        assert decide([rule(dn="/CN=u{n}")], identity(n=-5)).dn == "/CN=u-5"

    def test_messages_hold_no_value(self) -> None:
        assert "planted" not in dn_refusal("/CN={sub}", sub="planted/CN=x")


class TestAccounts:
    @pytest.mark.parametrize("name", ["cmsprod", ".cms", "cms001", "a", "_x", "a.b-c_d", "x" * 63, ".cms-001"])
    def test_names(self, name: str) -> None:
        assert is_account(name)

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "-rf", "root", "0", "1000", "a b", "a/b", "a:b", "a\n", "é", "\u0661", "x" * 64, "a$"]
    )
    def test_none(self, name: str) -> None:
        assert not is_account(name)

    @pytest.mark.parametrize(
        "value, why",
        [
            ("root", "it is no user name"),
            ("1000", "it is no user name"),
            ("-x", "it is no user name"),
            ("x" * 65, "it is no user name"),
            ("jane doe", "claim 'preferred_username' has characters that no user name has"),
            ("../x", "claim 'preferred_username' has characters that no user name has"),
            ("jane\n", "claim 'preferred_username' has characters that no user name has"),
            ("", "claim 'preferred_username' is empty"),
        ],
    )
    def test_what_claims_make_of_them(self, value: str, why: str) -> None:
        with pytest.raises(MappingRefusedError) as raised:
            decide([rule("r", "/CN=u-{sub}", "{preferred_username}")], identity(preferred_username=value))
        assert raised.value.message == f"rule 'r' gives no usable account: {why}"
        assert raised.value.trace[0].matched

    def test_a_missing_claim(self) -> None:
        with pytest.raises(MappingRefusedError, match="claim 'x' is missing"):
            decide([rule(account="{x}")], identity())

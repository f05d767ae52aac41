"""HTCondor's map file: what is written is read as it was meant, in each form."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_gen.mapfiles.condor import Entry, Form, Reader, line, refusal, write
from proxy_gen.mapfiles.patterns import Account, NamePattern
from tests.proxy_gen.mapfiles.names import USER, WIDE, hole, odd_text, pattern
from ttscache.mapping.engine import is_account

TEN_TWICE = tuple(piece for i in range(20) for piece in (f"/O={i}", hole(f"c{i % 10}")))
FORMS = pytest.mark.parametrize("form", Form, ids=lambda form: form.value)
USERS = Entry(pattern("/O=x/CN=", hole("n", WIDE), "/CN=u-", hole()), Account("", "u"))


def mapped(form: Form, name: str, *entries: Entry) -> str | None:
    reader = Reader(write(entries, form), assume_hash=form is Form.HASH)
    return reader.map("gsi" if form is Form.GSI else "SSL", name)


def test_the_lines() -> None:
    entry = Entry(pattern("/DC=ch/CN=Jane Doe"), Account("jane"))
    assert [line(entry, form) for form in Form] == [
        r'SSL "^\/DC\=ch\/CN\=Jane\ Doe$" jane',
        r"SSL /^\/DC\=ch\/CN\=Jane\ Doe$/ jane",
        r'GSI "^\/DC\=ch\/CN\=Jane\ Doe$" jane',
    ]


@FORMS
@given(value=odd_text)
def test_any_literal_name_maps_and_nothing_near_it(form: Form, value: str) -> None:
    name = "/O=x/CN=" + value
    try:
        entry = Entry(pattern(name), Account("jane"))
    except Exception:  # noqa: BLE001 - hypothesis finds names that are none
        return
    assert mapped(form, name, entry) == "jane"
    for near in (name + "x", "x" + name, name[:-1], name.swapcase(), name + "/CN=1", name.replace(".", "x")):
        assert mapped(form, near, entry) == ("jane" if near == name else None)


@FORMS
@given(name=odd_text, user=st.text(st.sampled_from(sorted(USER)), min_size=1, max_size=70))
def test_a_template_maps_just_what_it_can_give(form: Form, name: str, user: str) -> None:
    dn = f"/O=x/CN={name}/CN=u-{user}"
    wanted = user if USERS.pattern.matches(dn) and is_account(user) and not user.startswith(".") else None
    assert mapped(form, dn, USERS) == wanted


@given(st.text(st.sampled_from("root0123.-_a"), min_size=1, max_size=6), st.sampled_from(["", "ro", "1", "a"]),
       st.sampled_from(["", "t", "2", "-"]))  # fmt: skip
def test_what_comes_out_is_an_account(value: str, prefix: str, suffix: str) -> None:
    entry = Entry(pattern("/O=", hole("u"), "-x/CN=y"), Account(prefix, "u", suffix))
    account = prefix + value + suffix
    wanted = account if is_account(account) and not account.startswith(".") else None
    assert mapped(Form.REGEX, f"/O={value}-x/CN=y", entry) == wanted


@FORMS
def test_a_claim_that_stands_twice_must_be_the_same(form: Form) -> None:
    entry = Entry(pattern("/O=", hole("a", WIDE), "/OU=", hole("a", WIDE), "1/CN=", hole()), Account("", "u"))
    assert mapped(form, "/O=x y/OU=x y1/CN=jane", entry) == "jane"
    assert mapped(form, "/O=x y/OU=x z1/CN=jane", entry) is None


@FORMS
def test_excluded_names(form: Form) -> None:
    entry = Entry(pattern("/CN=", hole("n", WIDE)), Account("all"), frozenset({"/CN=a.b", "/CN=c$"}))
    assert [mapped(form, "/CN=" + cn, entry) for cn in ("a.b", "axb", "a.bc", "c$", "c")] == [
        None,
        *["all"] * 2,
        None,
        "all",
    ]


@FORMS
def test_no_line_is_longer_than_pcre_takes(form: Form) -> None:
    names = [f"/CN={index:03}{'x' * 50}" for index in range(600)]
    few, many = (Entry(pattern("/CN=", hole()), Account("all"), frozenset(names[:count])) for count in (200, 600))
    assert refusal(few) is None
    assert mapped(form, "/CN=jane", few) == "all"
    assert "the 600 names that are not its own, its expression is longer" in str(refusal(many))
    # HTCondor drops such a line, so that its names are nobody's or the next line's
    assert mapped(form, "/CN=jane", many) is None
    assert mapped(form, "/CN=jane", many, few) == "all"


@pytest.mark.parametrize(
    "which, account, why",
    [
        (pattern("/CN=x"), Account(".pool"), "pool"),
        (pattern("/CN=", hole("n")), Account("", "u"), "not in the DN"),
        (pattern("/CN=", hole("n", WIDE), hole()), Account("", "u"), "begins and ends"),
        (pattern(*TEN_TWICE), Account("", "c0"), "more than 9"),
    ],
    ids=["pool", "another claim", "ambiguous", "too many"],
)  # fmt: skip
def test_what_no_line_can_say(which: NamePattern, account: Account, why: str) -> None:
    assert why in str(refusal(Entry(which, account)))


def test_the_reader_takes_the_first_line_that_fits() -> None:
    text = '# c\n\nSSL "^a$" one\nSSL "a" two\nGSI "a" three\n'
    reader = Reader(text, assume_hash=False)
    assert [reader.map("SSL", name) for name in ("a", "ba", "b")] == ["one", "two", None]
    assert reader.map("gsi", "a") == "three"


def test_all_expressions_are_anchored() -> None:
    for form in Form:
        assert re.fullmatch(r"(SSL|GSI) [\"/]\^.*\$[\"/] \S+", line(USERS, form))

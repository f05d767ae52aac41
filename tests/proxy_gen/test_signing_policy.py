"""Signing policies, read as Globus reads them: the cases that the acceptance tests put to Globus itself, and more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.errors import CredentialFileError
from proxy_gen.names import DistinguishedName
from proxy_gen.namespaces import Namespaces, namespaces_file
from proxy_gen.signing_policy import MAX_POLICY_BYTES, SigningPolicy, folded, signing_policy_file
from tests.proxy_gen.policies import CA, CASES, JANE, Case, policy


def permits(content: str | bytes, name: str = JANE, ca: str = CA) -> bool:
    octets = content if isinstance(content, bytes) else content.encode()
    return SigningPolicy.parse(octets).permits(ca, name)


def refused(content: bytes) -> str:
    with pytest.raises(CredentialFileError, match=r"signing policy cannot be read: ") as error:
        SigningPolicy.parse(content)
    assert error.value.code == "signing_policy_malformed"
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_as_globus_reads_it(case: Case) -> None:
    if case.malformed:
        refused(case.content.encode())
    else:
        assert permits(case.content, case.subject) is case.permitted


@pytest.mark.parametrize(
    "pattern, name, expected",
    [
        ("*", "/O=x", True),
        ("/O=x*", "/O=x", False),
        ("/O=x*", "/O=xy", True),
        ("/O=*/CN=y", "/O=abc/CN=y", True),
        ("/O=*/CN=y", "/O=/CN=y", False),
        ("/O=*/CN=y", "/O=a/CN=x/CN=y", True),
        ("/O=*/CN=*", "/O=a/CN=b", False),
        ("/O=*/CN=*", "/O=*/CN=b", True),
        ("/O=?", "/O=x", False),
        ("/O=?", "/O=?", True),
        ("/O=x.", "/O=xy", False),
        ("/o=X", "/O=x", True),
        ("/O=x\\\\\\\\xC3", "/O=x\\xC3", True),
        ("/O=\\\\x58", "/O=x", True),
        ("", "/O=x", False),
        ("", "", True),
        ("/E=a@b", "/emailAddress=a@b", True),
        ("/emailAddress=a@b", "/Email=a@b", True),
        ("/USERID=a", "/UID=a", True),
        ("/CE=a", "/CemailAddress=a", False),
    ],
)
def test_a_pattern(pattern: str, name: str, *, expected: bool) -> None:
    assert permits(policy(pattern), name) is expected


def test_rights() -> None:
    deny = f"neg_rights globus CA:sign cond_subjects globus '\"{JANE}\"'\n"
    assert not permits(policy(JANE) + deny)
    assert permits(policy("*") + deny, "/O=x")
    assert not permits(f"access_id_CA X509 '{CA}'\n{deny}pos_rights globus CA:sign\n", "/O=x")
    assert permits(f"access_id_CA X509 '{CA}'\npos_rights globus CA:sign pos_rights globus CA:other\n")
    assert not permits(f"access_id_CA X509 '{CA}'\npos_rights globus CA:other\n")
    assert not permits(policy("*") + "cond_banned_subjects globus '\"/O=x\"'\n")
    assert not permits(policy("*") + "cond_day globus 'Su-Mo'\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\n",
        b"access_id_CA\n",
        b"access_id_CA X509 'x'\n",
        b"access_id_CA X509 'x\n",
        b"access_id_CA X509 'x'y\npos_rights globus CA:sign\n",
        b"access_id_CA X509 'x'\npos_rights globus\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\ncond_subjects globus\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\nfoo\n",
        b"cond_subjects globus '\"*\"'\n",
        b"pos_rights globus CA:sign\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\ncond_subjects globus '\"a\" b'\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\ncond_subjects globus '\"a'\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\ncond_subjects globus '\"\\\\xzz\"'\n",
        b"access_id_CA X509 'x'\npos_rights globus CA:sign\ncond_subjects globus 'a\nb'\n",
        b"#" * MAX_POLICY_BYTES + b"\n",
    ],
)
def test_what_is_no_policy(content: bytes) -> None:
    refused(content)


def test_a_file_without_entries_permits_nobody() -> None:
    assert not permits("\n# nothing\n")


def test_no_policy_takes_long() -> None:
    for content in (b"'" + b"\\" * 60_000, b"'" * 60_000, b'x "' * 20_000, b"access_id_CA " * 5_000):
        refused(content + b"\n")
    many = policy(*["/" + "*" * 60] * 900)
    assert not permits(many, "/" + "x" * 10_000)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good policy with some octets cut out, doubled or replaced."""
    content = policy(JANE, "/O=x/*").encode() * draw(st.integers(1, 2))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 20))
        content = content[:at] + draw(st.binary(max_size=5) | st.sampled_from([b"'", b'"', b"\\", b"\n", b"#"]))
        content += policy(JANE, "/O=x/*").encode()[at + length :]
    return content


@given(mangled() | st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_octets_are_a_policy_or_refused(content: bytes) -> None:
    for kind in (SigningPolicy, Namespaces):
        try:
            assert kind.parse(content).permits(CA, JANE) in {True, False}
        except CredentialFileError as error:
            assert error.code in {"signing_policy_malformed", "namespaces_malformed"}  # noqa: PT017 - or it is parsed


# what quotes, comments, escapes and regular expressions are made of; types are spelt as OpenSSL spells them
_VALUES = st.text(st.sampled_from("aB1 '\"#\\.+?^$|()[]{}=:,") | st.characters(min_codepoint=0x20, max_codepoint=0x7E))
NAMES = st.lists(
    st.tuples(st.sampled_from(["O", "CN", "UID", "emailAddress"]), _VALUES).map("=".join), min_size=1, max_size=3
).map(lambda parts: "".join("/" + part.replace("/", "").replace("*", "") for part in parts))


@given(
    st.lists(
        st.tuples(NAMES, st.lists(NAMES, max_size=3)), min_size=1, max_size=3, unique_by=lambda a: folded(a[0].encode())
    ),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read(authorities: list[tuple[str, list[str]]], data: st.DataObject) -> None:
    """Both files, for names with quotes, hashes, backslashes and what means something in regular expressions."""
    written = [(ca, [*subjects, *(f"{subject}/*" for subject in subjects)]) for ca, subjects in authorities]
    signing, namespaces = SigningPolicy.parse(signing_policy_file(written)), Namespaces.parse(namespaces_file(written))
    below = data.draw(NAMES)
    for ca, subjects in authorities:
        signed = [ca, *subjects, *(f"{subject}{below}" for subject in subjects)]
        assert all(signing.permits(ca, name) and namespaces.permits(ca, name) for name in signed)
        prefixes = [folded(subject.encode()) for subject in subjects]
        other = folded(below.encode())
        expected = other in {folded(ca.encode()), *prefixes} or any(other.startswith(p + b"/") for p in prefixes)
        assert signing.permits(ca, below) is namespaces.permits(ca, below) is expected


@given(st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=4), NAMES)
@settings(max_examples=100, deadline=None)
def test_a_file_says_the_same_of_a_name_as_a_plain_search(patterns: list[tuple[str, bool]], name: str) -> None:
    """The one star at the end, against a regular expression."""
    texts = [text + "*" * star for text, star in patterns]
    expected = any(
        re.fullmatch(re.escape(folded(text.encode())) + b".+" * star, folded(name.encode()), re.DOTALL)
        for text, star in [*patterns, (CA, False)]
    )
    assert permits(signing_policy_file([(CA, texts)]), name) is expected


def test_names_that_openssl_prints_with_backslashes_survive() -> None:
    name = DistinguishedName.parse("/O=Universität/CN=ü").slash
    assert "\\x" in name
    content = signing_policy_file([(name, [f"{name}/*"])])
    assert permits(content, name, name)
    assert permits(content, f"{name}/CN=x", name)
    content = namespaces_file([(name, [f"{name}/*"])])
    assert Namespaces.parse(content).permits(name, f"{name}/CN=x")
    assert not Namespaces.parse(content).permits(name, "/O=x")

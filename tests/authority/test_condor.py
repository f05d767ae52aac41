"""IDTOKENs that we issue: keys, and what is refused. That HTCondor takes them is an acceptance test."""

import string
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscache.authority.condor import (
    AUTHORIZATION_LEVELS,
    MAX_KEY_BYTES,
    CondorTokenError,
    SigningKey,
    issue_idtoken,
    require_key_id,
    subject_of,
)

NOW = 1_900_000_000.75
KEY = SigningKey.from_file_content("site", b"content")
WANTED: dict[str, Any] = {
    "trust_domain": "pool.example",
    "user": "jane",
    "scopes": ["condor:/READ", "condor:/ADVERTISE_STARTD"],
    "now": NOW,
    "lifetime": 600,
}


def refused(**changes: object) -> CondorTokenError:
    with pytest.raises(CondorTokenError) as caught:
        issue_idtoken(KEY, **(WANTED | changes))
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_is_issued() -> None:
    token, expires_at = issue_idtoken(KEY, **WANTED)
    assert expires_at == 1_900_000_600
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "site"}
    claims = jwt.decode(token, KEY.secret, algorithms=["HS256"], options={"verify_iat": False})
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "exp": 1_900_000_600,
        "iat": 1_900_000_000,
        "iss": "pool.example",
        "scope": "condor:/READ condor:/ADVERTISE_STARTD",
        "sub": "jane@pool.example",
    }


def test_no_two_tokens_have_one_id() -> None:
    tokens = [issue_idtoken(KEY, **WANTED)[0] for _ in range(100)]
    ids = {jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens}
    assert len(ids) == 100


# computed once with OpenSSL: `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:... -kdfopt salt:htcondor
# -kdfopt info:"master jwt" HKDF`, of "abcde" with the scramble undone
@pytest.mark.parametrize(
    "key_id,secret",
    [
        ("site", "2be99c8bf03bfc735be1d9be5ce523774623fa46d5f03a05117d42a487adada6"),
        ("POOL", "90e770bf3b765300646abae438d84bd654d79d69145ef8c26a6395b70a70d836"),
    ],
)
def test_the_key_of_a_file(key_id: str, secret: str) -> None:
    key = SigningKey.from_file_content(key_id, b"abcde", allow_pool_key=True)
    assert key.secret.hex() == secret


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=3))
def test_every_byte_of_a_file_counts(content: bytes, more: bytes) -> None:
    longer = SigningKey.from_file_content("site", content + more)
    assert (longer == SigningKey.from_file_content("site", content)) is (not more)
    assert longer.secret != SigningKey.from_file_content("POOL", content + more, allow_pool_key=True).secret


def test_a_key_is_not_shown() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY) == "SigningKey(key_id='site')"


@pytest.mark.parametrize("content", [b"", b"x" * (MAX_KEY_BYTES + 1)], ids=["empty", "large"])
def test_a_file_that_is_no_key(content: bytes) -> None:
    with pytest.raises(CondorTokenError) as caught:
        SigningKey.from_file_content("site", content)
    assert caught.value.code == "key_invalid"


def test_the_largest_key() -> None:
    assert len(SigningKey.from_file_content("site", b"x" * MAX_KEY_BYTES).secret) == 32


def test_the_key_pool_must_be_allowed() -> None:
    with pytest.raises(CondorTokenError) as caught:
        SigningKey.from_file_content("POOL", b"x")
    assert caught.value.code == "pool_key_refused"
    assert SigningKey.from_file_content("POOL", b"x", allow_pool_key=True).key_id == "POOL"


@given(st.text(max_size=150) | st.text(alphabet=string.ascii_letters + "0.-_/ ", max_size=8))
def test_a_key_id_names_a_file(key_id: str) -> None:
    try:
        require_key_id(key_id, allow_pool_key=True)
    except CondorTokenError:
        return
    assert key_id[0] in string.ascii_letters + string.digits
    assert set(key_id) <= set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize(
    "key_id", ["", ".", "..", "../site", "a/b", "a\0", "a\n", "a b", "-a", "_a", "\xe9", "a" * 129]
)
def test_key_ids_that_are_no_file_names(key_id: str) -> None:
    with pytest.raises(CondorTokenError) as caught:
        SigningKey.from_file_content(key_id, b"x")
    assert caught.value.code == "key_id_invalid"


@pytest.mark.parametrize("value", ["", "a,b", "a b", "a\tb", " a", "a\n", "a\0", "\x7f", "p\xf6\xf6l", "a" * 256])
def test_trust_domains(value: str) -> None:
    assert refused(trust_domain=value, user="jane@x").code == "trust_domain_invalid"


@pytest.mark.parametrize(
    "scopes",
    [
        [],
        [""],
        ["READ"],
        ["condor:/"],
        ["condor:/read"],
        ["condor:/ALL_PERMISSIONS"],
        ["condor:/ALLOW"],
        ["condor:/READ condor:/WRITE"],
        ["condor:/READ,"],
        ["condor:/READ", "storage.read:/"],
        ["condor:/READ", "condor:/READ\n"],
    ],
)
def test_scopes(scopes: list[str]) -> None:
    assert refused(scopes=scopes).code == "scope_invalid"


def test_all_levels() -> None:
    issue_idtoken(KEY, **(WANTED | {"scopes": [f"condor:/{level}" for level in AUTHORIZATION_LEVELS]}))


@pytest.mark.parametrize("lifetime", [0, -1])
def test_lifetimes(lifetime: int) -> None:
    assert refused(lifetime=lifetime).code == "lifetime_invalid"


@pytest.mark.parametrize(
    "user,subject",
    [
        ("jane", "jane@pool.example"),
        ("jane@cern.ch", "jane@cern.ch"),
        ("_cms-pilot.01", "_cms-pilot.01@pool.example"),
        ("jane@cm.example:9618", "jane@cm.example:9618"),
    ],
)
def test_users(user: str, subject: str) -> None:
    assert subject_of(user, "pool.example") == subject


@pytest.mark.parametrize(
    "user",
    ["", "@", "jane@", "@pool", "a@b@c", "a b", "a,b", "a/b", "*", "a@*", ".a", "a\n", "a\0b", "j\xe4ne", "a" * 250],
)
def test_users_that_htcondor_would_read_otherwise(user: str) -> None:
    assert refused(user=user).code == "user_invalid"


@pytest.mark.parametrize(
    "user",
    ["root", "condor", "condor@cern.ch", "condor_pool", "CONDOR", "x@family", "x@Child", "execute-side@matchsession"],
)
def test_users_that_are_more_than_users(user: str) -> None:
    assert refused(user=user).code == "user_reserved"


@given(st.text(max_size=40) | st.text(alphabet="ab@._-:/* ", max_size=8))
def test_a_subject_has_one_user_and_one_domain(user: str) -> None:
    try:
        subject = subject_of(user, "pool.example")
    except CondorTokenError:
        return
    name, domain = subject.split("@")
    assert user in {name, subject}
    assert name
    assert domain
    assert not set(subject) & set(" ,/*\t\n\0")

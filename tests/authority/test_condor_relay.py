"""IDTOKENs of the pool that are handed on: what is read, and what is refused."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscache.authority.condor import CondorTokenError
from ttscache.authority.condor_relay import MAX_TOKEN_FILE_BYTES, read_idtoken

NOW = 1_900_000_000.0
USUAL = {
    "iss": "pool.example",
    "sub": "wn@pool.example",
    "iat": 1_899_999_000,
    "exp": 1_900_000_600,
    "jti": "0" * 32,
    "scope": "condor:/READ condor:/ADVERTISE_STARTD",
}


def token(header: dict[str, Any] | None = None, **claims: object) -> str:
    """Return a signed token; claims that are None are left out."""
    payload = json.dumps({name: value for name, value in (USUAL | claims).items() if value is not None})
    return jwt.PyJWS().encode(payload.encode(), b"k" * 64, "HS256", {"kid": "site"} if header is None else header)


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def code_of(text: str) -> str:
    with pytest.raises(CondorTokenError) as caught:
        read_idtoken(text, NOW)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_what_is_read() -> None:
    text = token()
    read = read_idtoken(text, NOW)
    assert (read.key_id, read.issuer, read.subject) == ("site", "pool.example", "wn@pool.example")
    assert read.scopes == ("condor:/READ", "condor:/ADVERTISE_STARTD")
    assert read.expires_at == 1_900_000_600
    assert read.token == text
    assert text not in repr(read)


@pytest.mark.parametrize("around", ["{}", "{}\n", "\n  {}  \r\n\n", "# mine\n{}\n# theirs"])
def test_files_as_htcondor_reads_them(around: str) -> None:
    assert read_idtoken(around.format(token()), NOW).token == token()


@pytest.mark.parametrize(
    "scope", ["condor:/READ,condor:/WRITE", "storage.read:/ condor:/READ", "condor:/LEVEL_OF_TOMORROW", " condor:/READ"]
)
def test_scopes_that_narrow(scope: str) -> None:
    assert read_idtoken(token(scope=scope), NOW).scopes


@pytest.mark.parametrize(
    "scope", [None, "", " ", "condor:/", "READ", "storage.read:/", "condor:/ALL_PERMISSIONS condor:/READ", "condor:/\v"]
)
def test_scopes_that_do_not(scope: str | None) -> None:
    assert code_of(token(scope=scope)) == "token_unrestricted"


def test_a_token_without_an_end() -> None:
    assert code_of(token(exp=None)) == "token_unrestricted"


@pytest.mark.parametrize("end", [NOW, NOW - 1, 0, 1_899_999_999.5])
def test_expired(end: float) -> None:
    assert code_of(token(exp=end)) == "token_expired"


_HEADER, _PAYLOAD, _SIGNATURE = token().split(".")


@pytest.mark.parametrize(
    "text",
    {
        "empty": "",
        "comments": "# a\n\n",
        "two": f"{token()}\n{token()}",
        "proxy": "-----BEGIN CERTIFICATE-----",
        "two-parts": f"{_HEADER}.{_PAYLOAD}",
        "unsigned": f"{_HEADER}.{_PAYLOAD}.",
        "short-signature": f"{_HEADER}.{_PAYLOAD}.{_SIGNATURE[:20]}",
        "not-base64": f"{_HEADER}.!!!.{_SIGNATURE}",
        "not-json": f"{_HEADER}.{unpadded(b'{')}.{_SIGNATURE}",
        "list": f"{_HEADER}.{unpadded(b'[]')}.{_SIGNATURE}",
        "deep": f"{_HEADER}.{unpadded(b'[' * 9000)}.{_SIGNATURE}",
        "large": token(x="x" * MAX_TOKEN_FILE_BYTES),
        "no-kid": token({}),
        "empty-kid": token({"kid": ""}),
        "another-algorithm": token({"kid": "site", "alg": "HS512"}),
        "critical": token({"kid": "site", "crit": ["x"], "x": 1}),
        "no-issuer": token(iss=None),
        "no-subject": token(sub=None),
        "nul-subject": token(sub="a\0@b"),
        "long-subject": token(sub="a" * 256),
        "number-subject": token(sub=5),
        "no-jti": token(jti=None),
        "scope-list": token(scope=["condor:/READ"]),
        "exp-string": token(exp="1900000600"),
        "exp-true": token(exp=True),
        "exp-nan": token(exp=float("nan")),
        "exp-far": token(exp=2**60),
        "exp-negative": token(exp=-1),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_htcondor_would_not_take(text: tuple[str, str]) -> None:
    assert code_of(text[1]) == "token_malformed"


@given(st.text(max_size=300) | st.lists(st.text(alphabet="eyJ0.-_= \n#", max_size=40), max_size=6).map(".".join))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(CondorTokenError):
        read_idtoken(text, NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(USUAL)), _JSON, max_size=3))
def test_any_claims_are_read_or_refused(claims: dict[str, Any]) -> None:
    try:
        read = read_idtoken(token(**claims), NOW)
    except CondorTokenError:
        return
    assert read.expires_at > NOW
    assert any(scope.startswith("condor:/") for scope in read.scopes)

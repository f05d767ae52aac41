"""Whatever is sent, the answer is one of ours: never a 5xx, never a traceback."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tools.http import FORM, Answer, Web, ask

FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_text = st.text(max_size=40)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=8,
)
_names = st.sampled_from(["profile", "lifetime", "limited", "csr", "fqans", "fqan"])
_documents = st.dictionaries(_names | _text, _json | st.sampled_from(["pilot", "short", 3600, True]), max_size=6)
_parameters = st.sampled_from(
    ["grant_type", "subject_token", "subject_token_type", "requested_token_type", "profile", "lifetime", "limited"]
)
_values = st.sampled_from(
    [
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:token-type:access_token",
        "urn:ttscache:params:oauth:token-type:x509-proxy",
        "pilot",
        "3600",
        "true",
        "TOKEN",
    ]
)
_fields = st.lists(st.tuples(_parameters | _text, _values | _text), max_size=8)
# what can stand in a header's value at all (RFC 9110 section 5.5)
_header = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


@pytest.fixture(scope="module")
def line(request: pytest.FixtureRequest) -> Iterator[http.client.HTTPConnection]:
    """One connection for all of it: what went wrong with one request must not reach the next."""
    daemon = request.getfixturevalue("daemon")
    connection = daemon.web.connection()
    yield connection
    connection.close()


def is_ours(answer: Answer) -> None:
    assert answer.status < 500, answer.body
    assert b"Traceback" not in answer.body
    if answer.status >= 400:
        assert {"code", "request_id"} <= set(answer.json)


@FUZZ
@given(document=_documents | _json)
def test_any_json(line: http.client.HTTPConnection, token: str, document: object) -> None:
    is_ours(ask(line, "POST", "/v1/proxy", {}, json.dumps(document).encode(), token))


@FUZZ
@given(body=st.binary(max_size=200))
def test_any_bytes(line: http.client.HTTPConnection, token: str, body: bytes) -> None:
    is_ours(ask(line, "POST", "/v1/proxy", {}, body, token))
    is_ours(ask(line, "POST", "/token", FORM, body))


@FUZZ
@given(fields=_fields)
def test_any_form(line: http.client.HTTPConnection, token: str, fields: list[tuple[str, str]]) -> None:
    known = [(name, token if value == "TOKEN" else value) for name, value in fields]
    is_ours(ask(line, "POST", "/token", FORM, urlencode(known, errors="replace").encode()))


@FUZZ
@given(fields=st.lists(st.tuples(_names | _text, _values | _text), max_size=5))
def test_any_query(line: http.client.HTTPConnection, token: str, fields: list[tuple[str, str]]) -> None:
    is_ours(ask(line, "GET", f"/v1/proxy?{urlencode(fields, errors='replace')}", token=token))


@FUZZ
@given(path=_text, method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "DELETE"]))
def test_any_path(line: http.client.HTTPConnection, path: str, method: str) -> None:
    answer = ask(line, method, "/" + quote(path, errors="replace"))
    assert answer.status in {200, 400, 404, 405}


@FUZZ
@given(
    name=st.sampled_from(["Authorization", "Accept", "If-None-Match", "X-Request-ID", "Content-Type", "Cookie"]),
    value=_header,
)
def test_any_header(line: http.client.HTTPConnection, token: str, name: str, value: str) -> None:
    bearer = {} if name == "Authorization" else {"Authorization": f"Bearer {token}"}
    is_ours(ask(line, "GET", "/v1/whoami", {**bearer, name: value.strip()}))
    is_ours(ask(line, "GET", "/v1/proxy", {**bearer, name: value.strip()}))


@settings(FUZZ, max_examples=40)
@given(garbage=st.binary(min_size=1, max_size=80))
def test_any_bytes_in_the_place_of_a_request(web: Web, garbage: bytes) -> None:
    # what may still be taken for the beginning of a request ends with a good one
    is_ours(web.raw(garbage + b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))

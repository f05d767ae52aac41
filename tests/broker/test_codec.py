"""The records' form in the store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_gen.keys import KeyKind, generate_key, public_der
from proxy_gen.names import DistinguishedName
from tests.broker.world import START, TOP, an_authority
from tests.mapping.people import identity
from ttscache.broker import codec
from ttscache.broker.orders import Parent
from ttscache.errors import StoreUnavailableError
from ttscache.model import Credential, Session, SessionState

TEXTS = st.text(max_size=30)
TIMES = st.floats(0, 2**40)
SESSIONS = st.builds(
    Session,
    issuer=TEXTS, subject=TEXTS, generation=TEXTS, state=st.sampled_from(SessionState),
    opened_at=TIMES, confirmed_at=TIMES, ends_at=TIMES,
    refresh_token=st.none() | TEXTS, fence=st.integers(0, 2**62), end_reason=st.none() | TEXTS,
    access_token=st.none() | TEXTS, access_ends_at=TIMES,
)  # fmt: skip
CREDENTIALS = st.builds(
    Credential,
    pem=TEXTS.map(str.encode), subject=TEXTS, identity=TEXTS, account=st.none() | TEXTS, issuer=TEXTS,
    not_before=TIMES, not_after=TIMES, fqans=st.lists(TEXTS, max_size=3).map(tuple),
    serial=st.integers(1, 2**160), eec_serial=st.integers(1, 2**160), profile=TEXTS,
    shortened_by=st.lists(TEXTS, max_size=3).map(tuple),
)  # fmt: skip
CACHED = st.builds(
    codec.Cached,
    credential=CREDENTIALS,
    issued_at=TIMES,
    soft=TIMES,
    hard=TIMES,
    owner=st.tuples(TEXTS, TEXTS),
)
DECODERS = (codec.decode_session, codec.PROXY.decode, codec.decode_parent, codec.decode_fields)


@given(session=SESSIONS)
def test_sessions(session: Session) -> None:
    assert codec.decode_session(codec.encode_session(session)) == session


@given(cached=CACHED)
def test_cached_credentials(cached: codec.Cached[Credential]) -> None:
    assert codec.PROXY.decode(codec.PROXY.encode(cached)) == cached


@given(fields=st.dictionaries(TEXTS.filter(lambda name: name != "format"), TEXTS | st.integers() | st.none()))
def test_fields(fields: dict[str, object]) -> None:
    assert codec.decode_fields(codec.encode_fields(fields)) == fields


def test_parents() -> None:
    key = generate_key(KeyKind.P_256)
    name, now = DistinguishedName.parse(TOP + "/CN=x"), datetime.fromtimestamp(START, UTC)
    certificate = an_authority().issue_eec(name, key.public_key(), now=now, lifetime=timedelta(hours=1))
    read = codec.decode_parent(codec.encode_parent(Parent((certificate,), key, START), identity()))
    assert (read.chain, read.asked_until) == ((certificate,), START)
    assert public_der(read.key.public_key()) == public_der(key.public_key())


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "value",
    [
        *[b"{}", b'{"format":2}', b'{"format":"1"}', b"[]", b"1", b"null", b'"text"'],
        b"",
        b"{",
        b"\xff\xfe",
    ],
)
def test_what_this_version_does_not_know_is_refused(decode: Callable[[bytes], object], value: bytes) -> None:
    with pytest.raises(StoreUnavailableError, match="another version"):
        decode(value)


@pytest.mark.parametrize("decode", DECODERS[:-1])
@pytest.mark.parametrize("fields", [{}, {"state": "odd"}, {"credential": 7}, {"certificate": "secret", "key": "x"}])
def test_what_is_incomplete_is_refused_without_a_word_of_it(
    decode: Callable[[bytes], object], fields: dict[str, object]
) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        decode(codec.encode_fields(fields))
    assert caught.value.__context__ is None
    assert "secret" not in str(caught.value)

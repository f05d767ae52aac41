"""A daemon that gives another proxy than was asked for, or none: what was there stays, and nothing bad is written."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential, chain_pem
from proxy_gen.keys import KeyKind, private_pem
from proxy_gen.pci import ProxyKind
from tests.client.misbehaving import http
from tests.sidecar.hostile import (
    CA,
    EEC,
    JANE,
    Answer,
    answers,
    document,
    good_proxy,
    hostile,
    minted,
    proxy_answer,
    says,
    turn,
    whoami,
)
from tests.tools.minting import HOUR, authority, delegate, end_entity, key_of, tampered, write_private
from ttscache.sidecar.order import Item, Kind, State

SECRET = "planted-secret"
JOE = "/DC=org/DC=ttscache/O=hostile/CN=joe"
OTHER_CA = authority("/DC=org/CN=other CA")


def ago(**duration: int) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


def below(parent: Credential) -> Answer:
    return answers(lambda body: minted(body, parent=parent))


def of_kind(kind: ProxyKind) -> Answer:
    return answers(lambda body: minted(body, kind=kind))


def expired(body: bytes) -> Credential:
    return minted(body, now=ago(minutes=90), lifetime=timedelta(minutes=30))


def of_tomorrow(body: bytes) -> Credential:
    return minted(body, now=datetime.now(UTC) + timedelta(hours=3))


def endless(body: bytes) -> Credential:
    proxy = EEC
    for _ in range(32):
        proxy = delegate(proxy, key=KeyKind.P_256)
    return minted(body, parent=proxy)


def with_joe(body: bytes) -> Credential:
    return Credential((*minted(body).chain, end_entity(CA, JOE).leaf))


def with_its_key(body: bytes) -> list[bytes]:
    return [proxy_answer(chain_pem(minted(body).chain) + private_pem(key_of(EEC)))]


def of_whoami(**fields: object) -> Answer:
    """Answer for whoami with other fields; a dot in a name leads into the decision."""
    good = json.loads(b"".join(whoami(b"")).partition(b"\r\n\r\n")[2])
    decision = good["decision"] | {name[1:]: value for name, value in fields.items() if name.startswith("_")}
    top = {name: value for name, value in fields.items() if not name.startswith("_")}
    return says(document(good | {"decision": decision} | top))


GARBAGE = b"-----BEGIN CERTIFICATE-----\n" + b"A" * 400 + b"\n-----END CERTIFICATE-----\n"
HTML = b"<html>" + SECRET.encode() + b"</html>"
BUSY = http(HTML, "503 Busy", "Retry-After: 999999999999")

PROXIES: dict[str, tuple[Answer, str]] = {
    "another key's": (answers(lambda _: delegate(EEC, key=KeyKind.P_256)), "key_mismatch"),
    "expired": (answers(expired), "expired"),
    "not yet valid": (answers(of_tomorrow), "not_yet_valid"),
    "another identity's": (below(end_entity(CA, JOE)), "proxy_unfit"),
    "under another CA": (below(end_entity(OTHER_CA, JANE)), "proxy_unfit"),
    "limited": (of_kind(ProxyKind.LIMITED), "proxy_unfit"),
    "independent": (of_kind(ProxyKind.INDEPENDENT), "proxy_unfit"),
    "below an independent": (below(delegate(EEC, ProxyKind.INDEPENDENT)), "proxy_unfit"),
    "a bare end entity": (answers(lambda _: EEC), "key_mismatch"),
    "without its end entity": (answers(lambda body: Credential(minted(body).chain[:1])), "proxy_unfit"),
    "with a broken signature": (answers(lambda body: tampered(minted(body))), "signature"),
    "with another's certificate": (answers(with_joe), "proxy_unfit"),
    "of an endless chain": (answers(endless), "credential_too_large"),
    "with another's key": (with_its_key, "key_mismatch"),
    "garbage": (says(proxy_answer(GARBAGE)), "credential_malformed"),
    "no PEM": (says(proxy_answer(b"\xff\0" + HTML)), "credential_empty"),
}
ANSWERS: dict[str, tuple[Answer, str]] = {
    "half": (lambda body: [piece[: len(piece) // 2] for piece in good_proxy(body)], "unreachable"),
    "HTML": (says(http(HTML)), "answer_invalid"),
    "a list": (says(document([SECRET])), "answer_invalid"),
    "without a proxy": (says(document({"pem": None})), "answer_invalid"),
    "huge": (says(http(b" " * 3_000_000)), "answer_invalid"),
    "nested": (says(http(b"[" * 100_000)), "answer_invalid"),
    "elsewhere": (says(http(HTML, "302 Found", "Location: http://127.0.0.1:1/")), "answer_invalid"),
    "a gateway's": (says(http(HTML, "502 Bad Gateway")), "answer_invalid"),
    "busy": (says(BUSY), "answer_invalid"),
    "no HTTP": (says(HTML), "unreachable"),
    "nothing": (says(b""), "unreachable"),
    "a code that is none": (says(http(b'{"code": "a\\nb", "detail": "%s"}' % HTML, "403 No")), "answer_invalid"),
    "revoked, by a word": (says(http(b'{"code": "subject_revoked", "detail": ""}')), "answer_invalid"),
}
WHOAMI: dict[str, tuple[Answer, str]] = {
    "nobody": (says(document({})), "answer_invalid"),
    "no decision": (of_whoami(decision=None), "answer_invalid"),
    "a DN that is none": (of_whoami(_dn=[JANE]), "answer_invalid"),
    "a key of no kind": (of_whoami(_profiles={"pilot": {"type": "x509-proxy", "key": "dsa"}}), "answer_invalid"),
    "a long refusal": (of_whoami(refused={"code": "a" * 100_000, "detail": SECRET}), "answer_invalid"),
    "a refusal of a list": (of_whoami(refused={"code": ["a"], "detail": SECRET}), "answer_invalid"),
    "somebody of a long name": (of_whoami(_dn="/CN=" + "x" * 100_000), "proxy_unfit"),
    "half": (says(http(b"{}" * 100)[:-50]), "unreachable"),
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return write_private(tmp_path / "token", b"planted-token")


def old_proxy(file: Path) -> bytes:
    """Write a proxy that is good, and past its half-life."""
    old = delegate(EEC, key=KeyKind.P_256, now=ago(minutes=90), lifetime=2 * HOUR)
    write_private(file, old.to_pem())
    then = time.time() - 5400
    os.utime(file, (then, then))
    return file.read_bytes()


def survives(token: Path, code: str, **server: Answer) -> None:
    directory = token.parent / "files"
    directory.mkdir()
    file = directory / "proxy"
    with hostile(shut=False, **server) as daemon:
        new = turn(daemon, token, Item(Kind.PROXY, file))
        assert (new.state, new.code, new.not_after) == (State.FAILED, code, None)
        assert list(directory.iterdir()) == []
        before = old_proxy(file)
        old = turn(daemon, token, Item(Kind.PROXY, file))
        assert (old.state, old.code) == (State.FAILED, code)
        assert old.not_after is not None
    assert file.read_bytes() == before
    assert list(directory.iterdir()) == [file]
    for told in (new.to_json(), old.to_json()):
        assert len(told) < 2000, "no more than a pipe holds"
        assert not any(secret in told for secret in (SECRET, "planted-token", "BEGIN"))


def test_a_good_answer_is_taken(token: Path, tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    before = old_proxy(file)
    with hostile(proxy=good_proxy) as daemon:
        assert turn(daemon, token, Item(Kind.PROXY, file)).state is State.RENEWED
    assert file.read_bytes() != before
    assert Credential.parse(file.read_bytes()).key is not None


@pytest.mark.parametrize("case", PROXIES)
def test_another_proxy_than_was_asked_for(case: str, token: Path) -> None:
    answer, code = PROXIES[case]
    survives(token, code, proxy=answer)


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_none(case: str, token: Path) -> None:
    answer, code = ANSWERS[case]
    survives(token, code, proxy=answer)


@pytest.mark.parametrize("case", WHOAMI)
def test_nonsense_about_the_token(case: str, token: Path) -> None:
    answer, code = WHOAMI[case]
    survives(token, code, whoami=answer, proxy=good_proxy)

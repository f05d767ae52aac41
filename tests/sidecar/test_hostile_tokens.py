"""A daemon that gives another token than was asked for, or none: what was there stays, and nothing bad is written."""

import base64
import json
import time
from pathlib import Path

import pytest

from tests.client.misbehaving import http
from tests.sidecar.hostile import Answer, document, hostile, says, turn
from tests.tools.minting import write_private
from ttscache.sidecar.log import rfc3339
from ttscache.sidecar.order import Item, Kind, Outcome, State

HOUR = 3600
SECRET = "planted-secret"


def jwt(**claims: object) -> str:
    """Return a token of jane's that nobody has signed: the sidecar takes the daemon's word for it."""
    parts = ({"alg": "none"}, {"sub": "jane", "iss": "https://iam.test/", **claims}, {"sig": "na"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def in_seconds(seconds: float) -> int:
    return int(time.time() + seconds)


def issued(token: object, expires_in: object = HOUR, **more: object) -> Answer:
    return says(document({"access_token": token, "expires_in": expires_in, "scope": "", **more}))


def good(**claims: object) -> str:
    return jwt(**{"exp": in_seconds(HOUR), **claims})


TOKENS: dict[str, tuple[Answer, str]] = {
    "with a header": (issued(f"{good()}\r\nX: {SECRET}"), "answer_invalid"),
    "with a NUL": (issued(good() + "\0"), "answer_invalid"),
    "with a space": (issued(f"{good()} {SECRET}"), "answer_invalid"),
    "of many lines": (issued(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"), "answer_invalid"),
    "right to left": (issued(f"{good()}\u202e"), "answer_invalid"),
    "empty": (issued(""), "answer_invalid"),
    "none": (issued(None), "answer_invalid"),
    "a list": (issued([good()]), "answer_invalid"),
    "that has ended": (issued(jwt(exp=in_seconds(-1))), "token_expired"),
    "that ended in 1970": (issued(jwt(exp=0)), "token_expired"),
    "that ended before": (issued(jwt(exp=-HOUR)), "token_expired"),
    "that ends at no time": (issued(jwt(exp=float("nan"))), "token_expired"),
    "that never ends": (issued(jwt(exp=float("inf"))), "token_expired"),
    "that ends beyond all numbers": (issued(jwt(exp=10**400)), "token_expired"),
    "that ends by a word": (issued(jwt(exp="soon")), "token_expired"),
    "that has ended, by the answer": (issued(good(), 0), "token_expired"),
    "that ended long ago, by the answer": (issued(good(), -(10**400)), "token_expired"),
    "of tomorrow": (issued(good(nbf=in_seconds(HOUR / 2))), "token_not_yet_valid"),
    "without an end": (says(document({"access_token": good(), "scope": ""})), "answer_invalid"),
    "of a fraction": (issued(good(), 3600.5), "answer_invalid"),
    "of a text": (issued(good(), "3600"), "answer_invalid"),
    "without scopes": (issued(good(), scope=None), "answer_invalid"),
    "half": (lambda _: [http(b"{}" * 100)[:-50]], "unreachable"),
    "HTML": (says(http(b"<html>" + SECRET.encode())), "answer_invalid"),
    "huge": (says(http(b'{"access_token": "' + b"a" * 3_000_000)), "answer_invalid"),
    "elsewhere": (says(http(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/")), "answer_invalid"),
    "refused without a reason": (says(http(b"{}", "400 Bad Request")), "answer_invalid"),
}
# what says nothing of itself can be the first, but takes nobody's place
STRANGERS = {
    "another subject": good(sub="joe"),
    "another issuer": good(iss="https://iam.elsewhere/"),
    "a subject of many": good(sub=["joe"] * 50_000),
    "no JWT": "opaque",
    "nearly a JWT": "a.b.c",
    "a JWT of a list": "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c",
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return write_private(tmp_path / "token", b"planted-token")


def asked(token: Path, answer: Answer, old: str | None = None, kind: Kind = Kind.BEARER) -> tuple[Outcome, Path]:
    """Have a token asked for; ``old`` is there before."""
    directory = token.parent / "files"
    directory.mkdir(exist_ok=True)
    file = directory / "token"
    file.unlink(missing_ok=True)
    if old is not None:
        write_private(file, old.encode() + b"\n")
    with hostile(token=answer) as daemon:
        outcome = turn(daemon, token, Item(kind, file, due=old is not None))
    told = outcome.to_json()
    assert len(told) < 2000, "no more than a pipe holds"
    assert not any(secret in told for secret in (SECRET, "planted-token", "eyJ"))
    assert list(directory.iterdir()) in ([], [file])
    return outcome, file


@pytest.mark.parametrize("kind", [Kind.BEARER, Kind.IDTOKEN])
@pytest.mark.parametrize("case", TOKENS)
def test_a_bad_token_takes_no_place(case: str, kind: Kind, token: Path) -> None:
    answer, code = TOKENS[case]
    new, file = asked(token, answer, kind=kind)
    assert (new.state, new.code, new.not_after) == (State.FAILED, code, None)
    assert not file.exists()
    there = good()
    old, file = asked(token, answer, there, kind)
    assert (old.state, old.code) == (State.FAILED, code)
    assert old.not_after is not None
    assert file.read_text() == f"{there}\n"


@pytest.mark.parametrize("case", STRANGERS)
def test_a_strangers_token_does_not_take_its_place(case: str, token: Path) -> None:
    there = good(exp=in_seconds(90))
    outcome, file = asked(token, issued(STRANGERS[case]), there)
    assert (outcome.state, outcome.code) == (State.FAILED, "identity_changed")
    assert file.read_text() == f"{there}\n"


def test_a_good_token_does(token: Path) -> None:
    outcome, file = asked(token, issued(good()), good(exp=in_seconds(90)))
    assert outcome.state is State.RENEWED
    assert len(file.read_text().splitlines()) == 1


@pytest.mark.parametrize("seconds", [10**12, 10**400])
def test_the_end_of_time_can_be_told(seconds: int, token: Path) -> None:
    outcome, _ = asked(token, issued("opaque", seconds))
    assert outcome.state is State.RENEWED
    assert rfc3339(outcome.not_after) == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize("there", [jwt(exp=float("nan")), jwt(exp=10**400), jwt(exp=True), "opaque", "", "\udcff\0"])
def test_nonsense_that_is_there_is_replaced(there: str, token: Path) -> None:
    content = there.encode(errors="surrogateescape")
    outcome, file = asked(token, says(b""))
    write_private(file, content)
    with hostile(token=says(b"")) as daemon:
        outcome = turn(daemon, token, Item(Kind.BEARER, file))
    assert (outcome.state, outcome.not_after) == (State.FAILED, None)
    assert file.read_bytes() == content
    with hostile(token=issued(good())) as daemon:
        assert turn(daemon, token, Item(Kind.BEARER, file)).state is State.RENEWED


def test_a_token_of_ours_that_cannot_be_sent_is_not(token: Path) -> None:
    for content in (b"a\r\nX: y", b"a b", b"\xff", b"a\0b", b"a\x7f"):
        write_private(token, content)
        outcome, _ = asked(token, issued(good()))
        assert (outcome.code, outcome.exit_status) == ("token_malformed", 3), content
    for content in (b"", b"\n \n", b"a" * 70_000):
        write_private(token, content)
        outcome, _ = asked(token, issued(good()))
        assert (outcome.code, outcome.exit_status) == ("token_unreadable", 2)

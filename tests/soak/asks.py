"""What clients ask: good requests of random people, and garbage with secrets planted in it."""

import base64
import json
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from tests.soak.credentials import Wanted
from tests.soak.site import LIFETIMES, Person
from ttscache.server.token_endpoint import CONDOR_IDTOKEN_TYPE, GRANT_TYPE

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PEM = {"Accept": "application/x-pem-file"}
_LONG = 10_000_000
_LIMITED_SHARE = 0.2
_OK = 200


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``expected`` are the codes of a refusal that it asks for; ``planted`` is the secret in it."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    wanted: Wanted | None = None
    expected: tuple[str, ...] = ()
    planted: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it came from; ``began`` and ``ended`` are POSIX seconds."""

    ask: Ask
    replica: str
    began: float
    ended: float
    status: int
    body: bytes = field(repr=False)
    retry_after: str | None

    @property
    def code(self) -> str:
        """The problem's code; empty for what is none."""
        try:
            return "" if self.status == _OK else str(json.loads(self.body)["code"])
        except (ValueError, LookupError):
            return "no code"

    def told(self) -> str:
        who = "" if self.ask.wanted is None else self.ask.wanted.person.name
        words = self.body[:300].decode(errors="replace") if self.code else ""
        taken = self.ended - self.began
        return f"{self.ask.kind} {who} at {self.replica} after {taken:.2f} s: {self.status} {self.code} {words}"


def good(rng: random.Random, person: Person, token: str) -> Ask:
    """Return a request that is to be granted."""
    kind = rng.choices((fetch, csr, form, idtoken, whoami), (45, 20, 5, 15, 10))[0]
    return kind(person, token, rng.choice((None, *LIFETIMES)), limited=rng.random() < _LIMITED_SHARE)


def every_kind(person: Person, token: str) -> list[Ask]:
    """Return one request of each kind."""
    return [kind(person, token, None, limited=False) for kind in (fetch, csr, form, idtoken, whoami)]


def fetch(person: Person, token: str, lifetime: int | None, *, limited: bool) -> Ask:
    query = urlencode(_asked(lifetime) | {"limited": str(limited).lower()})
    return Ask("fetch", "GET", f"/v1/proxy?{query}", _bearer(token), wanted=Wanted(person, lifetime, limited))


def csr(person: Person, token: str, lifetime: int | None, *, limited: bool) -> Ask:
    key = generate_key(KeyKind.P_256)
    body = json.dumps({"csr": make_csr(key).decode(), "limited": limited, **_asked(lifetime)}).encode()
    return Ask("csr", "POST", "/v1/proxy", _bearer(token) | _PEM, body, Wanted(person, lifetime, limited, key))


def form(person: Person, token: str, lifetime: int | None, *, limited: bool) -> Ask:
    key = generate_key(KeyKind.P_256)
    fields = _exchange(token) | {"csr": make_csr(key).decode(), "limited": str(limited).lower()}
    body = urlencode(fields | _asked(lifetime)).encode()
    return Ask("form", "POST", "/token", _FORM, body, Wanted(person, lifetime, limited, key))


def idtoken(person: Person, token: str, lifetime: int | None, *, limited: bool) -> Ask:
    fields = _exchange(token) | {"requested_token_type": CONDOR_IDTOKEN_TYPE} | _asked(lifetime)
    return Ask("idtoken", "POST", "/token", _FORM, urlencode(fields).encode(), Wanted(person, lifetime, limited))


def whoami(person: Person, token: str, lifetime: int | None, *, limited: bool) -> Ask:
    return Ask("whoami", "GET", "/v1/whoami", _bearer(token), wanted=Wanted(person, lifetime, limited))


def garbage(rng: random.Random, token: str) -> Ask:
    """Return a request that is to be refused by a code of its own."""
    planted = f"planted.{secrets.token_urlsafe(32)}"
    bearer = _bearer(token)
    fields = urlencode(_exchange(planted)).encode()
    return rng.choice(
        (
            _refused(planted, "/v1/proxy", {"Authorization": f"Bearer {planted}"}, "token_malformed"),
            _refused(planted, "/v1/proxy", {"Authorization": f"Bearer {_tampered(token)}"}, "token_signature"),
            _refused(planted, "/v1/whoami", {"Authorization": f"Bearer {_unsigned(planted)}"}, *_UNSIGNED),
            _refused(planted, "/v1/whoami", {"Authorization": f"Basic {planted}"}, "token_missing", "token_malformed"),
            _refused(planted, f"/v1/{planted}", bearer, "not_found"),
            _refused(planted, f"/v1/proxy?token={planted}", bearer, "request_invalid"),
            _refused(planted, f"/v1/proxy?lifetime={_LONG}", bearer, "lifetime_refused", "request_invalid"),
            _refused(planted, "/v1/proxy", bearer, "request_invalid", body=json.dumps({planted: 1}).encode()),
            _refused(planted, "/v1/proxy", bearer, "csr_invalid", body=json.dumps({"csr": planted}).encode()),
            _refused(planted, "/v1/proxy", bearer, *_PROFILE, body=json.dumps({"profile": planted}).encode()),
            _refused(planted, "/token", _FORM, "token_malformed", body=fields),
            _refused(planted, "/token", _FORM, "request_invalid", body=fields + b"&actor_token=" + planted.encode()),
        )
    )


_PROFILE = ("profile_unknown", "request_invalid")
_UNSIGNED = ("token_algorithm", "token_malformed", "issuer_unknown")


def _refused(planted: str, path: str, headers: Mapping[str, str], *codes: str, body: bytes = b"") -> Ask:
    return Ask("garbage", "POST" if body else "GET", path, headers, body, expected=codes, planted=planted)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _asked(lifetime: int | None) -> dict[str, int]:
    return {} if lifetime is None else {"lifetime": lifetime}


def _exchange(token: str) -> dict[str, str]:
    return {"grant_type": GRANT_TYPE, "subject_token": token, "subject_token_type": _ACCESS_TOKEN}


def _tampered(token: str) -> str:
    """Change a bit in the middle of the signature."""
    at = -40
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def _unsigned(planted: str) -> str:
    parts = ({"alg": "none"}, {"iss": "https://elsewhere.example/", "sub": planted})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."

"""No secret, and no fragment of one, leaves the daemon: through exchanges, refusals, faults, restarts."""

import secrets as secrets_of_python
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from tests.server.test_errors import ACCESS_TOKEN, EXCHANGE
from tests.tools.daemons import Daemon, LiveIam, change, client_environment, ttscache
from tests.tools.http import Answer
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site

FRAGMENT = 12
Start = Callable[[], Daemon]


def fragments(secret: str) -> Iterator[str]:
    """All runs of 12 characters, in the forms in which a log could have them."""
    for start in range(len(secret) - FRAGMENT + 1):
        yield secret[start : start + FRAGMENT]


def key_material(pem: str) -> str:
    """The base64 of the private key in a PEM file, without the beginning that all keys of a kind share."""
    _, _, rest = pem.partition("PRIVATE KEY-----\n")
    return rest.partition("-----END")[0].replace("\n", "")[60:]


def test_no_secret_is_told_anywhere(start: Start, site: Site, iam: LiveIam, tmp_path: Path) -> None:
    change(site, lambda document: document["issuers"][0].update(session={"confirm": "1s"}))
    daemon = start()
    secrets = {"client secret": iam.config.client("ttscache").secret}
    answers: list[Answer] = []
    planted = f"refresh-{secrets_of_python.token_urlsafe(32)}"
    secrets["refresh token"] = planted
    iam.fault(Fault(endpoint="token", grant="token_exchange", answer={"refresh_token": planted}, times=1))
    assert daemon.web.get("/v1/proxy", iam.token("admin")).status == 200
    tokens = {name: iam.token(name) for name in ("jane", "joe", "admin")}
    tokens["expired"] = iam.crafted(claims={"exp": 1_000_000_000})
    tokens["impostor"] = iam.crafted(signed_by="unknown")
    secrets |= {f"token of {name}": token for name, token in tokens.items()}

    for number, (name, token) in enumerate(tokens.items()):
        issued = daemon.web.get("/v1/proxy?lifetime=3600", token)
        if issued.status == 200:
            secrets[f"key of {name}"] = key_material(issued.body.decode())
        answers += _refusals(daemon, token)
        faults = (
            Fault(endpoint="token", status=500, body="html", times=1),
            Fault(endpoint="token", reset=True, times=1),
            Fault(endpoint="token", body="garbage", times=1),
        )
        iam.fault(faults[number % 3])
        answers.append(daemon.web.get(f"/v1/proxy?profile=limited&lifetime=36{number:02}", token))
        iam.clear_faults()
    iam.suspend("joe")
    answers.append(daemon.web.get("/v1/proxy?profile=short", tokens["joe"]))

    environment = client_environment(daemon, BEARER_TOKEN=tokens["expired"])
    refused = ttscache("exchange", "-o", tmp_path / "proxy", env=environment)
    assert refused.status == 3
    arguments = Path(f"/proc/{daemon.server.process.pid}/cmdline").read_text()
    assert daemon.stop() == 0
    secrets["key of the CA"] = key_material((site.directory / "ca/ca.key").read_text())
    secrets["key of the server"] = key_material((site.directory / "server.key").read_text())

    told = [daemon.server.output(), refused.err, arguments]
    told += [answer.body.decode() + str(answer.headers) for answer in answers if answer.status != 200]
    _assert_none(secrets, "\n".join(told))
    stored = b"".join(path.read_bytes() for path in site.directory.glob("state.db*") if path.is_file())
    _assert_none(secrets, stored.decode("latin-1"))


def _refusals(daemon: Daemon, token: str) -> list[Answer]:
    web = daemon.web
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    csr = make_csr(generate_key(KeyKind.P_256)).decode()
    return [
        web.get(f"/v1/proxy?token={token}", token),
        web.get(f"/v1/{token}", token),
        web.get("/v1/proxy", f"{token}x"),
        web.get("/v1/proxy", token + "a" * 25_000),
        web.call("GET", "/v1/whoami", {"Authorization": f"Basic {token}"}),
        web.call("POST", "/v1/proxy", {}, token.encode(), token),
        web.post("/v1/proxy", {token: 1}, token),
        web.post("/v1/proxy", {"profile": token[-60:]}, token),
        web.post("/v1/proxy", {"csr": csr}, token),
        web.form({**form, "actor_token": token}),
        web.form({**form, "lifetime": token}),
        web.form({**form, "grant_type": token}),
        web.raw(f"{token}\r\n\r\n".encode()),
    ]


def _assert_none(secrets: dict[str, str], text: str) -> None:
    told = set(fragments(text))
    for name, secret in secrets.items():
        assert len(secret) >= FRAGMENT, name
        assert told.isdisjoint(fragments(secret)), name

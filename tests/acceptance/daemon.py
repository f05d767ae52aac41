"""The daemon of a site: its own process, over a CA that the site's consumers trust, with another's IAM behind it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from proxy_gen.ca import CertificateAuthority
from proxy_gen.keys import private_pem
from tests.acceptance.authgent import TOKEN_EXCHANGE, Authgent
from tests.tools.hostcert import issue_host
from tests.tools.minting import write_private
from tests.tools.programs import Verdict, dies_with_us, environment, need, run, serving, wait_for

AUDIENCE = "https://ttscache.test"
SCOPES = ["openid", "offline_access", "wlcg.groups"]
_TTSCACHE = Path(sys.executable).parent / "ttscache"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon, and its command line."""

    url: str
    ca_file: Path

    def exchange(self, token: str, out: Path, *options: str) -> Verdict:
        """Run `ttscache exchange` on a token."""
        file = write_private(out.with_suffix(".jwt"), token.encode())
        where: list[str | Path] = ["--url", self.url, "--ca-file", self.ca_file, "--token-file", file, "-o", out]
        return run([_TTSCACHE, "exchange", *where, *options], env=environment())


@contextmanager
def daemon_behind(authgent: Authgent, ca: CertificateAuthority, top: str, directory: Path) -> Iterator[Daemon]:
    """Run a daemon that signs with ``ca`` and maps `preferred_username` into names below ``top``/OU=People."""
    need("setpriv")
    client = authgent.register(TOKEN_EXCHANGE, scope=" ".join(SCOPES))
    certificate, key = _server_certificate(ca, directory)
    (directory / "ca").mkdir(mode=0o700)
    write_private(directory / "ca" / "ca.key", private_pem(ca.key))
    (directory / "ca" / "ca.pem").write_bytes(ca.certificate_pem())
    write_private(directory / "seal", os.urandom(32))
    write_private(directory / "secret", client.client_secret.encode())
    configuration = {
        "server": {"listen": "127.0.0.1:0", "tls": {"cert": str(certificate), "key": str(key)}},
        "issuers": [
            {
                "name": "authgent",
                "url": authgent.issuer,
                "audiences": [AUDIENCE],
                "algorithms": ["ES256"],
                "exchange": {
                    "client_id": client.client_id,
                    "client_secret": {"file": "secret"},
                    "audience": "https://sessions.ttscache.test",
                    "scopes": SCOPES,
                },
            }
        ],
        "mapping": [
            {
                "name": "members",
                "when": {"issuer": "authgent", "groups": ["/cms"]},
                "dn": f"{top}/OU=People/CN={{preferred_username}}",
                "account": "{preferred_username}",
                "profiles": ["pilot", "limited"],
            }
        ],
        "profiles": {
            "pilot": {"type": "x509-proxy", "lifetime": "4m", "min_lifetime": "1m"},
            "limited": {"type": "x509-proxy", "lifetime": "4m", "min_lifetime": "1m", "limited": True},
        },
        "authority": {"kind": "local", "dir": "ca", "subject": ca.subject.slash},
        "store": {"url": "sqlite:///state.db", "sealing_keys": [{"id": "k1", "file": "seal"}]},
    }
    file = directory / "ttscache.yaml"
    file.write_text(yaml.safe_dump(configuration))
    ready = directory / "ready"
    argv = dies_with_us([_TTSCACHE, "serve", "-c", file, "--ready-file", ready])
    with serving(argv, log=directory / "log", env=environment()) as server:
        wait_for(lambda: ready.exists() or None, server.output)
        yield Daemon(json.loads(ready.read_text())["url"], directory / "ca" / "ca.pem")


def _server_certificate(ca: CertificateAuthority, directory: Path) -> tuple[Path, Path]:
    (directory / "tls").mkdir()
    return issue_host(ca.certificate, ca.key).write(directory / "tls")

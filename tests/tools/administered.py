"""A daemon with administrators: by token, by client certificate, by unix socket; and with standing sessions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy_gen.credential import Credential
from tests.tools.daemons import Daemon, LiveIam, Outcome, change, client_environment, here, make_site, serve
from tests.tools.minting import authority, end_entity, write_private
from ttscache.sandbox.site import Site

ADMIN_DN = "/DC=org/DC=ttscache/O=admins/CN=Ada Admin"
ADMINS = {"issuer": "sandbox", "groups": ["/cms/ttscache-admins"]}
PILOT = {"name": "pilot", "issuer": "sandbox", "token": {"file": "pilot.token"}}
SERVICE = {"name": "service", "issuer": "sandbox", "client_credentials": True}


@dataclass(frozen=True)
class Administered:
    """A running daemon, and what its administrators have."""

    daemon: Daemon
    iam: LiveIam
    ada: Credential

    @property
    def site(self) -> Site:
        return self.daemon.site

    @property
    def socket(self) -> Path:
        return self.site.directory / "admin.sock"

    @property
    def certificate(self) -> Path:
        """The certificate of a listed DN, with its key."""
        return self.site.directory / "ada.pem"

    def subject(self, user: str) -> str:
        return self.iam.config.user(user).sub

    def cli(self, *arguments: str | Path, token: str | None = None, **extra: str | Path) -> Outcome:
        """Run a command: as the administrator by his token, unless another is given ("" for none)."""
        bearer = self.iam.token("admin") if token is None else token
        return here(*arguments, env=client_environment(self.daemon, BEARER_TOKEN=bearer, **extra))


def with_administrators(site: Site, iam: LiveIam) -> Credential:
    """Change a site so that it can be administered in every way; returns the credential of a listed DN."""
    ca = authority("/DC=org/DC=ttscache/O=admins/CN=admins CA")
    ada = end_entity(ca, ADMIN_DN)
    (site.directory / "admins.pem").write_bytes(ca.certificate_pem())
    write_private(site.directory / "ada.pem", ada.to_pem())
    write_private(site.directory / "pilot.token", iam.token().encode())
    change(site, _extend)
    return ada


def _extend(document: dict[str, Any]) -> None:
    document["admin"] = {
        "tokens": [ADMINS],
        "client_ca": "admins.pem",
        "client_dns": [ADMIN_DN],
        "socket": "admin.sock",
    }
    document["sessions"] = [PILOT, SERVICE]
    # what the daemon's own client is given is a scope of its own
    document["issuers"][0]["exchange"]["scopes"].append("wlcg")


@contextmanager
def administered(
    directory: Path, iam: LiveIam, edit: Callable[[dict[str, Any]], object] = lambda _: None
) -> Iterator[Administered]:
    """Run such a daemon."""
    site = make_site(directory, iam)
    ada = with_administrators(site, iam)
    change(site, edit)
    with serve(site, directory) as running:
        yield Administered(running, iam, ada)

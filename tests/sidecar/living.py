"""A daemon whose credentials live for seconds, and the sidecar's options for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sidecar.running import Sidecar, once, sidecar
from tests.tools.administered import Administered, administered
from tests.tools.daemons import LiveIam, Outcome, client_environment
from tests.tools.minting import write_private

# half of it is enough for a turn on a busy machine
SECONDS = 8
_TIMES = {"lifetime": f"{SECONDS}s", "min_lifetime": "1s", "max_lifetime": "1h"}
_PROFILES: Mapping[str, Mapping[str, Any]] = {
    "brief": {"type": "x509-proxy", "key": "p-256", **_TIMES},
    "brief-idtoken": {
        "type": "condor-idtoken",
        "trust_domain": "pool.sandbox",
        "key_id": "sandbox",
        "key": {"file": "condor.key"},
        **_TIMES,
    },
}


@dataclass(frozen=True)
class Living:
    """A running daemon with an IAM and administrators, and the token file of a sidecar of jane's."""

    site: Administered
    token: Path

    @property
    def env(self) -> dict[str, str]:
        return client_environment(self.site.daemon)

    @contextmanager
    def sidecar(
        self, directory: Path, *arguments: str | Path, token: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Iterator[Sidecar]:
        """Run a sidecar of this daemon's, with jane's token unless there is another."""
        asked = ("--token-file", token or self.token, *arguments)
        with sidecar(directory, *asked, env={**self.env, **(env or {})}) as running:
            yield running

    def once(
        self, *arguments: str | Path, token: Path | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[Outcome, list[dict[str, Any]]]:
        """Run `sidecar --once`, likewise."""
        return once("--token-file", token or self.token, *arguments, env={**self.env, **(env or {})})

    def token_of(self, user: str, directory: Path, **asked: str) -> Path:
        """Write another token file."""
        return write_private(directory / f"{user}.token", self.site.iam.token(user, **asked).encode())

    def revoke(self, user: str) -> None:
        self._identity("revoke", user)

    def restore(self, user: str) -> None:
        self._identity("restore", user)

    def _identity(self, act: str, user: str) -> None:
        subject = self.site.subject(user)
        done = self.site.cli("identity", act, "--issuer", "sandbox", "--subject", subject, "--reason", "a test")
        assert done.status == 0, done


@contextmanager
def living(directory: Path, iam: LiveIam) -> Iterator[Living]:
    with administered(directory, iam, _add_profiles) as site:
        yield Living(site, write_private(directory / "sidecar.token", iam.token().encode()))


def _add_profiles(document: dict[str, Any]) -> None:
    document["profiles"].update(_PROFILES)
    for rule in document["mapping"]:
        rule["profiles"] += _PROFILES

"""What every part of the embedded IAM works with."""

from dataclasses import dataclass

from ttscache.sandbox.iam.config import IamConfig
from ttscache.sandbox.iam.keys import KeyRing
from ttscache.sandbox.iam.state import IamState


@dataclass(slots=True)
class Realm:
    """One IAM: its set-up, its state and its keys; `origin` is where it listens, empty before the first start."""

    config: IamConfig
    state: IamState
    keys: KeyRing
    origin: str = ""

    @property
    def url(self) -> str:
        """The base URL, which ends in a slash; `RuntimeError` before the first start."""
        if not self.origin:
            raise RuntimeError("the embedded IAM has not been started")
        return f"{self.origin}/"

    @property
    def token_issuer(self) -> str:
        """The `iss` of tokens: the configured value, which need not be the discovery document's `issuer`."""
        return self.config.token_issuer or self.url

    @property
    def token_endpoint(self) -> str:
        """The URL of the token endpoint."""
        return f"{self.url}token"

    def now(self) -> float:
        """Return Unix time by the clock of this IAM."""
        return self.config.now()

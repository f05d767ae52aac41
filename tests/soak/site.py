"""The files of two replicas over one CA, one IAM and one Redis; the people; and what must never be in a log."""

import base64
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

import yaml

from ttscache.durable import write_atomically
from ttscache.sandbox.iam import IamConfig, User

AUDIENCE = "https://ttscache.soak"
TOKEN_SCOPES = "openid profile wlcg wlcg.groups"
TRUST_DOMAIN = "pool.soak"
KEY_ID = "soak"
# A session is confirmed so often, and relied upon so long without the IAM's word: longer than a refresh is waited for
# that a replica has died over.
CONFIRM, GRACE = 4.0, 150.0
DEADLINE = 8.0
# of credentials: the least, what is given to who does not ask, and what is asked for
MIN_LIFETIME, LIFETIME, LIFETIMES = 20, 90, (60, 90, 120)
_TOP = "/DC=ch/DC=example/O=soak"


@dataclass(frozen=True)
class Person:
    """Somebody with a token, and what the mapping makes of them."""

    user: User

    @property
    def name(self) -> str:
        return self.user.username

    @property
    def dn(self) -> str:
        return f"{_TOP}/CN={self.name}/CN=u-{self.user.sub}"

    @property
    def token_subject(self) -> str:
        return f"{self.name}@{TRUST_DOMAIN}"


def people(count: int) -> list[Person]:
    names = [f"soak{number:02}" for number in range(count)]
    return [
        Person(
            User(
                username=name,
                sub=str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
                name=name.title(),
                email=f"{name}@soak.example",
                groups=("/cms",),
            )
        )
        for name in names
    ]


@dataclass(frozen=True)
class Keys:
    """The secrets of the configuration."""

    seal: bytes
    condor: bytes
    redis: str
    client: str

    @classmethod
    def made(cls, iam: IamConfig) -> "Keys":
        return cls(
            secrets.token_bytes(32), secrets.token_bytes(64), secrets.token_urlsafe(32), iam.client("ttscache").secret
        )


def write_secrets(directory: Path, keys: Keys) -> None:
    contents = {"seal.key": keys.seal, "condor.key": keys.condor}
    contents |= {"redis-password": keys.redis.encode(), "client-secret": keys.client.encode()}
    for name, content in contents.items():
        write_atomically(directory / name, content)


def write_configuration(path: Path, *, port: int, redis_port: int, iam_url: str) -> None:
    write_atomically(path, yaml.safe_dump(_configuration(port, redis_port, iam_url)).encode())


def _configuration(port: int, redis_port: int, iam_url: str) -> dict[str, object]:
    exchange = {
        "client_id": "ttscache",
        "client_secret": {"file": "client-secret"},
        "scopes": ["openid", "offline_access", "wlcg.groups"],
    }
    issuer = {"name": "soak", "url": iam_url, "audiences": [AUDIENCE], "token_profile": "wlcg", "exchange": exchange}
    lives = {"lifetime": f"{LIFETIME}s", "min_lifetime": f"{MIN_LIFETIME}s", "max_lifetime": f"{LIFETIMES[-1]}s"}
    rule = {
        "name": "people",
        "when": {"issuer": "soak", "groups": ["/cms"]},
        "dn": f"{_TOP}/CN={{preferred_username}}/CN=u-{{sub}}",
        "account": "{preferred_username}",
        "profiles": ["pilot", "limited", "condor"],
    }
    condor = {"type": "condor-idtoken", "trust_domain": TRUST_DOMAIN, "key_id": KEY_ID, "key": {"file": "condor.key"}}
    return {
        "server": {"listen": f"127.0.0.1:{port}", "deadline": f"{DEADLINE:.0f}s"},
        "issuers": [{**issuer, "session": {"confirm": f"{CONFIRM:.0f}s", "grace": f"{GRACE:.0f}s"}}],
        "mapping": [rule],
        "profiles": {
            "pilot": {"type": "x509-proxy", "key": "p-256", **lives},
            "limited": {"type": "x509-proxy", "key": "p-256", "limited": True, **lives},
            "condor": {**condor, **lives},
        },
        "authority": {"kind": "local", "dir": "ca", "subject": f"{_TOP}/CN=soak CA"},
        "store": {
            "url": f"redis://ttscache@127.0.0.1:{redis_port}/0",
            "password": {"file": "redis-password"},
            "sealing_keys": [{"id": "k1", "file": "seal.key"}],
        },
    }


def spelled(material: bytes) -> list[str]:
    """Return the forms in which bytes would stand in a log."""
    return [material.hex(), base64.b64encode(material).decode(), base64.urlsafe_b64encode(material).decode()]

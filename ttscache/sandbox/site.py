"""The sandbox's files: a configuration of the daemon, its secrets and server certificate, and what users source."""

from __future__ import annotations

import json
import secrets
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy_gen.ca import BACKDATE, CertificateAuthority, authority_key_identifier, key_usage, whole_seconds
from proxy_gen.keys import KeyKind, generate_key, private_pem, signature_hash
from proxy_gen.names import DistinguishedName
from ttscache.durable import write_atomically
from ttscache.sandbox.iam import IamConfig
from ttscache.store.sealing import SEALING_KEY_BYTES

AUDIENCE = "https://ttscache.sandbox"
TOKEN_SCOPES = "openid profile offline_access wlcg wlcg.groups"  # noqa: S105 - names of scopes
_SUBJECT = "/DC=org/DC=ttscache/O=sandbox"
_LIFETIME = timedelta(days=30)
# as many as HTCondor's own have
_CONDOR_KEY_BYTES = 64


@dataclass(frozen=True)
class Site:
    """The paths of a sandbox's directory."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "ttscache.yaml"

    @property
    def token(self) -> Path:
        """A token of user jane."""
        return self.directory / "token"

    @property
    def accounts(self) -> Path:
        """The IAM's address, users' passwords and the demo client, for `sandbox token`."""
        return self.directory / "iam.json"

    @property
    def certificates(self) -> Path:
        """The trust directory."""
        return self.directory / "certificates"

    @property
    def vomsdir(self) -> Path:
        """The VOMS trust directory."""
        return self.directory / "vomsdir"

    @property
    def server_ca(self) -> Path:
        """The CA of the daemon's server certificate."""
        return self.directory / "server-ca.pem"


def prepare(site: Site, iam_url: str, iam: IamConfig, port: int) -> None:
    """Write all files that the daemon starts from, afresh: state of an earlier run is of an IAM that is gone."""
    for directory in (site.directory, site.certificates, site.vomsdir):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for stale in site.directory.glob("state.db*"):
        stale.unlink()
    _write(site.directory / "seal.key", secrets.token_bytes(SEALING_KEY_BYTES))
    _write(site.directory / "condor.key", secrets.token_bytes(_CONDOR_KEY_BYTES))
    _write(site.directory / "client-secret", iam.client("ttscache").secret.encode())
    _write_server_certificate(site)
    configuration = yaml.safe_dump(_configuration(iam_url, port), sort_keys=False)
    _write(site.configuration, configuration.encode(), mode=0o644)
    demo = iam.client("demo")
    accounts = {
        "iam_url": iam_url,
        "client_id": demo.client_id,
        "client_secret": demo.secret,
        "users": {user.username: user.password for user in iam.users},
    }
    _write(site.accounts, json.dumps(accounts, indent=2).encode())


def publish(site: Site, url: str, token: str, trust: dict[str, bytes], voms: dict[str, bytes]) -> None:
    """Write what users of the running daemon need: a token, the trust directories, and the environment."""
    for directory, files in ((site.certificates, trust), (site.vomsdir, voms)):
        for name, content in files.items():
            (directory / name).parent.mkdir(mode=0o755, exist_ok=True)
            _write(directory / name, content, mode=0o644)
    _write(site.token, token.encode() + b"\n")
    environment = {
        "TTSCACHE_URL": url,
        "TTSCACHE_CA_FILE": site.server_ca,
        "X509_CERT_DIR": site.certificates,
        "X509_VOMS_DIR": site.vomsdir,
    }
    lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in environment.items()]
    _write(site.directory / "env.sh", "".join(lines).encode(), mode=0o644)


def _configuration(iam_url: str, port: int) -> dict[str, object]:
    return {
        "server": {"listen": f"127.0.0.1:{port}", "tls": {"cert": "server.pem", "key": "server.key"}},
        "issuers": [
            {
                "name": "sandbox",
                "url": iam_url,
                "audiences": [AUDIENCE],
                "token_profile": "wlcg",
                "exchange": {
                    "client_id": "ttscache",
                    "client_secret": {"file": "client-secret"},
                    "scopes": ["openid", "offline_access", "wlcg.groups"],
                },
            }
        ],
        "mapping": [
            # a name of their own, or a map of names could not tell production from its people
            _rule("production", "/cms/production", "/OU=production", "cmsprod", ["/cms/Role=production", "/cms"]),
            _rule("users", "/cms", "/OU=people", "{preferred_username}", ["/cms"]),
        ],
        "profiles": {
            "pilot": {"type": "x509-proxy", "lifetime": "12h", "max_lifetime": "24h", "voms": "cms"},
            "limited": {"type": "x509-proxy", "lifetime": "1h", "limited": True},
            "short": {"type": "x509-proxy", "lifetime": "10m", "min_lifetime": "1m", "max_lifetime": "1h"},
            "storage": {"type": "access-token", "audiences": ["https://storage.sandbox", "https://xcache.sandbox"]},
            "condor": {
                "type": "condor-idtoken",
                "trust_domain": "pool.sandbox",
                "key_id": "sandbox",
                "key": {"file": "condor.key"},
            },
        },
        "admin": {"tokens": [{"issuer": "sandbox", "groups": ["/cms/ttscache-admins"]}]},
        "voms": {"cms": {"kind": "local", "host": "localhost"}},
        "authority": {"kind": "local", "dir": "ca", "subject": f"{_SUBJECT}/CN=sandbox CA"},
        "store": {"url": "sqlite:///state.db", "sealing_keys": [{"id": "k1", "file": "seal.key"}]},
    }


def _rule(name: str, group: str, unit: str, account: str, fqans: list[str]) -> dict[str, object]:
    return {
        "name": name,
        "when": {"issuer": "sandbox", "groups": [group]},
        "dn": f"{_SUBJECT}{unit}/CN={{preferred_username}}/CN=u-{{sub}}",
        "account": account,
        "fqans": fqans,
        "scopes": ["storage.read:/"],
        "profiles": ["pilot", "limited", "short", "storage", "condor"],
    }


def _write_server_certificate(site: Site) -> None:
    """A CA for the server's certificate alone: what signs people's names should not be what a browser trusts."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.create(
        DistinguishedName.parse(f"{_SUBJECT}/CN=sandbox server CA"), KeyKind.P_256, now=now, lifetime=_LIFETIME
    )
    key = generate_key(KeyKind.P_256)
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(whole_seconds(now) - BACKDATE)
        .not_valid_after(whole_seconds(now) + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key_identifier(authority.certificate), critical=False)
        .sign(authority.key, signature_hash(authority.key))
    )
    _write(site.directory / "server.pem", certificate.public_bytes(Encoding.PEM), mode=0o644)
    _write(site.directory / "server.key", private_pem(key))
    _write(site.server_ca, authority.certificate_pem(), mode=0o644)


def _write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    write_atomically(path, content, mode=mode)

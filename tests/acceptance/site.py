"""The people and authorities of the acceptance tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.trust import TrustedAuthority
from tests.tools.hostcert import HostCredential, issue_host
from tests.tools.minting import DAY, authority, end_entity, write_trust

TOP = "/DC=ch/DC=example"
JANE, JOE, STRANGER = (f"{TOP}/OU=People/CN={name}" for name in ("jane", "joe", "stranger"))
# the CA signed this one although its signing policy does not say so
OUTSIDER = "/DC=org/DC=elsewhere/CN=outsider"

# who is mapped to which account; the stranger is a person whom the CA knows and the map does not
GRIDMAP = {JANE: "jane", JOE: "joe", OUTSIDER: "jane"}


@dataclass(frozen=True, slots=True)
class Site:
    """A CA of each kind, a trust directory that knows them, one CA that nobody trusts, and somebody revoked.

    `made` keeps the credentials that several consumers look at.
    """

    ca: CertificateAuthority
    rsa_ca: CertificateAuthority
    untrusted_ca: CertificateAuthority
    revoked: Credential
    trust_dir: Path
    host: HostCredential
    made: dict[str, bytes] = field(default_factory=dict)


def make_site(directory: Path) -> Site:
    """Make everything; the trust directory is below this one."""
    ca, rsa_ca = authority(f"{TOP}/CN=CA"), authority(f"{TOP}/CN=RSA CA", KeyKind.RSA_2048)
    revoked = end_entity(ca, JANE)
    yesterday = datetime.now(UTC) - DAY  # clocks may be set back
    lists = [ca.crl([(revoked.leaf.serial_number, yesterday)], number=1, now=yesterday, lifetime=3 * DAY)]
    lists.append(rsa_ca.crl([], number=1, now=yesterday, lifetime=3 * DAY))
    trusted = [
        TrustedAuthority(each.certificate, (f"{TOP}/*",), crl) for each, crl in zip((ca, rsa_ca), lists, strict=True)
    ]
    return Site(
        ca=ca,
        rsa_ca=rsa_ca,
        untrusted_ca=authority(f"{TOP}/CN=Foreign CA"),
        revoked=revoked,
        trust_dir=write_trust(directory / "certificates", *trusted),
        host=issue_host(ca.certificate, ca.key),
    )

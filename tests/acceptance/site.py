"""The people and authorities of the acceptance tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.trust import TrustedAuthority
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.vomsdir import vomsdir
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

    Two VOs have an attribute authority each, under different CAs, with their `.lsc` files in `voms_dir`. `made` keeps
    the credentials that several consumers look at.
    """

    ca: CertificateAuthority
    rsa_ca: CertificateAuthority
    ed25519_ca: CertificateAuthority
    untrusted_ca: CertificateAuthority
    revoked: Credential
    trust_dir: Path
    host: HostCredential
    cms: AttributeAuthority
    atlas: AttributeAuthority
    voms_dir: Path
    made: dict[str, bytes] = field(default_factory=dict)


def make_site(directory: Path) -> Site:
    """Make everything; the trust directory and the VOMS directory are below this one."""
    ca, rsa_ca = authority(f"{TOP}/CN=CA"), authority(f"{TOP}/CN=RSA CA", KeyKind.RSA_2048)
    ed25519_ca = authority(f"{TOP}/CN=Ed25519 CA", KeyKind.ED25519)
    revoked = end_entity(ca, JANE)
    yesterday = datetime.now(UTC) - DAY  # clocks may be set back
    lists = [ca.crl([(revoked.leaf.serial_number, yesterday)], number=1, now=yesterday, lifetime=3 * DAY)]
    lists += [each.crl([], number=1, now=yesterday, lifetime=3 * DAY) for each in (rsa_ca, ed25519_ca)]
    trusted = [
        TrustedAuthority(each.certificate, (f"{TOP}/*",), crl)
        for each, crl in zip((ca, rsa_ca, ed25519_ca), lists, strict=True)
    ]
    cms, atlas = attribute_authority(ca, "cms"), attribute_authority(rsa_ca, "atlas")
    return Site(
        ca=ca,
        rsa_ca=rsa_ca,
        ed25519_ca=ed25519_ca,
        untrusted_ca=authority(f"{TOP}/CN=Foreign CA"),
        revoked=revoked,
        trust_dir=write_trust(directory / "certificates", *trusted),
        host=issue_host(ca.certificate, ca.key),
        cms=cms,
        atlas=atlas,
        voms_dir=_write_voms_dir(directory / "vomsdir", cms, atlas),
    )


def attribute_authority(ca: CertificateAuthority, vo: str, host: str | None = None) -> AttributeAuthority:
    """Make a VO's attribute authority that has existed for a day, so that what it signed can be of yesterday."""
    name = host or f"voms.{vo}.example"
    yesterday = datetime.now(UTC) - DAY
    credential = end_entity(ca, f"{TOP}/CN={name}", KeyKind.RSA_2048, now=yesterday, lifetime=3 * DAY)
    return AttributeAuthority(credential, vo, name, 15000)


def _write_voms_dir(directory: Path, *authorities: AttributeAuthority) -> Path:
    """Write the files of `X509_VOMS_DIR`, which every user may read."""
    for name, content in vomsdir(authorities).items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return directory

"""Whether a proxy is what was asked for: one that comes, and one that is there already and may be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from proxy_gen.credential import Credential
from proxy_gen.errors import CredentialFileError, FqanRefusedError, ProxyGenError
from proxy_gen.keys import KeyKind, kind_of, require_strong
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind, proxy_cert_info
from proxy_gen.verify import verify_proxies
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.fqan import Fqan
from ttscache.client import ClientError
from ttscache.client.errors import refusal

_OK = 200
_BAD_REQUEST = 400
_REFUSED = 403
_PROXY = "x509-proxy"
# stands for a profile that is not allowed
_ANY_PROXY: Mapping[str, Any] = {"type": _PROXY, "key": KeyKind.RSA_2048.value, "limited": False, "vos": ()}
_MODES = frozenset({0o400, 0o600})


@dataclass(frozen=True)
class Wanted:
    """What a file must be to be kept. None is when the profile is not ``allowed``: the refusal is the daemon's.

    ``identity`` is None where the authority brings the DN along, and no file is kept then; ``issuer`` is None where
    it is not known before. ``fqans`` are by VO.
    """

    identity: str | None
    issuer: str | None
    key: KeyKind
    kind: ProxyKind
    fqans: Mapping[str, tuple[Fqan, ...]]
    allowed: bool

    @classmethod
    def of(
        cls,
        whoami: Mapping[str, Any],
        profile: str | None,
        *,
        limited: bool | None = None,
        fqans: tuple[str, ...] = (),
    ) -> Wanted:
        """Derive it from what the daemon says of the token. Raises ClientError when the token gets nothing."""
        decision, refused = whoami.get("decision"), whoami.get("refused")
        try:
            if refused is not None:
                raise refusal(_REFUSED, None, refused)
            profiles = decision["profiles"]  # type: ignore[index] # without a refusal there is one
            proxies = [name for name, each in profiles.items() if each["type"] == _PROXY]
            others = profiles.keys() - proxies
            if profile in others or (profile is None and others and not proxies):
                raise _wrong_type(profile)
            name = profile or proxies[0]
            chosen = profiles.get(name, _ANY_PROXY)
            asked = _by_vo(fqans or decision["fqans"], chosen["vos"])  # type: ignore[index] # as above
            carried = not fqans or sum(map(len, asked.values())) == len(dict.fromkeys(fqans))
            return cls(
                identity=_text(decision["dn"]),  # type: ignore[index] # as above
                issuer=whoami["authority"],
                key=KeyKind(chosen["key"]),
                kind=ProxyKind.LIMITED if (chosen["limited"] if limited is None else limited) else ProxyKind.FULL,
                fqans=asked,
                allowed=name in profiles and carried,
            )
        except FqanRefusedError as error:
            raise ClientError("request_invalid", str(error), status=_BAD_REQUEST) from None
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ClientError("answer_invalid", "the daemon's answer is not about a token", status=_OK) from None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(value)


def _wrong_type(profile: str | None) -> ClientError:
    if profile is None:
        return ClientError("profile_refused", "the rule allows no profile that gives proxies", status=_REFUSED)
    return ClientError("request_invalid", f"profile '{profile}' gives no proxies", status=_BAD_REQUEST)


@dataclass(frozen=True)
class Facts:
    """What a proxy is: DNs in slash form, the end of it all (aware)."""

    subject: str
    identity: str
    issuer: str
    not_after: datetime


def require_fit(credential: Credential, wanted: Wanted, now: datetime) -> Facts:
    """Return what a proxy is, if it is what is wanted, with its key, and valid now.

    Raises ProxyGenError (VerificationError for a chain that does not hold by itself), CredentialFileError for another
    proxy than what is wanted; ValueError for what cannot be read.
    """
    facts = facts_of(credential)
    verify_proxies(credential.chain, now)
    kind = kind_of(require_strong(credential.leaf.public_key()))
    info = proxy_cert_info(credential.leaf)
    others = [proxy_cert_info(certificate) for certificate in credential.chain[1:]]
    attributes = attribute_certificates(credential.leaf)
    for fits, what in (
        (facts.not_after > now, "has expired; is a clock wrong?"),
        (credential.key is not None, "holds no private key"),
        (wanted.identity in {None, facts.identity}, "is another identity's"),
        (wanted.issuer in {None, facts.issuer}, "stands under another CA"),
        (kind is wanted.key, "has a key of another kind"),
        (info is not None and info.kind is wanted.kind, "is not as limited, or as full, as it was to be"),
        (all(each is None or each.kind is not ProxyKind.INDEPENDENT for each in others), "inherits nothing"),
        (all(low.issuer == high.subject for low, high in pairwise(credential.chain)), "has another's certificates"),
        (_carries(attributes, wanted), "carries other VOMS attributes"),
    ):
        if not fits:
            raise CredentialFileError("proxy_unfit", f"the proxy {what}")
    return facts


def facts_of(credential: Credential) -> Facts:
    """Return what a proxy is, whether it holds or not. Raises CredentialFileError for what is none, ValueError."""
    chain = credential.chain
    if proxy_cert_info(credential.leaf) is None or len(chain) < 2:  # noqa: PLR2004 - a proxy and its end entity
        raise CredentialFileError("proxy_unfit", "this is no proxy")
    ends = [certificate.not_valid_after_utc for certificate in chain]
    end_entity = next((each for each in chain if proxy_cert_info(each) is None), chain[-1])
    return Facts(
        subject=DistinguishedName(credential.leaf.subject).slash,
        identity=DistinguishedName(end_entity.subject).slash,
        issuer=DistinguishedName(end_entity.issuer).slash,
        not_after=min([*ends, *(each.not_after for each in attribute_certificates(credential.leaf))]),
    )


def reusable(path: Path, wanted: Wanted, min_left: timedelta) -> Facts | None:
    """Return the facts of the proxy in ``path`` when it fits and lives longer than ``min_left``; else None."""
    if not wanted.allowed or wanted.identity is None:
        return None
    now = datetime.now(UTC)
    try:
        if path.stat().st_mode & 0o777 not in _MODES:
            return None
        facts = require_fit(Credential.parse(path.read_bytes()), wanted, now)
    except (OSError, ProxyGenError, ValueError):
        return None  # whatever is wrong with it, a new one mends it
    return facts if facts.not_after - now > min_left else None


def _by_vo(fqans: Sequence[str], vos: Sequence[str]) -> dict[str, tuple[Fqan, ...]]:
    parsed = dict.fromkeys(Fqan.parse(fqan) for fqan in fqans)
    by_vo = {vo: tuple(fqan for fqan in parsed if fqan.vo == vo) for vo in vos}
    return {vo: fqans for vo, fqans in by_vo.items() if fqans}


def _carries(attributes: Sequence[AttributeCertificate], wanted: Wanted) -> bool:
    """Tell whether what is wanted is there, and first: a VOMS server adds its member's other groups."""
    held = {each.vo: each.fqans for each in attributes}
    return held.keys() == wanted.fqans.keys() and all(held[vo][: len(f)] == f for vo, f in wanted.fqans.items())

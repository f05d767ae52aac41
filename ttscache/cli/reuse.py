"""Whether the proxy file that is there fits what is asked, so that it need not be fetched again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy_gen.credential import Credential
from proxy_gen.errors import FqanRefusedError, ProxyGenError
from proxy_gen.keys import KeyKind, kind_of, require_strong
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind, proxy_cert_info
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.fqan import Fqan
from ttscache.client import ClientError

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
        limited: bool | None,
        fqans: tuple[str, ...],
    ) -> Wanted:
        """Derive it from what the daemon says of the token. Raises ClientError when the token gets nothing."""
        decision, refused = whoami.get("decision"), whoami.get("refused")
        try:
            if refused is not None:
                raise ClientError(refused["code"], refused["detail"], status=_REFUSED)
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
                identity=decision["dn"],  # type: ignore[index] # as above
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


def _wrong_type(profile: str | None) -> ClientError:
    if profile is None:
        return ClientError("profile_refused", "the rule allows no profile that gives proxies", status=_REFUSED)
    return ClientError("request_invalid", f"profile '{profile}' gives no proxies", status=_BAD_REQUEST)


def reusable(path: Path, wanted: Wanted, min_left: timedelta) -> dict[str, object] | None:
    """Return the facts of the proxy in ``path`` when it fits and lives longer than ``min_left``; else None."""
    if not wanted.allowed or wanted.identity is None:
        return None
    try:
        if path.stat().st_mode & 0o777 not in _MODES:
            return None
        credential = Credential.parse(path.read_bytes())
        info = proxy_cert_info(credential.leaf)
        attributes = attribute_certificates(credential.leaf)
    except (OSError, ProxyGenError, ValueError):
        return None  # whatever is wrong with it, a new one mends it
    if info is None or credential.key is None or len(credential.chain) < 2:  # noqa: PLR2004 - a proxy and its EEC
        return None
    end_entity = credential.chain[1]
    now = datetime.now(UTC)
    ends = [certificate.not_valid_after_utc for certificate in credential.chain]
    not_after = min([*ends, *(each.not_after for each in attributes)])
    fits = (
        not_after - now > min_left
        and credential.leaf.not_valid_before_utc <= now
        and DistinguishedName(end_entity.subject).slash == wanted.identity
        and wanted.issuer in {None, DistinguishedName(end_entity.issuer).slash}
        and credential.leaf.issuer == end_entity.subject
        and kind_of(require_strong(credential.leaf.public_key())) is wanted.key
        and info.kind is wanted.kind
        and _carries(attributes, wanted)
    )
    if not fits:
        return None
    return {
        "subject": DistinguishedName(credential.leaf.subject).slash,
        "identity": wanted.identity,
        "issuer": wanted.issuer,
        "not_after": f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
    }


def _by_vo(fqans: Sequence[str], vos: Sequence[str]) -> dict[str, tuple[Fqan, ...]]:
    parsed = dict.fromkeys(Fqan.parse(fqan) for fqan in fqans)
    by_vo = {vo: tuple(fqan for fqan in parsed if fqan.vo == vo) for vo in vos}
    return {vo: fqans for vo, fqans in by_vo.items() if fqans}


def _carries(attributes: Sequence[AttributeCertificate], wanted: Wanted) -> bool:
    """Tell whether what is wanted is there, and first: a VOMS server adds its member's other groups."""
    held = {each.vo: each.fqans for each in attributes}
    return held.keys() == wanted.fqans.keys() and all(held[vo][: len(f)] == f for vo, f in wanted.fqans.items())

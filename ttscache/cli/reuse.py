"""Whether the proxy file that is there fits what is asked, so that it need not be fetched again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy_gen.credential import Credential
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import KeyKind, kind_of, require_strong
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind, proxy_cert_info
from ttscache.client import ClientError

_OK = 200
_REFUSED = 403
_MODES = frozenset({0o400, 0o600})


@dataclass(frozen=True)
class Wanted:
    """What a file must be to be kept. None is when the profile is not ``allowed``: the refusal is the daemon's."""

    identity: str
    issuer: str
    key: KeyKind
    kind: ProxyKind
    fqans: frozenset[str]
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
            name = profile or next(iter(profiles))
            chosen = profiles.get(name, {"key": KeyKind.RSA_2048.value, "limited": False})
            return cls(
                identity=decision["dn"],  # type: ignore[index] # as above
                issuer=whoami["authority"],
                key=KeyKind(chosen["key"]),
                kind=ProxyKind.LIMITED if (chosen["limited"] if limited is None else limited) else ProxyKind.FULL,
                fqans=frozenset(fqans),
                allowed=name in profiles,
            )
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
            raise ClientError("answer_invalid", "the daemon's answer is not about a token", status=_OK) from None


def reusable(path: Path, wanted: Wanted, min_left: timedelta) -> dict[str, object] | None:
    """Return the facts of the proxy in ``path`` when it fits and lives longer than ``min_left``; else None."""
    if not wanted.allowed:
        return None
    try:
        if path.stat().st_mode & 0o777 not in _MODES:
            return None
        credential = Credential.parse(path.read_bytes())
        info = proxy_cert_info(credential.leaf)
    except (OSError, ProxyGenError, ValueError):
        return None  # whatever is wrong with it, a new one mends it
    if info is None or credential.key is None or len(credential.chain) < 2:  # noqa: PLR2004 - a proxy and its EEC
        return None
    end_entity = credential.chain[1]
    now = datetime.now(UTC)
    not_after = min(certificate.not_valid_after_utc for certificate in credential.chain)
    fits = (
        not_after - now > min_left
        and credential.leaf.not_valid_before_utc <= now
        and DistinguishedName(end_entity.subject).slash == wanted.identity
        and DistinguishedName(end_entity.issuer).slash == wanted.issuer
        and credential.leaf.issuer == end_entity.subject
        and kind_of(require_strong(credential.leaf.public_key())) is wanted.key
        and info.kind is wanted.kind
        and not wanted.fqans
    )
    if not fits:
        return None
    return {
        "subject": DistinguishedName(credential.leaf.subject).slash,
        "identity": wanted.identity,
        "issuer": wanted.issuer,
        "not_after": f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
    }

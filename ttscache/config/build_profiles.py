"""The part of a configuration that says what can be asked for: the profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy_gen.keys import KeyKind
from ttscache.authority.condor import (
    SigningKey,
    require_key_id,
    require_scopes,
    require_trust_domain,
    subject_of,
)
from ttscache.config.document import Path
from ttscache.config.notes import SAMPLE_CLAIM, Notes, strings
from ttscache.config.secrets import read_secret_file
from ttscache.config.settings import AccessTokenProfile, IdTokenProfile, Profile, ProxyProfile
from ttscache.mapping.template import Template


def profile(notes: Notes, path: Path, part: Mapping[str, Any]) -> Profile:
    """Build a profile."""
    return _BUILDERS[part["type"]](notes, path, part)


def _proxy(notes: Notes, path: Path, part: Mapping[str, Any]) -> ProxyProfile:
    default, low, high = notes.lifetimes(path, part)
    return ProxyProfile(
        name=str(path[-1]),
        lifetime=default,
        min_lifetime=low,
        max_lifetime=high,
        outlive_token=part["outlive_token"],
        key=KeyKind(part["key"]),
        limited=part["limited"],
        voms=strings(part.get("voms")),
    )


def _idtoken(notes: Notes, path: Path, part: Mapping[str, Any]) -> IdTokenProfile:
    default, low, high = notes.lifetimes(path, part)
    source = notes.directory / part["source"]["file"] if "source" in part else None
    user = notes.template((*path, "user"), part["user"])
    key = None
    if source is None:
        key = _signing_key(notes, path, part)
        with notes.noting((*path, "scopes")):
            require_scopes(part["scopes"])
        if key is not None:
            with notes.noting((*path, "user")):
                _require_user(user, part["trust_domain"])
    else:
        with notes.noting((*path, "source")):
            read_secret_file(source)
        for name in ("trust_domain", "key_id", "key"):
            if name in part:
                notes.wrong((*path, name), "is not used with `source`: the pool's own token is relayed")
    return IdTokenProfile(
        name=str(path[-1]),
        lifetime=default,
        min_lifetime=low,
        max_lifetime=high,
        outlive_token=part["outlive_token"],
        trust_domain=part.get("trust_domain", ""),
        key=key,
        user=user,
        scopes=tuple(part["scopes"]),
        source=source,
    )


def _access_token(notes: Notes, path: Path, part: Mapping[str, Any]) -> AccessTokenProfile:
    default, low, high = notes.lifetimes(path, part)
    return AccessTokenProfile(
        name=str(path[-1]),
        lifetime=default,
        min_lifetime=low,
        max_lifetime=high,
        outlive_token=False,
        audiences=tuple(dict.fromkeys(part["audiences"])),
    )


_BUILDERS: Mapping[str, Callable[[Notes, Path, Mapping[str, Any]], Profile]] = {
    "x509-proxy": _proxy,
    "condor-idtoken": _idtoken,
    "access-token": _access_token,
}


def _require_user(template: Template, trust_domain: str) -> None:
    """Refuse a template whose literal parts no user can have."""
    if template.pieces:
        subject_of("".join(getattr(piece, "text", SAMPLE_CLAIM) for piece in template.pieces), trust_domain)


def _signing_key(notes: Notes, path: Path, part: Mapping[str, Any]) -> SigningKey | None:
    missing = [name for name in ("trust_domain", "key_id", "key") if name not in part]
    for name in missing:
        notes.wrong(path, f"the key '{name}' is missing (or `source`, to relay a token that the pool issued)")
    if missing:
        return None
    with notes.noting((*path, "trust_domain")):
        require_trust_domain(part["trust_domain"])
    with notes.noting((*path, "key_id")):
        require_key_id(part["key_id"], allow_pool_key=part["allow_pool_key"])
    return notes.noted((*path, "key"), lambda: _loaded(notes, part), None)


def _loaded(notes: Notes, part: Mapping[str, Any]) -> SigningKey:
    content = read_secret_file(notes.directory / part["key"]["file"])
    return SigningKey.from_file_content(part["key_id"], content, allow_pool_key=True)  # whether it may be was asked

"""The part of a configuration that says who may administer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy_gen.names import DistinguishedName
from ttscache.config.build_mapping import MappingBuilder
from ttscache.config.certificates import require_authorities
from ttscache.config.document import Path
from ttscache.config.notes import Notes
from ttscache.config.settings import AdminSettings
from ttscache.mapping.rules import When


def admin(notes: Notes, path: Path, part: Mapping[str, Any], *, mapping: MappingBuilder) -> AdminSettings:
    """Build it; ``mapping`` knows the conditions."""
    tokens = [_token(notes, (*path, "tokens", i), rule, mapping) for i, rule in enumerate(part["tokens"])]
    client_ca = notes.directory / part["client_ca"] if "client_ca" in part else None
    if client_ca is not None:
        with notes.noting((*path, "client_ca")):
            require_authorities(client_ca)
    if (client_ca is None) != (not part["client_dns"]):
        notes.wrong(path, "`client_ca` and `client_dns` need each other")
    names = [_name(notes, (*path, "client_dns", i), dn) for i, dn in enumerate(part["client_dns"])]
    return AdminSettings(
        tokens=tuple(tokens),
        client_ca=client_ca,
        client_dns=tuple(name for name in names if name is not None),
        socket=notes.directory / part["socket"] if "socket" in part else None,
    )


def _token(notes: Notes, path: Path, part: Mapping[str, Any], mapping: MappingBuilder) -> When:
    when = mapping.when(notes, path, part)
    if not when.issuer:
        notes.wrong(
            path, "the key 'issuer' is missing: who is an administrator at one issuer may be anybody at another"
        )
    if not (when.sub or when.client_id or when.groups or when.scopes or when.entitlements or when.claims):
        notes.wrong(
            path, "must say who of the issuer's: `groups`, `sub`, `client_id`, `scopes`, `entitlements` or `claims`"
        )
    return when


def _name(notes: Notes, path: Path, text: str) -> DistinguishedName | None:
    return notes.noted(path, lambda: DistinguishedName.parse(text), None)

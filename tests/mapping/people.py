"""Identities and rules to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template
from ttscache.model import Identity

DN = "/DC=ch/DC=infn/O=ttscache/CN={preferred_username}/CN=u-{sub}"


def identity(**changes: Any) -> Identity:  # noqa: ANN401 - any claims
    """Return Jane; what is no field of an identity's goes into its claims."""
    fields: dict[str, Any] = {
        "issuer": "cms",
        "subject": "a1",
        "client_id": "demo",
        "groups": ("/cms", "/cms/production"),
        "scopes": frozenset({"openid", "storage.read:/"}),
        "entitlements": ("urn:x:group:cms",),
        "issued_at": 0.0,
        "expires_at": 3600.0,
        "digest": "0",
    }
    claims = {"sub": "a1", "preferred_username": "jane"} | {k: v for k, v in changes.items() if k not in fields}
    known = {k: v for k, v in changes.items() if k in fields}
    return Identity(**fields | known, claims={name: value for name, value in claims.items() if value is not ...})


def rule(
    name: str = "all", dn: str = DN, account: str | None = None, when: Mapping[str, Any] | None = None, **rest: object
) -> Rule:
    fields: dict[str, Any] = {"fqans": (), "scopes": (), "profiles": ("pilot",), "shared": False} | rest
    return Rule(
        name=name,
        when=When(**(when or {})),
        dn=Template.parse(dn),
        account=None if account is None else Template.parse(account),
        **fields,
    )

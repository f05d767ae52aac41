"""Mapping rules: what they ask of an identity, and what they give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttscache.mapping.template import Template
from ttscache.model import Identity


@dataclass(frozen=True)
class When:
    """Conditions, all of which must hold; the values of one are alternatives, compared exactly.

    An empty tuple asks nothing. ``scopes`` is the exception: all of them must be there. ``groups`` have their slash.
    """

    issuer: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    sub: tuple[str, ...] = ()
    client_id: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def missed(self, identity: Identity) -> str | None:
        """Return the first condition that this identity misses, in words, or None when it matches."""
        single = (
            ("issuer", self.issuer, identity.issuer),
            ("session", self.session, identity.session),
            ("sub", self.sub, identity.subject),
            ("client_id", self.client_id, identity.client_id),
        )
        for name, wanted, value in single:
            if wanted and value not in wanted:
                return f"{name} is not {_alternatives(wanted)}"
        if self.groups and not set(self.groups) & set(identity.groups):
            return f"not in group {_alternatives(self.groups)}"
        lacking = [scope for scope in self.scopes if scope not in identity.scopes]
        if lacking:
            return f"scope {lacking[0]} is missing"
        if self.entitlements and not set(self.entitlements) & set(identity.entitlements):
            return f"lacks entitlement {_alternatives(self.entitlements)}"
        return self._missed_claim(identity)

    def _missed_claim(self, identity: Identity) -> str | None:
        for name, wanted in self.claims.items():
            value = identity.claims.get(name)
            present = {v for v in value if isinstance(v, str)} if isinstance(value, list) else {_as_text(value)}
            if not present & set(wanted):
                return f"claim {name} is not {_alternatives(wanted)}"
        return None


@dataclass(frozen=True)
class Rule:
    """A mapping rule. ``shared`` lets several identities have one DN.

    ``dn`` is in slash form, None where the authority brings the DN along; ``fqans`` are in their short form.
    """

    name: str
    when: When
    dn: Template | None
    account: Template | None
    fqans: tuple[str, ...]
    scopes: tuple[str, ...]
    profiles: tuple[str, ...]
    shared: bool


def _as_text(value: object) -> str | None:
    """Return a scalar claim as configuration writes it: YAML's true is JSON's true."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _alternatives(values: tuple[str, ...]) -> str:
    return " or ".join(values)

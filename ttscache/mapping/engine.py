"""The decision: the first rule that matches, with the trace of all that were asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from ttscache.errors import DnRefusedError, MappingRefusedError
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import ClaimUnfitError
from ttscache.model import Decision, Identity, RuleTrace

# What would change a name's structure, or how a consumer reads it.
_UNFIT_IN_DN = re.compile(r"[/,+=\\\"<>;#\x00-\x1f\x7f]")
# POSIX user names (IEEE 1003.1 section 3.437), and the dot before a pool account.
_ACCOUNT_PART = re.compile(r"[A-Za-z0-9_.-]+\Z")
_ACCOUNT = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\Z")


def decide(rules: Sequence[Rule], identity: Identity) -> Decision:
    """Return what the first matching rule gives.

    Raises :class:`MappingRefusedError` (with ``trace``) when none matches or the account does not come out, and
    :class:`DnRefusedError` when the DN does not.
    """
    trace: list[RuleTrace] = []
    for rule in rules:
        missed = rule.when.missed(identity)
        trace.append(RuleTrace(rule.name, missed is None, missed or "every condition holds"))
        if missed is None:
            return _given(rule, identity, tuple(trace))
    raise MappingRefusedError("no mapping rule matches this identity; `ttscache explain` shows why", tuple(trace))


def _given(rule: Rule, identity: Identity, trace: tuple[RuleTrace, ...]) -> Decision:
    return Decision(
        rule=rule.name,
        dn=_distinguished_name(rule, identity, trace),
        account=_account(rule, identity, trace),
        fqans=rule.fqans,
        scopes=rule.scopes,
        profiles=rule.profiles,
        shared=rule.shared,
        trace=trace,
    )


def _distinguished_name(rule: Rule, identity: Identity, trace: tuple[RuleTrace, ...]) -> str | None:
    if rule.dn is None:
        return None
    try:
        return _mintable(rule.dn.fill(identity.claims, unfit_in_dn))
    except (ClaimUnfitError, NameRefusedError) as error:
        raise DnRefusedError(f"rule '{rule.name}' gives no usable DN: {error}", trace) from None


@lru_cache(maxsize=10_000)  # whoever comes comes again, and so does his name
def _mintable(text: str) -> str:
    """Return a DN in its slash form. Raises NameRefusedError."""
    name = DistinguishedName.parse(text)
    require_mintable(name)
    return name.slash


def _account(rule: Rule, identity: Identity, trace: tuple[RuleTrace, ...]) -> str | None:
    if rule.account is None:
        return None
    try:
        account = rule.account.fill(identity.claims, unfit_in_account)
    except ClaimUnfitError as error:
        raise MappingRefusedError(f"rule '{rule.name}' gives no usable account: {error}", trace) from None
    if not is_account(account):
        raise MappingRefusedError(f"rule '{rule.name}' gives no usable account: it is no user name", trace)
    return account


def is_account(text: str) -> bool:
    """Tell whether a text is a user name for jobs, or a pool account's with its leading dot.

    `root` is none, and what has digits only is read as a user's number by some.
    """
    return _ACCOUNT.match(text) is not None and not text.isdigit() and text != "root"


def unfit_in_dn(value: str) -> str | None:
    """Return why a claim's value must not stand in a DN, or None."""
    if not value.isascii():
        return "has non-ASCII characters, on which consumers differ"
    found = _UNFIT_IN_DN.search(value)
    if found is None:
        return None
    return "has control characters" if found[0] < " " or found[0] == "\x7f" else f"has a '{found[0]}' in it"


def unfit_in_account(value: str) -> str | None:
    """Return why a claim's value must not stand in an account, or None."""
    return None if _ACCOUNT_PART.match(value) else "has characters that no user name has"

"""Files that map DNs: HTCondor's, which can say templates, and grid-mapfiles, which need names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from proxy_gen.mapfiles import condor, gridmap
from proxy_gen.mapfiles.patterns import Account
from ttscache.mapping.engine import is_account
from ttscache.mapping.export_grants import LeftOut
from ttscache.mapping.export_standings import Standing, Standings
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import Literal, Template

_NONE_YET = "none of its names is known to have been given"
_NOT_KEPT = "its names are shared, so it is not kept which were given; only names without claims are known"


@dataclass(frozen=True)
class KnownName:
    """A DN in slash form that an identity was given, by the rule of this name and with this account."""

    dn: str
    account: str | None
    rule: str


def condor_entries(rules: Sequence[Rule]) -> tuple[list[condor.Entry], list[LeftOut]]:
    """Return the lines of a CERTIFICATE_MAPFILE.

    No two of them give one name different accounts, so that their order does not matter.
    """
    entries: list[condor.Entry] = []
    left_out: list[LeftOut] = []
    for standing in Standings(rules):
        grant = standing.grant
        why = _unsayable(standing)
        if grant.account is None and why is None:
            continue
        entry = condor.Entry(grant.pattern, grant.account or Account(""), frozenset(standing.excluded) | standing.taken)
        why = why or condor.refusal(entry)
        if why is None:
            entries.append(entry)
            left_out += _excluded(standing)
        else:
            left_out.append(LeftOut(grant.rule, why))
    return entries, _once(left_out + _without_dn(rules))


def known_accounts(rules: Sequence[Rule], known: Iterable[KnownName]) -> tuple[dict[str, KnownName], list[LeftOut]]:
    """Return names with their rules and accounts: those of rules without a claim in their DN, and those that are known.

    A known name counts as far as the rules still give it; its account is what they say now.
    """
    return _known_accounts(Standings(rules), rules, known)


def _known_accounts(
    found: Standings, rules: Sequence[Rule], known: Iterable[KnownName]
) -> tuple[dict[str, KnownName], list[LeftOut]]:
    left_out: list[LeftOut] = []
    names: dict[str, KnownName] = {}
    of_templates: dict[str, Template | None] = {}
    for standing in found:
        grant, name, why = standing.grant, standing.grant.pattern.literal, _unsayable(standing)
        if name is None:
            of_templates[grant.rule] = None
        elif why is not None:
            left_out.append(LeftOut(grant.rule, why))
        elif grant.account is not None:
            names[name] = KnownName(name, grant.account.prefix, grant.rule)
    of_templates = {rule.name: rule.account for rule in rules if rule.name in of_templates}
    for one in sorted(known, key=lambda each: each.dn):
        if one.dn in names or one.rule not in of_templates or not _still_fits(one.account, of_templates[one.rule]):
            continue
        account, why = _account_of(one, found.of(one.dn))
        if why is not None:
            left_out.append(LeftOut(one.rule, why))
        elif account is not None:
            names[one.dn] = KnownName(one.dn, account, one.rule)
    left_out += _unnamed(rules, of_templates, {one.rule for one in names.values()} | {left.rule for left in left_out})
    return names, _once(left_out + _without_dn(rules))


def gridmap_accounts(
    rules: Sequence[Rule], known: Iterable[KnownName], reader: gridmap.Reader
) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the lines of a grid-mapfile. Globus takes names that differ in case only for one."""
    found = Standings(rules)
    names, left_out = _known_accounts(found, rules, known)
    given: dict[str, set[str | None]] = {}
    for standing in found:
        if (name := standing.grant.pattern.literal) is not None and name not in names:
            given.setdefault(name.casefold(), set()).add(None)
    for name, one in names.items():
        given.setdefault(name.casefold(), set()).add(one.account)
    sayable = {}
    for name, one in names.items():
        why = gridmap.refusal(name, reader)
        if len(given[name.casefold()]) > 1:
            why = "another name that differs in case only has another account, which some consumers cannot tell"
        if why is None:
            sayable[name] = str(one.account)
        else:
            left_out.append(LeftOut(one.rule, f"{name}: {why}"))
    return sayable, left_out


def _unnamed(
    rules: Sequence[Rule], of_templates: Mapping[str, Template | None], told: AbstractSet[str]
) -> list[LeftOut]:
    """Return the rules with claims in their DN of which there is no name, or not every one; ``told`` are others."""
    templates = [rule for rule in rules if of_templates.get(rule.name) is not None]
    return [
        LeftOut(rule.name, _NOT_KEPT if rule.shared else _NONE_YET)
        for rule in templates
        if rule.shared or rule.name not in told
    ]


def _account_of(one: KnownName, giving: Sequence[Standing]) -> tuple[str | None, str | None]:
    """Return the account of a known name that these may give, and why it cannot be told."""
    accounts: set[str | None] = set()
    for standing in giving:
        if standing.grant.rule == one.rule:
            given = standing.accounts(one.dn)
            accounts |= {one.account} if given is None else given
    if not accounts:
        return None, None  # the rules have changed, and do not give it any more
    if len(accounts) > 1:
        accounts &= {one.account}
    account = accounts.pop() if accounts else None
    if account is None or not is_account(account):
        return None, None
    for standing in giving:
        given = standing.accounts(one.dn)
        if standing.grant.rule != one.rule and (given is None or given - {account}):
            other = standing.grant.rule
            return None, f"rule '{other}' can give the same DN with another account, which a DN cannot tell"
    return account, None


def _still_fits(account: str | None, template: Template | None) -> bool:
    """Tell whether an account can still come out of a rule's template."""
    if template is None or account is None:
        return False
    pieces = (re.escape(p.text) if isinstance(p, Literal) else "[A-Za-z0-9_.-]+" for p in template.pieces)
    return re.fullmatch("".join(pieces), account) is not None


def _unsayable(standing: Standing) -> str | None:
    return standing.clash or standing.grant.unclear


def _without_dn(rules: Sequence[Rule]) -> list[LeftOut]:
    return [LeftOut(r.name, "its DN is its authority's") for r in rules if r.dn is None and r.account is not None]


def _excluded(standing: Standing) -> list[LeftOut]:
    return [
        LeftOut(standing.grant.rule, f"without the name {name}, which rule '{other}' gives with another account")
        for name, other in standing.excluded.items()
    ]


def _once(left_out: Iterable[LeftOut]) -> list[LeftOut]:
    return list(dict.fromkeys(left_out))

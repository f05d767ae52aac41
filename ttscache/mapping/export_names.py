"""Files that map DNs: HTCondor's, which can say templates, and grid-mapfiles, which need names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy_gen.mapfiles import condor, gridmap
from proxy_gen.mapfiles.patterns import Account
from ttscache.mapping.engine import is_account
from ttscache.mapping.export_grants import Grant, LeftOut, Standing, standings
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import Literal, Template


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
    for standing in standings(rules):
        grant = standing.grant
        why = _unsayable(standing)
        if grant.account is None and why is None:
            continue
        entry = condor.Entry(grant.pattern, grant.account or Account(""), frozenset(standing.excluded))
        why = why or condor.refusal(entry)
        if why is None:
            entries.append(entry)
            left_out += _excluded(standing)
        else:
            left_out.append(LeftOut(grant.rule, why))
    return entries, _once(left_out + _without_dn(rules))


def known_accounts(rules: Sequence[Rule], known: Iterable[KnownName]) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the accounts of names, those of rules without a claim in their DN and those that are known.

    A known name counts as far as the rules still give it; its account is what they say now.
    """
    found = standings(rules)
    left_out = [LeftOut(s.grant.rule, why) for s in found if s.grant.pattern.literal and (why := _unsayable(s))]
    names: dict[str, str] = {}
    for standing in found:
        name, given = standing.grant.pattern.literal, standing.grant.account
        if name is not None and given is not None and _unsayable(standing) is None:
            names[name] = given.prefix
    by_rule: dict[str, list[Grant]] = {}
    for standing in found:
        by_rule.setdefault(standing.grant.rule, []).append(standing.grant)
    everything = [standing.grant for standing in found]
    templates = {rule.name: rule.account for rule in rules}
    for one in sorted(known, key=lambda each: each.dn):
        if one.dn in names or not any(grant.pattern.claims for grant in by_rule.get(one.rule, [])):
            continue
        if not _still_fits(one.account, templates[one.rule]):
            continue
        account, why = _account_of(one, by_rule[one.rule], everything)
        if why is not None:
            left_out.append(LeftOut(one.rule, why))
        elif account is not None:
            names[one.dn] = account
    left_out += [LeftOut(rule.name, why) for rule in rules if (why := _unkept(rule, by_rule.get(rule.name, [])))]
    return names, _once(left_out + _without_dn(rules))


def gridmap_accounts(
    rules: Sequence[Rule], known: Iterable[KnownName], reader: gridmap.Reader
) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the lines of a grid-mapfile. Globus takes names that differ in case only for one."""
    known = list(known)
    names, left_out = known_accounts(rules, known)
    given: dict[str, set[str | None]] = {}
    for grant in (standing.grant for standing in standings(rules)):
        if (name := grant.pattern.literal) is not None:
            given.setdefault(name.casefold(), set()).add(names.get(name))
    for name, account in names.items():
        given.setdefault(name.casefold(), set()).add(account)
    sayable = {}
    for name, account in names.items():
        why = gridmap.refusal(name, reader)
        if len(given[name.casefold()]) > 1:
            why = "another name that differs in case only has another account, which some consumers cannot tell"
        if why is None:
            sayable[name] = account
        else:
            left_out.append(LeftOut(_rule_of(name, rules, known), f"{name}: {why}"))
    return sayable, left_out


def _account_of(one: KnownName, own: Sequence[Grant], everything: Sequence[Grant]) -> tuple[str | None, str | None]:
    """Return the account of a known name, and why it cannot be told."""
    accounts: set[str | None] = set()
    for grant in own:
        given = grant.accounts(one.dn)
        accounts |= {one.account} if given is None else given
    if not accounts:
        return None, None  # the rules have changed, and do not give it any more
    if len(accounts) > 1:
        accounts &= {one.account}
    account = accounts.pop() if accounts else None
    if account is None or not is_account(account):
        return None, None
    for grant in everything:
        if grant.rule == one.rule:
            continue
        given = grant.accounts(one.dn)
        if given is None or given - {account}:
            return None, f"rule '{grant.rule}' can give the same DN with another account, which a DN cannot tell"
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


def _unkept(rule: Rule, own: Sequence[Grant]) -> str | None:
    if rule.shared and any(grant.pattern.claims and grant.account is not None for grant in own):
        return "its names are shared, so it is not kept which were given; only names without claims are known"
    return None


def _rule_of(name: str, rules: Sequence[Rule], known: Sequence[KnownName]) -> str:
    literal = {s.grant.pattern.literal: s.grant.rule for s in standings(rules)}
    return literal.get(name) or next(one.rule for one in known if one.dn == name)


def _once(left_out: Iterable[LeftOut]) -> list[LeftOut]:
    return list(dict.fromkeys(left_out))

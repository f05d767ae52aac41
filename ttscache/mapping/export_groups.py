"""Files that map VOMS attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy_gen.errors import FqanRefusedError
from proxy_gen.voms.fqan import Fqan
from ttscache.mapping.export_grants import LeftOut, one_account
from ttscache.mapping.rules import Rule


def group_accounts(rules: Sequence[Rule], *, pools: bool) -> tuple[dict[Fqan, str], list[LeftOut]]:
    """Return the account of each rule's primary FQAN, which is its first; ``pools``: also pool accounts.

    Consumers try every FQAN of a proxy in its order. So where a rule's first one is not in the file, its others must
    not be either: they would give its proxies another rule's account.
    """
    left_out: dict[str, str] = {}
    fqans = {rule.name: _fqans(rule, left_out) for rule in rules}
    accounts: dict[str, str] = {}
    for rule in rules:
        account = one_account(rule)
        if account is not None and (pools or not account.startswith(".")):
            accounts[rule.name] = account
        elif rule.account is not None and fqans[rule.name]:
            left_out.setdefault(rule.name, _why_no_account(account is not None))
    said = {rule.name for rule in rules if fqans[rule.name] and rule.name in accounts and rule.name not in left_out}
    _settle(lambda: _contradicted(rules, fqans, accounts, said), said, left_out)
    found = {fqans[rule.name][0]: accounts[rule.name] for rule in rules if rule.name in said}
    return found, [LeftOut(rule.name, left_out[rule.name]) for rule in rules if rule.name in left_out]


def _settle(find: Callable[[], dict[str, str]], said: set[str], left_out: dict[str, str]) -> None:
    """Leave out what is contradicted until nothing is: what is left out may contradict more."""
    while contradicted := find():
        said.difference_update(contradicted)
        left_out |= contradicted


def _contradicted(
    rules: Sequence[Rule], fqans: dict[str, tuple[Fqan, ...]], accounts: dict[str, str], said: set[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in rules:
        if rule.name not in said:
            continue
        primary, account = fqans[rule.name][0], accounts[rule.name]
        for other in rules:
            # what is in the file has its own first FQAN there; of what is not, any would be taken
            asked = fqans[other.name][:1] if other.name in said else fqans[other.name]
            if primary in asked and accounts.get(other.name) != account:
                found[rule.name] = (
                    f"proxies of rule '{other.name}' have its FQAN {primary} as well, and not its account"
                )
    return found


def _fqans(rule: Rule, left_out: dict[str, str]) -> tuple[Fqan, ...]:
    found = []
    for text in rule.fqans:
        try:
            found.append(Fqan.parse(text))
        except FqanRefusedError as error:
            left_out[rule.name] = str(error)
    return tuple(found)


def _why_no_account(is_pool: bool) -> str:  # noqa: FBT001 - says which of two
    if is_pool:
        return "a pool account names nobody there"
    return "its account is not one and the same for all, and FQANs do not tell them apart"

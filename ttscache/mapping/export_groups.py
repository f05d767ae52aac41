"""Files that map VOMS attributes."""

from __future__ import annotations

from collections.abc import Sequence

from proxy_gen.errors import FqanRefusedError
from proxy_gen.voms.fqan import Fqan
from ttscache.mapping.export_grants import LeftOut, one_account
from ttscache.mapping.rules import Rule

_ADVICE = "list in a rule's fqans only what maps to its account"


def group_accounts(rules: Sequence[Rule], *, pools: bool) -> tuple[dict[Fqan, str], list[LeftOut]]:
    """Return the account of each FQAN that its rules agree on; ``pools``: also pool accounts.

    Whoever asks for a proxy chooses which of his rule's FQANs it has and in which order, and consumers take the first
    that is in the file. So what rules with different accounts grant is in it for none of them, wherever it stands.
    """
    accounts = {rule.name: one_account(rule) for rule in rules}
    left_out: list[LeftOut] = []
    fqans = {rule.name: _fqans(rule, left_out) for rule in rules}
    granted: dict[Fqan, list[str]] = {}
    for name, own in fqans.items():
        for fqan in own:
            granted.setdefault(fqan, []).append(name)
    found: dict[Fqan, str] = {}
    for rule in rules:
        account, why = accounts[rule.name], _why_nothing(rule, accounts[rule.name], pools=pools)
        if why is not None:
            left_out.append(LeftOut(rule.name, why))
        if account is None or why is not None:
            continue
        for fqan in fqans[rule.name]:
            other = next((name for name in granted[fqan] if accounts[name] != account), None)
            if other is None:
                found[fqan] = account
            else:
                why = f"without {fqan}: rule '{other}' grants it as well, and not the same account; {_ADVICE}"
                left_out.append(LeftOut(rule.name, why))
    return found, left_out


def _fqans(rule: Rule, left_out: list[LeftOut]) -> tuple[Fqan, ...]:
    found = []
    for text in rule.fqans:
        try:
            found.append(Fqan.parse(text))
        except FqanRefusedError as error:
            left_out.append(LeftOut(rule.name, str(error)))
    return tuple(dict.fromkeys(found))


def _why_nothing(rule: Rule, account: str | None, *, pools: bool) -> str | None:
    if not rule.fqans or rule.account is None:
        return None
    if account is None:
        return "its account is not one and the same for all, and FQANs do not tell them apart"
    return "a pool account names nobody there" if account.startswith(".") and not pools else None

"""What the rules give together: whose a name is that several can give, and which rules contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from proxy_gen.mapfiles.pattern_index import PatternIndex
from ttscache.mapping.export_grants import Grant, grants
from ttscache.mapping.rules import Rule


@dataclass
class Standing:
    """A grant among the others: ``excluded`` are names that another gives with another account as well.

    ``taken`` are names that an earlier rule gives for certain, so that this never does. ``clash`` says which rule
    cannot be told from it by any name.
    """

    grant: Grant
    excluded: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    clash: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it never gives anything, for its one name is taken."""
        return self.grant.pattern.literal in self.taken

    def accounts(self, name: str) -> frozenset[str | None] | None:
        """Return what the grant does, but for names that are taken."""
        return frozenset() if name in self.taken else self.grant.accounts(name)

    def met(self, other: Grant) -> None:
        """Take note of a grant that contradicts this one."""
        name = other.pattern.literal
        if name is not None and self.grant.pattern.literal is None:
            self.excluded[name] = other.rule
        elif other.rule == self.grant.rule:
            self.clash = "gives one DN with different accounts, which a DN cannot tell"
        else:
            self.clash = f"rule '{other.rule}' can give the same DN with another account, which a DN cannot tell"


class Standings:
    """What the rules give, in their order, with what contradicts it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._all = [Standing(grant) for rule in rules for grant in grants(rule)]
        self._index = PatternIndex([standing.grant.pattern for standing in self._all])
        open_pairs = [pair for pair in self._contradicting() if not self._is_settled(*pair)]
        for one, other in open_pairs:
            if not one.is_idle and not other.is_idle and not _is_taken(one, other):
                one.met(other.grant)
                other.met(one.grant)
        self._all = [standing for standing in self._all if not standing.is_idle]
        self._index = PatternIndex([standing.grant.pattern for standing in self._all])

    def __iter__(self) -> Iterator[Standing]:
        """Iterate over those that give anything."""
        return iter(self._all)

    def of(self, name: str) -> list[Standing]:
        """Return those that may give a name."""
        return [self._all[position] for position in self._index.may_match(name)]

    def _contradicting(self) -> Iterator[tuple[Standing, Standing]]:
        for at, one in enumerate(self._all):
            for position in self._index.may_overlap(one.grant.pattern):
                other = self._all[position]
                if position > at and contradict(one.grant, other.grant):
                    yield one, other

    def _is_settled(self, one: Standing, other: Standing) -> bool:
        """Tell whether the earlier has its one name for certain, and make it the later's no more."""
        name = one.grant.pattern.literal
        earlier, later = self._rules[one.grant.rule], self._rules[other.grant.rule]
        if name is None or earlier is later or not _decides(earlier, later, other.grant, name):
            return False
        other.taken.add(name)
        return True


def _is_taken(one: Standing, other: Standing) -> bool:
    """Tell whether the one name in which two contradict each other is one that either never gives."""
    return one.grant.pattern.literal in other.taken or other.grant.pattern.literal in one.taken


def _decides(earlier: Rule, later: Rule, grant: Grant, name: str) -> bool:
    """Tell whether everybody to whom the later rule could give this name meets what the earlier one asks."""
    asked = earlier.when
    if asked.session or asked.client_id or asked.groups or asked.scopes or asked.entitlements or asked.claims:
        return False
    if asked.issuer and not (later.when.issuer and set(later.when.issuer) <= set(asked.issuer)):
        return False
    if not asked.sub:
        return True
    for claims in grant.pattern.bindings(name):
        known = {**grant.fixed, **claims}
        subjects = {known["sub"]} if "sub" in known else set(later.when.sub)
        if not subjects or not subjects <= set(asked.sub):
            return False
    return True


def contradict(one: Grant, other: Grant) -> bool:
    """Tell whether there may be a name that these give with different accounts."""
    if not one.pattern.overlaps(other.pattern):
        return False
    for literal, general in ((one, other), (other, one)):
        if (name := literal.pattern.literal) is not None:
            given = literal.accounts(name), general.accounts(name)
            if given[0] is None or given[1] is None:
                return all(accounts != frozenset() for accounts in given)
            return bool(given[0]) and bool(given[1]) and len(given[0] | given[1]) > 1
    if one.unclear or other.unclear or one.account != other.account:
        return True
    needed = None if one.account is None else one.account.claim
    return needed is not None and one.pattern != other.pattern

"""Whether each session that ended had to end, and was told of: the logs against the IAM's memory and the time line."""

from collections import Counter
from dataclasses import dataclass, field

from tests.soak.asks import Answer
from tests.soak.iam import Refresh
from tests.soak.logs import Event, Logs
from tests.soak.oracles import Oracles
from tests.soak.site import CONFIRM, GRACE
from tests.soak.world import World

LOST = "session_lost"
# between the IAM's decision and the token in the store, on a busy machine
_SAVING = 3.0
# while a store is away, a lease of 8 s may end: its beat is 2 s, a call waits for 3 s, and a reconnection takes 2 s
_LEASE_AT_RISK = 2.5
_UNTIL_READ = 2.5
_MACHINE = 2.0
# the IAM's word may be so long on its way through a network that holds it
_ANSWERED = 12.0
# after a failure a refresh that can wait is not tried for 5 s, and its upstream left alone for 4; one that another
# replica may be at is left to it for 100
_PAUSED, _LEFT_ALONE = 10.0, 110.0
_CUTS = frozenset({"iam.link_reset", "iam.link_cut"})
_ANY = ("iam", "store", "replica")


@dataclass
class Losses:
    """What became of sessions: by cause those whose spent token was tried again, and how the lost ones were told."""

    causes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    told_to_callers: int = 0
    told_to_the_log_alone: int = 0
    told_to_who_had_gone: int = 0
    suspended: int = 0


def account(world: World, logs: Logs, oracles: Oracles) -> Losses:
    """Account for every ended session; whatever has no cause is a finding."""
    losses = Losses()
    for reuse in world.iam.reuses:
        cause = _cause(world, reuse.first)
        losses.causes[cause or "none"] += 1
        if cause is None:
            _found(world, "a spent refresh token came again", f"of {reuse.first.username}", reuse.at)
    for event in logs.of("session_ended"):
        # one whose outcome was open when the user was suspended is called lost as well
        if event.fields["reason"] == LOST and not (_suspended(world, event) and not _reused(world, event)):
            losses.lost += 1
            _lost(world, logs, oracles, losses, event)
        else:
            losses.suspended += 1
            if not _suspended(world, event):
                _found(world, "a session ended without a cause", str(event.fields), event.at)
    for answer in oracles.session_lost:
        if not any(_tells_of(world, answer, event) for event in logs.of("session_ended")):
            _found(world, "session_lost was told, and no session is", answer.told(), answer.ended)
    _require_kept(world, logs)
    return losses


def _require_kept(world: World, logs: Logs) -> None:
    """A session that has not ended is not opened again: otherwise the store has forgotten it."""
    killed = sum(one.kind == "replica.kill" for one in world.timeline.disturbances)
    opened = Counter(_name(world, event) for event in logs.of("session_opened"))
    opened.subtract(_name(world, event) for event in logs.of("session_ended"))
    again = {name: count - 1 for name, count in opened.items() if count > 1}
    # who is killed between a write and its line leaves a line out
    if sum(again.values()) > killed:
        _found(world, "sessions were forgotten", str(again), world.timeline.started)


def require_suspended(world: World, logs: Logs, oracles: Oracles) -> None:
    """Nothing new is issued to who is suspended, and nothing served once the session has ended."""
    for event in logs.of("credential_issued", "idtoken_issued"):
        if _is_too_late(world, event):
            _found(world, "something new for who is suspended", str(event.fields), event.at)
    ends = [event for event in logs.of("session_ended") if event.fields["reason"] != LOST]
    for answer in oracles.while_suspended:
        for event in ends:
            if _name(world, event) == _asker(answer) and _is_served_after(world, answer, event.at):
                _found(world, "served after the session has ended", answer.told(), answer.ended)


def _cause(world: World, first: Refresh) -> str | None:
    """Return why the answer to a refresh may not have reached the store."""
    if first.answer_lost:
        return "the IAM lost its answer"
    timeline, until = world.timeline, first.decided + _SAVING
    away = [one for one in timeline.touching(first.arrived, until, "store") if one.seconds() >= _LEASE_AT_RISK]
    if any(one.kind in _CUTS for one in timeline.touching(first.arrived, until, "iam")):
        return "the network lost the answer"
    for one in timeline.touching(first.arrived, until, "store"):
        until = max(until, (one.ended or until) + _SAVING)
    kills = [one for one in timeline.disturbances if one.kind == "replica.kill"]
    if any(first.arrived - 0.5 <= one.began <= until for one in kills):
        return "the replica was killed"
    return "the store was away" if away else None


def _lost(world: World, logs: Logs, oracles: Oracles, losses: Losses, event: Event) -> None:
    if not _reused(world, event):
        _found(world, "a session was lost whose token was not spent", str(event.fields), event.at)
    if any(_tells_of(world, answer, event) for answer in oracles.session_lost):
        losses.told_to_callers += 1
        return
    behind = [one for one in logs.of("renewal_failed") if one.fields["reason"] == LOST and one.replica == event.replica]
    if any(abs(one.at - event.at) < _MACHINE for one in behind):
        losses.told_to_the_log_alone += 1
        return
    losses.told_to_who_had_gone += 1


def _reused(world: World, event: Event) -> bool:
    """Tell whether a spent token was presented just before."""
    name = _name(world, event)
    times = [reuse.at for reuse in world.iam.reuses if reuse.first.username == name]
    return any(event.at - _ANSWERED <= at <= event.at + _MACHINE for at in times)


def _suspended(world: World, event: Event) -> bool:
    return bool(world.timeline.touching(event.at - _MACHINE, event.at, "user", target=_name(world, event)))


def _is_too_late(world: World, event: Event) -> bool:
    """Tell whether it was issued when the session had to have ended: by the IAM's word, or for want of it."""
    refusals = world.iam.refusals[_name(world, event)]
    for one in world.timeline.touching(event.at, event.at, "user", target=_name(world, event)):
        if any(one.began <= at < event.at - _UNTIL_READ and _is_heard(world, at) for at in refusals):
            return True
        age = event.at - one.began
        paused = world.timeline.touching(event.at - _PAUSED, event.at, *_ANY)
        left_alone = world.timeline.touching(event.at - _LEFT_ALONE, event.at, "store", "replica")
        if age > GRACE + _ANSWERED or (age > CONFIRM + _MACHINE and not paused and not left_alone):
            return True
    return False


def _is_heard(world: World, refused_at: float) -> bool:
    """Tell whether nothing kept a refusal from the store."""
    return not world.timeline.touching(refused_at - _MACHINE, refused_at + _UNTIL_READ, *_ANY)


def _is_served_after(world: World, answer: Answer, ended_at: float) -> bool:
    """Tell whether it was served when the other replica, too, had to know of the end."""
    name = _asker(answer)
    timeline = world.timeline
    since = ended_at + _UNTIL_READ
    same = [
        one
        for one in timeline.touching(ended_at, ended_at, "user", target=name)
        if one.touches(answer.began, answer.ended)
    ]
    disturbed = timeline.touching(ended_at - CONFIRM, answer.ended, "store", "replica")
    return answer.began > since and bool(same) and not disturbed


def _tells_of(world: World, answer: Answer, event: Event) -> bool:
    # it may have been put off by whatever the caller waited for besides
    told = answer.began - _MACHINE <= event.at <= answer.ended + _MACHINE
    return event.fields["reason"] == LOST and told and _asker(answer) == _name(world, event)


def _asker(answer: Answer) -> str:
    return "" if answer.ask.wanted is None else answer.ask.wanted.person.name


def _name(world: World, event: Event) -> str:
    return next((one.name for one in world.people if one.user.sub == event.fields.get("subject")), "")


def _found(world: World, what: str, detail: str, at: float) -> None:
    world.findings.add(what, detail, at)

"""What must hold of every answer."""

import time
from collections import Counter

from tests.soak.asks import Answer, Ask
from tests.soak.credentials import Judge, Wanted, wrong
from tests.soak.world import World

# so long after a disturbance its effects may be felt: an upstream is left alone for 4 s, a dead replica's lease is
# waited for 8 s; and whoever began to wait meanwhile goes on
SETTLE = 14.0
# what was asked of the IAM while somebody was suspended may be answered so much later
_ON_ITS_WAY = 3.0
_OK = 200
_UNAVAILABLE = 503
# which disturbances a code may tell of
_CAUSES = {
    "upstream_unavailable": ("iam", "store", "replica"),
    "issuer_unreachable": ("iam",),
    "store_unavailable": ("store",),
    "overloaded": ("iam", "store", "replica"),
}
_STATUSES = {
    401: ("token_missing", "token_malformed", "token_signature", "token_algorithm", "issuer_unknown"),
    403: ("lifetime_refused", "exchange_refused", "session_lost"),
    400: ("request_invalid", "profile_unknown", "csr_invalid"),
    404: ("not_found",),
    503: tuple(_CAUSES),
}
_STATUS_OF = {code: status for status, codes in _STATUSES.items() for code in codes}
_ANY = ("iam", "store", "replica")


class Oracles:
    """Looks at answers as they come; what is to be compared with the logs is kept."""

    def __init__(self, world: World, judge: Judge) -> None:
        self._world = world
        self._judge = judge
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0
        # of sessions that were lost, and credentials that somebody got while suspended
        self.session_lost: list[Answer] = []
        self.while_suspended: list[Answer] = []

    def answered(self, answer: Answer) -> None:
        self.answers[f"{answer.ask.kind} {answer.status} {answer.code}".strip()] += 1
        self.slowest = max(self.slowest, answer.ended - answer.began)
        if answer.status != _OK:
            self._refused(answer)
        elif answer.ask.wanted is None:
            self._found("garbage was granted", answer.told(), answer.ended)
        else:
            self._granted(answer, answer.ask.wanted)

    def lost(self, ask: Ask, replica: str, began: float, why: str) -> None:
        """A connection ended before the answer."""
        self.answers[f"{ask.kind} connection lost"] += 1
        if not self._world.timeline.touching(began - 1.0, time.time(), "replica", target=replica):
            self._found("a connection was lost to a replica that was well", f"{ask.kind} at {replica}: {why}", began)

    def unanswered(self, ask: Ask, replica: str, began: float) -> None:
        """Nobody answered in time."""
        self.answers[f"{ask.kind} not answered in time"] += 1
        self._found("not answered in time", f"{ask.kind} at {replica} waited {time.time() - began:.1f} s", began)

    def _granted(self, answer: Answer, wanted: Wanted) -> None:
        why = wrong(lambda: self._look(answer, wanted))
        if why is not None:
            self._found("a wrong answer", f"{answer.told()}: {why}", answer.ended)
        suspended = self._world.timeline.touching(answer.began, answer.ended, "user", target=wanted.person.name)
        if suspended and answer.ask.kind != "whoami":
            self.while_suspended.append(answer)

    def _look(self, answer: Answer, wanted: Wanted) -> None:
        match answer.ask.kind:
            case "whoami":
                self._judge.whoami(answer.body, wanted.person)
            case "idtoken":
                self._judge.idtoken(answer.body, wanted)
            case "form":
                self._judge.form(answer.body, wanted, answer.ended)
            case _:
                self._judge.proxy(answer.body, wanted, answer.ended)

    def _refused(self, answer: Answer) -> None:
        code = answer.code
        if not self._is_well_formed(answer):
            self._found("a malformed refusal", answer.told(), answer.ended)
        elif not self._fits(answer):
            self._found(f"an unfit refusal: {code}", answer.told(), answer.ended)
        if self._world.secrets.told(answer.body.decode(errors="replace")):
            self._found("an answer tells a secret", f"{answer.ask.kind} {answer.status} {code}", answer.ended)
        if code == "session_lost":
            self.session_lost.append(answer)

    def _is_well_formed(self, answer: Answer) -> bool:
        status = _STATUS_OF.get(answer.code)
        if answer.ask.path == "/token" and status in {401, 403}:
            status = 400
        waits = answer.retry_after is not None and answer.retry_after.isdigit()
        return answer.status == status and (status != _UNAVAILABLE or waits)

    def _fits(self, answer: Answer) -> bool:
        """Tell whether there is a reason for this code."""
        code, timeline = answer.code, self._world.timeline
        if code in _CAUSES:
            return bool(timeline.touching(answer.began - SETTLE, answer.ended, *_CAUSES[code]))
        if answer.ask.expected:
            return code in answer.ask.expected
        if code == "exchange_refused" and answer.ask.wanted is not None:
            since = answer.began - (
                SETTLE if timeline.touching(answer.began - SETTLE, answer.ended, *_ANY) else _ON_ITS_WAY
            )
            return bool(timeline.touching(since, answer.ended, "user", target=answer.ask.wanted.person.name))
        return code == "session_lost"  # which the logs and the IAM have to account for

    def _found(self, what: str, detail: str, at: float) -> None:
        self._world.findings.add(what, detail, at)

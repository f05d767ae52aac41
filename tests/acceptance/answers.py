"""What a consumer makes of a credential, and how one knows that it was the consumer which refused it."""

import re
from enum import Enum

from tests.tools.programs import Verdict


class Answer(Enum):
    """`UNSHOWN`: no sign that the consumer refused; its own client did not show the credential, or nobody was there."""

    TAKEN = "+"
    REFUSED = "-"
    UNSHOWN = "c"


def answer(verdict: Verdict, refusal: str) -> Answer:
    """Read a verdict, with a pattern that is in its text when the consumer itself refused."""
    if verdict.ok:
        return Answer.TAKEN
    return Answer.REFUSED if re.search(refusal, verdict.text) else Answer.UNSHOWN

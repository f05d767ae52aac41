"""A request and its answer, without the HTTP server around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttscache.sandbox.iam.errors import OAuthError
from ttscache.sandbox.iam.faults import NO_FAULT, Fault

# RFC 6749 section 5.1: what holds a token is not to be kept by anybody on the way.
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request: the form's fields with all their values, two headers, and what is to go wrong.

    `query` has the first value of each parameter, `path` what the route's placeholders stand for.
    """

    form: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    authorization: str = field(default="", repr=False)
    fault: Fault = NO_FAULT
    accept: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the first value of a field; an empty one counts as omitted (RFC 6749 section 3.1)."""
        return self.form.get(name, ("",))[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the status, the JSON body (`None` for none) and further headers."""

    body: Mapping[str, object] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(error: OAuthError) -> Reply:
    """Word a refusal as RFC 6749 section 5.2 says."""
    challenge = {"WWW-Authenticate": error.challenge} if error.challenge else {}
    body = {"error": error.code, "error_description": error.description}
    return Reply(body, error.status, NO_STORE | challenge)

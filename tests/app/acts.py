"""What administrators do to a daemon from the shell."""

from typing import Any

from tests.cli.test_exchange import good
from tests.tools.daemons import Daemon, LiveIam, client_environment, here


def act(daemon: Daemon, iam: LiveIam, *arguments: str) -> dict[str, Any]:
    """Run a command as the administrator."""
    environment = client_environment(daemon, BEARER_TOKEN=iam.token("admin"))
    return good(here(*arguments, "--output", "json", env=environment)).json


def revoke_standing(daemon: Daemon, iam: LiveIam, name: str) -> None:
    """Revoke the session of a standing session."""
    (session,) = (each for each in act(daemon, iam, "session", "list")["entries"] if each["session"] == name)
    act(daemon, iam, "session", "revoke", session["id"], "--reason", "a node was broken into")

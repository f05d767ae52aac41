"""Loaded by authgent, not by the tests: its plug-in for claims, which gives tokens what IAM's have."""

import json
import os
from pathlib import Path
from typing import Any


class Claims:
    """Claims of the people whom the tests made up, from a file that is read anew for each token."""

    async def enrich(
        self, base_claims: dict[str, Any], client_id: str, agent_id: str | None, grant_type: str
    ) -> dict[str, Any]:
        """Return the claims to sign: a person's own, also when somebody exchanges the person's token."""
        people: dict[str, dict[str, Any]] = json.loads(Path(os.environ["AUTHGENT_TEST_PEOPLE"]).read_text())  # noqa: ASYNC240 - a test's server
        if grant_type == "client_credentials":
            return base_claims | people.get(client_id, {})
        person = (claims for claims in people.values() if claims.get("sub") == base_claims["sub"])
        return base_claims | next(person, {})

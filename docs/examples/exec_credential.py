#!/usr/bin/env python3
"""A credential plugin of kubectl's: prints an ExecCredential with an access token; arguments are audiences."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ttscache.client import Client, ClientError, TokenSourceError, discover_token


def credential(audiences: tuple[str, ...]) -> dict[str, object]:
    """Return the credential. Raises ClientError, TokenSourceError."""
    ca_file = os.environ.get("TTSCACHE_CA_FILE")
    client = Client(os.environ.get("TTSCACHE_URL", ""), Path(ca_file) if ca_file else None)
    asked_at = datetime.now(UTC)
    issued = client.access_token(discover_token(), profile=os.environ.get("TTSCACHE_PROFILE"), audiences=audiences)
    end = asked_at + timedelta(seconds=issued.expires_in)
    status = {"token": issued.token, "expirationTimestamp": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


if __name__ == "__main__":
    try:
        json.dump(credential(tuple(sys.argv[1:])), sys.stdout)
    except (ClientError, TokenSourceError) as error:
        sys.exit(f"exec_credential: {getattr(error, 'code', 'token_source')}: {error}")

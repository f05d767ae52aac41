"""The sandbox's IAM in a pod: under the name by which the cluster's pods find it, with TLS.

`iam.py token USER` prints a fresh token of a user of the one that runs. Secrets are files in /etc/iam.
"""

import asyncio
import os
import signal
import ssl
import sys
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from ttscache.sandbox.client import fetch_token
from ttscache.sandbox.iam import EmbeddedIam, IamConfig

_SECRETS = Path("/etc/iam")
_PORT = 8443


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["token"]:
        print(_token(arguments[1]))  # noqa: T201 - what it is for
    else:
        asyncio.run(_serve())


def _secret(name: str) -> str:
    return (_SECRETS / name).read_text()


def _config() -> IamConfig:
    made = IamConfig()
    return IamConfig(
        users=tuple(replace(user, password=_secret("password")) for user in made.users),
        clients=tuple(replace(client, secret=_secret("client-secret")) for client in made.clients),
    )


async def _serve() -> None:
    iam = EmbeddedIam(_config())
    # what `start` does, which keeps to loopback: the sandbox is not to be found by others
    iam._realm.origin = os.environ["IAM_URL"]
    runner = web.AppRunner(iam._application(), access_log=None)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_SECRETS / "tls.crt", _SECRETS / "tls.key")
    await web.TCPSite(runner, None, _PORT, ssl_context=context).start()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    await runner.cleanup()


def _token(user: str) -> str:
    os.environ["SSL_CERT_FILE"] = str(_SECRETS / "ca.crt")
    accounts = {
        "iam_url": f"{os.environ['IAM_URL']}/",
        "client_id": "demo",
        "client_secret": _secret("client-secret"),
        "users": {user: _secret("password")},
    }
    return fetch_token(accounts, user, scope=None, audience=os.environ["AUDIENCE"])


if __name__ == "__main__":
    main(sys.argv[1:])

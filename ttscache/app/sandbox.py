"""The sandbox: the embedded IAM, and the real daemon over the configuration that is written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ttscache.app.daemon import Daemon
from ttscache.errors import ConfigurationError
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES, Site, prepare, publish


async def run_sandbox(
    directory: Path, port: int, iam_port: int, ready_file: Path | None, say: Callable[[str], None]
) -> None:
    """Run in an absolute ``directory`` until SIGTERM or SIGINT.

    Raises ConfigurationError when an address cannot be listened on.
    """
    iam_config = IamConfig()
    iam = EmbeddedIam(iam_config)
    try:
        await iam.start(port=iam_port)
    except OSError as error:
        raise ConfigurationError((f"--iam-port: cannot listen on 127.0.0.1:{iam_port}: {error.strerror}",)) from None
    try:
        site = Site(directory)
        await asyncio.to_thread(prepare, site, iam.url, iam_config, port)
        daemon = Daemon(site.configuration)

        async def announce() -> dict[str, str]:
            token = iam.token_for("jane", scope=TOKEN_SCOPES, audience=AUDIENCE)
            published = await daemon.published()
            publish(site, daemon.url, token, published.files, daemon.voms_files())
            say(f"IAM    {iam.url}")
            say(f"daemon {daemon.url}")
            say(f"next   . {site.directory}/env.sh && ttscache exchange --token-file {site.token}")
            return {"iam_url": iam.url}

        await daemon.run(ready_file, announce)
    finally:
        await iam.stop()

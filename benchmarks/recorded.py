"""An answer of a daemon's in a file, for a bare server to send the same bytes."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.parser import BytesHeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load import connect, fetch

# what aiohttp adds by itself
_OWN_HEADERS = {"Content-Length", "Date", "Server"}


@asynccontextmanager
async def recorded(port: int, request: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Path]:
    """Ask once; return the file with headers and body of the answer."""
    reader, writer = await connect(port, tls=tls)
    head, body = await fetch(reader, writer, request)
    writer.close()
    await writer.wait_closed()
    fields = BytesHeaderParser().parsebytes(head.partition(b"\r\n")[2])
    headers = {name: value for name, value in fields.items() if name not in _OWN_HEADERS}
    with TemporaryDirectory(prefix="ttscache-bench.") as directory:
        file = Path(directory) / "answer"
        # in a directory that only we can enter
        file.write_text(json.dumps({"headers": headers, "body": body.decode()}))
        yield file

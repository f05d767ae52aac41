"""The health endpoint: whether everything is there, for startup and liveness probes, and for Prometheus."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from ttscache.sidecar.state import Kept

_MOST_AT_ONCE = 16
_CLIENT_SECONDS = 5.0
_OK, _NOT_FOUND, _UNAVAILABLE = 200, 404, 503


class Health:
    """Serves `/healthz` and `/metrics` in a thread of its own while it is entered."""

    def __init__(self, host: str, port: int, kept: Callable[[], Sequence[Kept]]) -> None:
        """Listen; ``kept`` tells how everything is. Raises OSError."""
        self._server = _Server((host, port), _handler(kept))
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # of five, a probe's would be dropped, and come again after a second

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._both = address[0] == "::"
        self._open: dict[Any, None] = {}
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind; with `::` IPv4 is answered as well."""
        if self._both:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Have no more open than probes need: the longest open gives way, for who holds on to many is no probe."""
        self._open[request] = None
        if len(self._open) > _MOST_AT_ONCE:
            longest = next(iter(self._open))
            self._open.pop(longest, None)
            with contextlib.suppress(OSError):
                longest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Say nothing of clients that went away."""


def _handler(kept: Callable[[], Sequence[Kept]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_SECONDS
        server_version = "ttscache"
        sys_version = ""
        _answers: ClassVar = {"/healthz": _healthz, "/metrics": _metrics}

        def do_GET(self) -> None:
            answer = self._answers.get(self.path)
            status, kind, body = answer(kept()) if answer is not None else (_NOT_FOUND, "text/plain", "not found\n")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing: probes come every few seconds."""

    return Handler


def _healthz(kept: Sequence[Kept]) -> tuple[int, str, str]:
    now = time.time()
    present = all(each.is_present(now) for each in kept)
    body = {"status": "ok" if present else "missing", "files": [each.described(now) for each in kept]}
    return _OK if present else _UNAVAILABLE, "application/json", json.dumps(body) + "\n"


def _metrics(kept: Sequence[Kept]) -> tuple[int, str, str]:
    now, lines = time.time(), []
    for name, kind, told, value in (
        ("present", "gauge", "Whether it is there and has not ended.", lambda each: float(each.is_present(now))),
        ("not_after_timestamp_seconds", "gauge", "When it ends.", _not_after),
        ("written_timestamp_seconds", "gauge", "When it was written.", _written_at),
        ("renewals_total", "counter", "How often it was renewed.", lambda each: float(each.renewals)),
        ("failures", "gauge", "How often renewing has failed in a row.", lambda each: float(each.failures)),
    ):
        metric = f"ttscache_sidecar_{name}"
        lines += [f"# HELP {metric} {told}", f"# TYPE {metric} {kind}"]
        values = ((each, value(each)) for each in kept)
        lines += [f"{metric}{_labels(each)} {number}" for each, number in values if number is not None]
    return _OK, "text/plain; version=0.0.4", "\n".join(lines) + "\n"


def _not_after(each: Kept) -> float | None:
    return None if each.outcome is None else each.outcome.not_after


def _written_at(each: Kept) -> float | None:
    return None if each.outcome is None else each.outcome.written_at


def _labels(each: Kept) -> str:
    path = str(each.item.path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{kind="{each.item.kind.value}",path="{path}"}}'

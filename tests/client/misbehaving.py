"""A server that answers with bytes of the test's choice, and keeps what it was asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Misbehaving:
    url: str
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def answering(*answers: bytes) -> Iterator[Misbehaving]:
    """Give each connection the next answer (the last again and again), then close it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Misbehaving(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, answers, server.asked))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, answers: tuple[bytes, ...], asked: list[bytes]) -> None:
    number = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            asked.append(_request(connection))
            with suppress(OSError):  # the client may have had enough
                connection.sendall(answers[min(number, len(answers) - 1)])
        number += 1


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body

"""What a service tells the systemd that started it: sd_notify(3), over the socket that `$NOTIFY_SOCKET` names.

Standard library only, and little of it, for the sidecar speaks it too. Nobody here takes the variables out of the
environment: whoever starts a program beside itself leaves :data:`VARIABLES` out of that program's, for it would speak
in the service's name.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
VARIABLES = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})

# systemd reads nothing while it executes itself anew; a lost READY costs the service, a longer wait the requests
_PATIENCE = 1.0


def reloading() -> str:
    """Return the line that announces a reload; READY ends it.

    Since systemd 253 it must tell its time, by which systemd knows that its own SIGHUP is being answered.
    """
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status(text: str) -> str:
    """Return the line that `systemctl status` shows; all users of the machine may read it."""
    return f"STATUS={' '.join(text.split())}"  # a line of its own would be another assignment


def notify(*lines: str) -> None:
    """Tell systemd; without `$NOTIFY_SOCKET`, or with nobody there who listens, nothing happens.

    The socket is a path or, behind an `@`, an abstract name; other kinds are left alone.
    """
    name = os.environb.get(b"NOTIFY_SOCKET", b"")
    if not name.startswith((b"/", b"@")):
        return
    address = b"\0" + name[1:] if name.startswith(b"@") else name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE)
        sender.connect(address)
        sender.send("\n".join(lines).encode(errors="replace"))


def watchdog_interval() -> float | None:
    """Return how often to tell WATCHDOG, in seconds: half of what systemd waits for. None when it does not ask us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = os.environ.get("WATCHDOG_USEC", "")
    return int(given) / 2e6 if given.isascii() and given.isdecimal() and int(given) > 0 else None

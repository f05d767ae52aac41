"""Who is told of changes, and where it is told how everything is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscache.sidecar.children import Hook
from ttscache.sidecar.log import log, rfc3339
from ttscache.sidecar.order import State
from ttscache.sidecar.place import Place
from ttscache.sidecar.state import Kept

_STATUS_MODE = 0o644
_MAX_PID = 2**22  # proc(5), pid_max


@dataclass(frozen=True)
class PidFile:
    """Whom to send which signal."""

    number: signal.Signals
    path: Path

    def send(self) -> None:
        """Send it; a file of a daemon that is not there yet is no fault of ours."""
        try:
            number = int(self.path.read_text(encoding="ascii")[:20])
        except (OSError, ValueError):
            number = 0
        if not 1 < number <= _MAX_PID:
            log("signal_failed", path=str(self.path), message="the file holds no process id")
            return
        try:
            os.kill(number, self.number)
        except OSError as error:
            log("signal_failed", path=str(self.path), message=error.strerror)


@dataclass(frozen=True)
class Telling:
    """Tells of changes: runs a command, sends a signal, writes the status file."""

    hook: Hook | None = None
    pid_file: PidFile | None = None
    status_file: Path | None = None

    @property
    def busy(self) -> bool:
        """Whether the command runs."""
        return self.hook is not None and self.hook.busy

    @property
    def pid(self) -> int | None:
        """The process of the command, while it runs."""
        return None if self.hook is None else self.hook.pid

    def of(self, touched: Sequence[Kept], kept: Sequence[Kept]) -> None:
        """Tell what a turn has changed of what was ``touched``, and how everything is."""
        changed = [
            str(each.item.path)
            for each in touched
            if each.outcome is not None and each.outcome.state in {State.RENEWED, State.REMOVED}
        ]
        if changed and self.hook is not None:
            self.hook.changed(changed)
        if changed and self.pid_file is not None:
            self.pid_file.send()
        self.poll()
        self.write_status(kept)

    def poll(self) -> None:
        """Go on with the command."""
        trouble = None if self.hook is None else self.hook.poll()
        if trouble is not None:
            log("on_change_failed", message=trouble)

    def write_status(self, kept: Sequence[Kept]) -> None:
        """Write how everything is."""
        path = self.status_file
        if path is None:
            return
        now = time.time()
        body = {"pid": os.getpid(), "written_at": rfc3339(now), "files": [each.described(now) for each in kept]}
        try:
            with Place(path.parent, _STATUS_MODE, None) as place:
                place.sweep(path.name)
                place.write(path.name, json.dumps(body).encode() + b"\n")
        except OSError as error:
            log("status_failed", path=str(path), message=error.strerror)

    def end(self, kept: Sequence[Kept]) -> None:
        """End the command, and tell for the last time."""
        if self.hook is not None:
            self.hook.end()
        self.write_status(kept)

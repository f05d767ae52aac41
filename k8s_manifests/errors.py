"""What can go wrong between a site file and a cluster. Each says in one line what was wrong and what to do."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The command line's exit statuses, as everywhere in ttscache."""

    FAULT = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    INVALID = 5


class SiteError(Exception):
    """Something about the site that has to be mended; ``code`` is stable, the message is one line."""

    def __init__(self, code: str, message: str, exit_status: ExitStatus) -> None:
        super().__init__(message)
        self.code = code
        self.exit_status = exit_status


class SiteFileError(SiteError):
    """The site file has mistakes; ``mistakes`` has a line for each, with its place."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("site_invalid", mistakes[0], ExitStatus.USAGE)
        self.mistakes = mistakes


class ToolError(SiteError):
    """Helm, or the charts, are not there, are too old, or say no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, ExitStatus.USAGE)


class ClusterRefusedError(SiteError):
    """The cluster says no: another try will not help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, ExitStatus.REFUSED)


class ClusterUnavailableError(SiteError):
    """The cluster, or something in it, does not answer or is not ready in time: try again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, ExitStatus.UNAVAILABLE)

"""Whether a file with a secret is its owner's alone."""

from __future__ import annotations

import os
import stat


def is_private(status: os.stat_result) -> bool:
    """Tell whether nobody else may read or change a file.

    Group-read passes where root owns it and the group is ours: so Kubernetes mounts Secrets (fsGroup).
    """
    mode = stat.S_IMODE(status.st_mode)
    mounted = status.st_uid == 0 and status.st_gid in {os.getegid(), *os.getgroups()}
    return not mode & 0o027 and (mounted or not mode & 0o040)

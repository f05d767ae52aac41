"""Is the daemon of this container alive? For `podman run` and `docker run`; Kubernetes has probes of its own.

TTSCACHE_HEALTH_URL says where it answers. The certificate is not looked at: it is for the names that clients use, and
this asks over loopback.
"""
# ruff: noqa: INP001 - a script, no package

import os
import ssl
import sys
import urllib.request

_TIMEOUT = 4.0


def main() -> int:
    """Return 0 when it answers with a success."""
    url = os.environ["TTSCACHE_HEALTH_URL"]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # a proxy that the environment names is for other addresses than this
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=_TIMEOUT):
            return 0
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)  # noqa: T201 - shown as the check's output
        return 1


if __name__ == "__main__":
    sys.exit(main())

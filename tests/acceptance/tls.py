"""A TLS client that shows whatever it is given: `openssl s_client` does not judge its own certificate.

Python's `ssl` does not even load a proxy with a SAN, and Globus' client keeps expired proxies to itself: with these, a
server that is not there would pass for one that refuses.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.tools.openssl import certificates
from tests.tools.programs import PATIENCE, environment, need

# what the client prints when the server sent it away during the handshake
ALERT = r"SSL alert number \d+"


def ask(port: int, trust_dir: Path, message: bytes, *options: str | Path, pem: bytes = b"") -> str:
    """Send a message, and return all that the server and the client say; with a PEM file as the client certificate."""
    need("openssl")
    with tempfile.TemporaryDirectory() as scratch:
        argv: list[str | Path] = ["openssl", "s_client", "-connect", f"localhost:{port}", "-CApath", trust_dir]
        argv += ["-verify_quiet", "-verify_return_error", "-cipher", "DEFAULT@SECLEVEL=0", *options]
        if pem:
            file, above = Path(scratch, "leaf.pem"), Path(scratch, "above.pem")
            file.touch(mode=0o600)
            file.write_bytes(pem)
            above.write_bytes(b"".join(certificates(pem)[1:]))
            argv += ["-cert", file, "-key", file, "-cert_chain", above]
        done = subprocess.run(
            argv,
            input=message,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    return done.stdout.decode(errors="replace")


def get(port: int, trust_dir: Path, path: str, *headers: str, pem: bytes = b"") -> str:
    """Ask for a path over HTTPS; return the answer, or the reasons for having none."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    # `-quiet`: it listens until the server hangs up
    return ask(port, trust_dir, "\r\n".join(lines).encode(), "-quiet", pem=pem)

"""Ask a squid for what it must refuse, and for its own page: `refusals.py HOST PORT DESTINATION`."""
# ruff: noqa: INP001 - runs in a pod, from its command line, with nothing but the standard library

import http.client
import sys

OK, FORBIDDEN = 200, 403


def asked(host: str, port: int, method: str, url: str) -> int:
    """Return the status of squid's answer."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request(method, url)
        return connection.getresponse().status
    finally:
        connection.close()


def main(host: str, port: str, destination: str) -> int:
    """Ask for everything, say what came, and return the exit status: 1 where squid gave what it must not."""
    served = destination.lstrip(".")
    expected = {
        ("GET", "/squid-internal-static/icons/SN.png"): OK,
        ("GET", "/squid-internal-mgr/info"): FORBIDDEN,
        ("GET", "http://localhost:3128/squid-internal-mgr/info"): FORBIDDEN,
        ("GET", "http://elsewhere.invalid/"): FORBIDDEN,
        ("GET", "http://169.254.169.254/latest/meta-data/"): FORBIDDEN,
        ("GET", f"http://{served}:22/"): FORBIDDEN,
        ("POST", f"http://{served}/"): FORBIDDEN,
        ("CONNECT", f"{served}:443"): FORBIDDEN,
    }
    answers = {request: asked(host, int(port), *request) for request in expected}
    for request, status in answers.items():
        verdict = "" if status == expected[request] else f" instead of {expected[request]}"
        sys.stdout.write(f"{' '.join(request)}: {status}{verdict}\n")
    return int(answers != expected)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

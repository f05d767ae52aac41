"""The peer of the sidecar's memory: a loop on the standard library that fetches a proxy and puts it into a file.

It makes no key, checks nothing and keeps no other file. It prints a line when the file is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from ssl import create_default_context
from urllib.request import Request, urlopen

_PAUSE = 0.2


def main() -> None:
    url, ca_file, token_file, file = sys.argv[1:]
    while True:
        token = Path(token_file).read_text().strip()
        request = Request(f"{url}/v1/proxy", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - https
        with urlopen(request, context=create_default_context(cafile=ca_file)) as answer:  # noqa: S310 - as above
            fresh = Path(f"{file}.new")
            fresh.touch(mode=0o600)
            fresh.write_bytes(answer.read())
        fresh.rename(file)
        print(flush=True)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main()

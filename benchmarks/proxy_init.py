"""What `grid-proxy-init` does, by the library: a new RSA-2048 key, a proxy for it, a file with both and the chain."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, PrivateKey, generate_key, load_private_key
from proxy_gen.proxy import issue_proxy
from ttscache.durable import write_atomically


def write_proxy(parent: Credential, key: PrivateKey, file: Path) -> None:
    """Make a proxy for a key and write it, for its owner only."""
    assert parent.key is not None
    lifetime = timedelta(hours=12)
    proxy = issue_proxy(parent.leaf, parent.key, key.public_key(), now=datetime.now(UTC), lifetime=lifetime)
    write_atomically(file, Credential((proxy, *parent.chain), key).to_pem())


def main() -> None:
    certificate, key, file = map(Path, sys.argv[1:])
    chain = Credential.parse(certificate.read_bytes()).chain
    write_proxy(Credential(chain, load_private_key(key.read_bytes())), generate_key(KeyKind.RSA_2048), file)


if __name__ == "__main__":
    main()

"""A pool of HTCondor's as its keys and tokens make it out: HTCondor's own code issues tokens and takes them."""

import os
import subprocess
from pathlib import Path

from tests.tools.minting import write_private
from tests.tools.programs import PATIENCE, Verdict, environment

TRUST_DOMAIN = "pool.example"


class Pool:
    """Keys, tokens, and the program that drives HTCondor's functions (`shims/condor_token.cpp`)."""

    def __init__(self, program: Path, directory: Path, trust_domain: str = TRUST_DOMAIN) -> None:
        self._program = program
        self._keys, self._tokens = directory / "passwords.d", directory / "tokens.d"
        self._environment = environment(
            CONDOR_CONFIG="ONLY_ENV",
            _CONDOR_TRUST_DOMAIN=trust_domain,
            _CONDOR_SEC_PASSWORD_DIRECTORY=self._keys,
            _CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE=self._keys / "POOL",
            _CONDOR_SEC_TOKEN_DIRECTORY=self._tokens,
        )
        for made in (self._keys, self._tokens):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)

    def store(self, key_id: str, content: bytes) -> None:
        """Give the pool a key file."""
        file = self._keys / key_id
        file.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(file, content)

    def material(self, key_id: str) -> bytes:
        """Return what HTCondor makes of a key file."""
        return bytes.fromhex(self._said("key", key_id).text)

    def generate(self, key_id: str, user: str, *levels: str, lifetime: int = 600) -> Verdict:
        """Have HTCondor issue a token; a lifetime of -1 is none."""
        return self._said("generate", key_id, user, str(lifetime), *levels)

    def authenticate(self, token: str, *levels: str) -> Verdict:
        """Say who a client with this token is, and which of the levels it has, a line each."""
        write_private(self._tokens / "token", token.encode())
        return self._said("authenticate", *levels)

    def levels(self) -> list[str]:
        """Return all levels that HTCondor has a name for."""
        return self._said("levels").text.splitlines()

    def _said(self, *arguments: str) -> Verdict:
        done = subprocess.run(
            [self._program, *map(os.fsencode, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode in {0, 1}, done
        return Verdict(ok=done.returncode == 0, text=done.stdout if done.returncode == 0 else done.stderr)

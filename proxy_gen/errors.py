"""The errors of this library: one tree, each with a stable code and one clear line."""

from __future__ import annotations


class ProxyGenError(Exception):
    """Base of every error of this library; ``code`` is stable, the message is one line without a secret."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NameRefusedError(ProxyGenError):
    """A distinguished name that cannot be parsed, or that must not be minted because consumers differ on it."""


class KeyRefusedError(ProxyGenError):
    """A key that is malformed, too weak, or of a kind that is not taken here."""


class CsrRefusedError(ProxyGenError):
    """A certificate signing request that is malformed or whose signature fails."""


class IssuanceError(ProxyGenError):
    """What was asked for cannot be signed: the issuer has ended, may not sign it, or the request contradicts itself."""


class FqanRefusedError(ProxyGenError):
    """A text that is no FQAN."""


class AttributeCertificateError(ProxyGenError):
    """An attribute certificate that cannot be parsed or issued."""


class CredentialFileError(ProxyGenError):
    """A credential file that cannot be parsed, or whose parts do not belong together."""


class VerificationError(ProxyGenError):
    """A chain was refused at ``depth`` (0 is the leaf, counting towards the trust anchor)."""

    def __init__(self, code: str, depth: int, message: str) -> None:
        super().__init__(code, message)
        self.depth = depth

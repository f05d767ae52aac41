"""OpenSSL's library as the oracle: the functions below the `openssl` program, without a process for each question.

A question costs microseconds, so that a property can be tried on hundreds of names and chains. That these answers are
the program's own is shown on samples in `test_oracle.py`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import c_char_p, c_int, c_long, c_ulong, c_void_p
from datetime import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.tools.programs import Verdict, unavailable

# openssl/x509.h and x509_vfy.h
_XN_FLAG_RFC2253 = 0x1110317
_X509_V_FLAG_CRL_CHECK, _X509_V_FLAG_CRL_CHECK_ALL = 0x4, 0x8
_X509_V_FLAG_X509_STRICT, _X509_V_FLAG_ALLOW_PROXY_CERTS = 0x20, 0x40
_X509_PURPOSE_SSL_CLIENT = 1

_FUNCTIONS: dict[str, tuple[type | None, list[type]]] = {
    "BIO_free": (c_int, [c_void_p]),
    "BIO_new": (c_void_p, [c_void_p]),
    "BIO_read": (c_int, [c_void_p, c_char_p, c_int]),
    "BIO_s_mem": (c_void_p, []),
    "CRYPTO_free": (None, [c_void_p, c_char_p, c_int]),
    "OPENSSL_sk_free": (None, [c_void_p]),
    "OPENSSL_sk_new_null": (c_void_p, []),
    "OPENSSL_sk_push": (c_int, [c_void_p, c_void_p]),
    "X509_CRL_free": (None, [c_void_p]),
    "X509_NAME_cmp": (c_int, [c_void_p, c_void_p]),
    "X509_NAME_free": (None, [c_void_p]),
    "X509_NAME_hash_ex": (c_ulong, [c_void_p, c_void_p, c_char_p, c_void_p]),
    "X509_NAME_hash_old": (c_ulong, [c_void_p]),
    "X509_NAME_oneline": (c_void_p, [c_void_p, c_void_p, c_int]),
    "X509_NAME_print_ex": (c_int, [c_void_p, c_void_p, c_int, c_ulong]),
    "X509_STORE_CTX_free": (None, [c_void_p]),
    "X509_STORE_CTX_get_error": (c_int, [c_void_p]),
    "X509_STORE_CTX_get_error_depth": (c_int, [c_void_p]),
    "X509_STORE_CTX_init": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "X509_STORE_CTX_new": (c_void_p, []),
    "X509_STORE_CTX_set_purpose": (c_int, [c_void_p, c_int]),
    "X509_STORE_CTX_set_flags": (None, [c_void_p, c_ulong]),
    "X509_STORE_CTX_set_time": (None, [c_void_p, c_ulong, c_long]),
    "X509_STORE_add_cert": (c_int, [c_void_p, c_void_p]),
    "X509_STORE_add_crl": (c_int, [c_void_p, c_void_p]),
    "X509_STORE_free": (None, [c_void_p]),
    "X509_STORE_new": (c_void_p, []),
    "X509_free": (None, [c_void_p]),
    "X509_verify_cert": (c_int, [c_void_p]),
    "X509_verify_cert_error_string": (c_char_p, [c_long]),
    "d2i_X509": (c_void_p, [c_void_p, c_void_p, c_long]),
    "d2i_X509_CRL": (c_void_p, [c_void_p, c_void_p, c_long]),
    "d2i_X509_NAME": (c_void_p, [c_void_p, c_void_p, c_long]),
}


@cache
def _library() -> ctypes.CDLL:
    path = ctypes.util.find_library("crypto")
    if path is None:
        unavailable("not installed: libcrypto")
    library = ctypes.CDLL(path)
    try:
        for function, (result, arguments) in _FUNCTIONS.items():
            pointer = getattr(library, function)
            pointer.restype, pointer.argtypes = result, arguments
    except AttributeError as missing:
        unavailable(f"libcrypto is older than 3.0: {missing}")
    return library


def _parsed(function: str, der: bytes) -> int:
    """Parse with a `d2i` function; what it returns must be freed."""
    buffer = ctypes.create_string_buffer(der, len(der))
    position = c_void_p(ctypes.addressof(buffer))
    pointer: int | None = getattr(_library(), function)(None, ctypes.byref(position), len(der))
    if pointer is None:
        raise ValueError(f"{function} refuses these octets")
    return pointer


@contextmanager
def _name(der: bytes) -> Iterator[int]:
    pointer = _parsed("d2i_X509_NAME", der)
    try:
        yield pointer
    finally:
        _library().X509_NAME_free(pointer)


def oneline(name: bytes) -> str:
    """Print a name as `-nameopt compat` does."""
    with _name(name) as pointer:
        text = _library().X509_NAME_oneline(pointer, None, 0)
        try:
            return ctypes.string_at(text).decode("ascii")
        finally:
            _library().CRYPTO_free(text, None, 0)


def rfc2253(name: bytes) -> str:
    """Print a name as `-nameopt RFC2253` does."""
    library = _library()
    with _name(name) as pointer:
        bio = library.BIO_new(library.BIO_s_mem())
        try:
            length = library.X509_NAME_print_ex(bio, pointer, 0, _XN_FLAG_RFC2253)
            assert length >= 0
            buffer = ctypes.create_string_buffer(length + 1)
            library.BIO_read(bio, buffer, length)
            return buffer.raw[:length].decode("ascii")
        finally:
            library.BIO_free(bio)


def hashes(name: bytes) -> tuple[str, str]:
    """Return what `-subject_hash` and `-subject_hash_old` print."""
    with _name(name) as pointer:
        new = _library().X509_NAME_hash_ex(pointer, None, None, None)
        old = _library().X509_NAME_hash_old(pointer)
        return f"{new:08x}", f"{old:08x}"


def same_name(one: bytes, other: bytes) -> bool:
    """Tell whether two names are one to OpenSSL."""
    with _name(one) as first, _name(other) as second:
        return bool(_library().X509_NAME_cmp(first, second) == 0)


def verify(
    chain: Sequence[bytes],
    anchors: Iterable[bytes],
    now: datetime,
    *,
    strict: bool = False,
    crls: Iterable[x509.CertificateRevocationList] = (),
    crl_check_all: bool = False,
    as_client: bool = False,
) -> Verdict:
    """Do as `openssl verify -allow_proxy_certs`, with certificates in DER; the leaf is looked up in CRLs, if any.

    With `as_client`, as a TLS server does with the chain of its client.
    """
    library = _library()
    with ExitStack() as stack:

        def owned(pointer: int, free: str) -> int:
            stack.callback(getattr(library, free), pointer)
            return pointer

        try:
            leaf, *rest = [owned(_parsed("d2i_X509", der), "X509_free") for der in chain]
        except ValueError as malformed:
            return Verdict(ok=False, text=str(malformed))
        store = owned(library.X509_STORE_new(), "X509_STORE_free")
        for anchor in anchors:
            library.X509_STORE_add_cert(store, owned(_parsed("d2i_X509", anchor), "X509_free"))
        flags = _X509_V_FLAG_ALLOW_PROXY_CERTS | (_X509_V_FLAG_X509_STRICT if strict else 0)
        flags |= _X509_V_FLAG_CRL_CHECK | _X509_V_FLAG_CRL_CHECK_ALL if crl_check_all else 0
        for crl in crls:
            parsed = owned(_parsed("d2i_X509_CRL", crl.public_bytes(Encoding.DER)), "X509_CRL_free")
            library.X509_STORE_add_crl(store, parsed)
            flags |= _X509_V_FLAG_CRL_CHECK
        untrusted = owned(library.OPENSSL_sk_new_null(), "OPENSSL_sk_free")
        for certificate in rest:
            library.OPENSSL_sk_push(untrusted, certificate)
        context = owned(library.X509_STORE_CTX_new(), "X509_STORE_CTX_free")
        library.X509_STORE_CTX_init(context, store, leaf, untrusted)
        library.X509_STORE_CTX_set_flags(context, flags)
        if as_client:
            library.X509_STORE_CTX_set_purpose(context, _X509_PURPOSE_SSL_CLIENT)
        library.X509_STORE_CTX_set_time(context, 0, int(now.timestamp()))
        holds = library.X509_verify_cert(context) == 1
        error = library.X509_STORE_CTX_get_error(context)
        depth = library.X509_STORE_CTX_get_error_depth(context)
        why = library.X509_verify_cert_error_string(error).decode()
        return Verdict(ok=holds, text=f"error {error} at depth {depth}: {why}")

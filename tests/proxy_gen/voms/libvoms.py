"""VOMS's own C library as the oracle (validate.cc), as XRootD and LCMAPS call it."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from contextlib import ExitStack
from ctypes import POINTER, c_char_p, c_int, c_long, c_void_p
from datetime import datetime
from functools import cache
from pathlib import Path

from tests.proxy_gen import libcrypto
from tests.tools.programs import Verdict, unavailable

# voms_apic.h
_VERIFY_FULL = 0xFFFFFFFF
_RECURSE_CHAIN = 0

_FUNCTIONS: dict[str, tuple[type | None, list[object]]] = {
    "VOMS_Init": (c_void_p, [c_char_p, c_char_p]),
    "VOMS_Destroy": (None, [c_void_p]),
    "VOMS_SetVerificationType": (c_int, [c_int, c_void_p, POINTER(c_int)]),
    "VOMS_SetVerificationTime": (c_int, [c_long, c_void_p, POINTER(c_int)]),
    "VOMS_Retrieve": (c_int, [c_void_p, c_void_p, c_int, c_void_p, POINTER(c_int)]),
    "VOMS_ErrorMessage": (c_char_p, [c_void_p, c_int, c_char_p, c_int]),
}


@cache
def _library() -> ctypes.CDLL:
    path = ctypes.util.find_library("vomsapi")
    if path is None:
        unavailable("not installed: libvomsapi1v5")
    library = ctypes.CDLL(path)
    for function, (result, arguments) in _FUNCTIONS.items():
        pointer = getattr(library, function)
        pointer.restype, pointer.argtypes = result, arguments
    return library


def retrieve(chain: Sequence[bytes], vomsdir: Path, certificates: Path, now: datetime) -> Verdict:
    """Verify the attributes of a chain, leaf first, without the chain itself."""
    voms, crypto, error = _library(), libcrypto._library(), c_int()
    with ExitStack() as stack:

        def owned(pointer: int, free: str) -> int:
            stack.callback(getattr(crypto, free), pointer)
            return pointer

        leaf, *above = [owned(libcrypto._parsed("d2i_X509", der), "X509_free") for der in chain]
        listed = owned(crypto.OPENSSL_sk_new_null(), "OPENSSL_sk_free")
        for certificate in (leaf, *above):
            crypto.OPENSSL_sk_push(listed, certificate)
        data = voms.VOMS_Init(str(vomsdir).encode(), str(certificates).encode())
        stack.callback(voms.VOMS_Destroy, data)
        voms.VOMS_SetVerificationType(ctypes.c_int(_VERIFY_FULL - (1 << 32)), data, ctypes.byref(error))
        voms.VOMS_SetVerificationTime(int(now.timestamp()), data, ctypes.byref(error))
        holds = voms.VOMS_Retrieve(leaf, listed, _RECURSE_CHAIN, data, ctypes.byref(error))
        buffer = ctypes.create_string_buffer(2000)
        voms.VOMS_ErrorMessage(data, error, buffer, len(buffer))
        return Verdict(bool(holds), f"error {error.value}: {buffer.value.decode(errors='replace')}")

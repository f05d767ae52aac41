"""Writes the corpus anew: `python -m tests.proxy_gen.voms.corpus_maker`."""

from __future__ import annotations

from pathlib import Path

from proxy_gen.credential import Credential
from tests.proxy_gen import der
from tests.proxy_gen.chains import authority
from tests.proxy_gen.forge import load
from tests.proxy_gen.voms.cases import BAD, GOOD
from tests.proxy_gen.voms.makers import FILES
from tests.proxy_gen.voms.world import issued

CORPUS = Path(__file__).parent / "corpus"
# not made here: an attribute certificate of VOMS's own making
_FOREIGN = {"voms-proxy-fake.der": ("what voms-proxy-fake 2.1 makes, signed with SHA-1", "good")}
_HEAD = """# Attribute certificates, good and bad, and what is said to them

Proxies with their end-entity certificate (`.pem`), and single attribute certificates (`.der`), which are good when they
can be parsed, each with the code of its refusal. `anchor.pem` is the CA of all, the `.lsc` files say who may speak for
the VOs. `python -m tests.proxy_gen.voms.corpus_maker` makes them anew, with other keys, except for what VOMS made.

| file | what it is | answer |
|---|---|---|
"""


def _loose() -> dict[str, tuple[bytes, str, str]]:
    """Octets that are no attribute certificate, or hardly."""
    good = issued().der
    return {
        "good.der": (good, "as issued", "good"),
        "truncated.der": (good[: len(good) // 2], "half of it", "ac_malformed"),
        "trailing.der": (good + b"\0", "an octet behind it", "ac_malformed"),
        "indefinite-length.der": (b"\x30\x80" + good[4:] + b"\0\0", "in BER, its length indefinite", "ac_malformed"),
        "empty.der": (b"", "nothing", "ac_malformed"),
        "certificate.der": (der.sequence(good), "wrapped once more", "ac_malformed"),
        "nested.der": (b"\x30\x82\x40\x00" * 4000, "4000 sequences in one another", "ac_malformed"),
        "length-of-4-gigabytes.der": (b"\x30\x84\xff\xff\xff\xff" + good[4:], "its length a lie", "ac_malformed"),
    }


def main() -> None:
    table = dict(_FOREIGN)
    (CORPUS / "anchor.pem").write_bytes(authority().certificate_pem())
    for name, content in FILES.items():
        (CORPUS / name.replace("/", "-")).write_bytes(content)
    for name, make, *told in (*GOOD, *BAD):
        chain = tuple(load(certificate) for certificate in make().signed()[:-1])
        file = "".join(c if c.isalnum() else "-" for c in name).lower() + ".pem"
        (CORPUS / file).write_bytes(Credential(chain).to_pem())
        table[file] = (name, str(told[0]) if told else "good")
    for file, (content, what, answer) in _loose().items():
        (CORPUS / file).write_bytes(content)
        table[file] = (what, answer)
    rows = (f"| `{file}` | {what} | `{answer}` |\n" for file, (what, answer) in sorted(table.items()))
    (CORPUS / "README.md").write_text(_HEAD + "".join(rows))


if __name__ == "__main__":
    main()

"""What a trust directory says of a CA's names: at the depth of each certificate, and by which of its files."""

from __future__ import annotations

import pytest

from proxy_gen.errors import VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.namespaces import namespaces_file
from proxy_gen.signing_policy import signing_policy_file
from proxy_gen.trust import TrustAnchors, TrustedAuthority, subject_hash, subject_hash_old, trust_directory
from proxy_gen.verify import verify
from tests.proxy_gen.chains import NOW, TOP, Delegation, authorities, path, trusting
from tests.proxy_gen.forge import load

LEAF, PROXY, EEC, CA, ROOT = range(5)
ISSUING, TOPMOST = authorities(2)
CERTIFICATES = path([Delegation(), Delegation()], cas=[ISSUING, TOPMOST]).signed()
JANE = f"{TOP}/OU=People/CN=Jane Doe"
FILES = trust_directory([TrustedAuthority(ca.certificate, (f"{TOP}/*",)) for ca in (ISSUING, TOPMOST)])
ISSUING_HASH, TOPMOST_HASH = (subject_hash(ca.certificate.subject) for ca in (ISSUING, TOPMOST))
OLD_HASH = subject_hash_old(ISSUING.certificate.subject)


def told(changed: dict[str, bytes | None]) -> object:
    """Return whose the chain is with these files of the directory, or the code and the depth of the refusal."""
    files = {name: content for name, content in (FILES | changed).items() if content is not None}
    trust = TrustAnchors.from_files(files)
    try:
        return verify([load(certificate) for certificate in CERTIFICATES[:CA]], trust, NOW).identity.slash
    except VerificationError as error:
        return error.code, error.depth


def signing(ca: str, *subjects: str) -> bytes:
    return signing_policy_file([(ca, subjects)])


def spaces(ca: str, *subjects: str) -> bytes:
    return namespaces_file([(ca, subjects)])


POLICY, TOP_POLICY, OLD_POLICY = (f"{digest}.signing_policy" for digest in (ISSUING_HASH, TOPMOST_HASH, OLD_HASH))
SPACES, TOP_SPACES = f"{ISSUING_HASH}.namespaces", f"{TOPMOST_HASH}.namespaces"
CA_NAME, TOP_NAME = ISSUING.subject.slash, TOPMOST.subject.slash

CASES: dict[str, tuple[object, dict[str, bytes | None]]] = {
    "as it is written": (JANE, {}),
    "no policy": (("signing_policy_missing", EEC), {POLICY: None}),
    "no policy of the root": (("signing_policy_missing", CA), {TOP_POLICY: None}),
    "a policy under the old hash only": (("signing_policy_missing", EEC), {POLICY: None, OLD_POLICY: b"\n"}),
    "another policy under the old hash": (JANE, {OLD_POLICY: signing(CA_NAME)}),
    "the name is not in it": (("signing_policy", EEC), {POLICY: signing(CA_NAME, "/O=x/*")}),
    "the name alone is in it": (JANE, {POLICY: signing(CA_NAME, JANE)}),
    "the policy of another CA": (("signing_policy", EEC), {POLICY: signing("/O=x", f"{TOP}/*")}),
    "the root may not sign the CA": (("signing_policy", CA), {TOP_POLICY: signing(TOP_NAME, JANE)}),
    "malformed policy": (("signing_policy_malformed", EEC), {POLICY: b"garbage\n"}),
    "policy cut short": (("signing_policy_malformed", EEC), {POLICY: signing(CA_NAME, JANE)[:-1]}),
    "no namespaces": (JANE, {SPACES: None, TOP_SPACES: None}),
    "name outside of the namespaces": (("namespaces", EEC), {SPACES: spaces(CA_NAME, "/O=x/*")}),
    "CA outside of the namespaces": (("namespaces", CA), {TOP_SPACES: spaces(TOP_NAME, JANE)}),
    "denied": (
        ("namespaces", EEC),
        {SPACES: spaces(CA_NAME, f"{TOP}/*") + f'TO Issuer SELF DENY Subject "{JANE}"\n'.encode()},
    ),
    "namespaces of another CA": (JANE, {SPACES: spaces("/O=x", "/O=y")}),
    "malformed namespaces": (("namespaces_malformed", EEC), {SPACES: b"garbage\n"}),
    "malformed files of others": (JANE, {"01234567.signing_policy": b"x", "01234567.namespaces": b"x"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_directory(case: str) -> None:
    expected, changed = CASES[case]
    assert told(changed) == expected


def test_certificates_without_a_directory_may_sign_any_name() -> None:
    found = verify([load(c) for c in CERTIFICATES[:CA]], trusting(*CERTIFICATES[CA:]), NOW)
    assert found.identity == DistinguishedName.parse(JANE)


def test_a_missing_policy_says_which_file_to_get() -> None:
    trust = TrustAnchors.from_files({name: content for name, content in FILES.items() if name.endswith(".0")})
    with pytest.raises(VerificationError, match=rf"{ISSUING_HASH}\.signing_policy is not in the trust directory"):
        verify([load(c) for c in CERTIFICATES[:CA]], trust, NOW)

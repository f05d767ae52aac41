"""Signing policies and what Globus makes of them: measured with its GSSAPI of 2022, and asked anew in acceptance."""

from __future__ import annotations

from dataclasses import dataclass

TOP = "/DC=ch/DC=example"
CA, JANE = f"{TOP}/CN=CA", f"{TOP}/OU=People/CN=jane"
MAIL = f"{TOP}/emailAddress=jane@example.org"
# whoever asks Globus has a host certificate of the same CA, and every policy lets it be
HOST = f"{TOP}/CN=localhost"


def policy(
    *patterns: str, ca: str = CA, authority: str = "globus", right: str = "pos_rights", value: str = "CA:sign"
) -> str:
    """Write a policy by hand."""
    quoted = " ".join(f'"{pattern}"' for pattern in patterns)
    return f"access_id_CA X509 '{ca}'\n{right} {authority} {value}\ncond_subjects {authority} '{quoted}'\n"


@dataclass(frozen=True)
class Case:
    """A policy, and whether it lets this subject be; a malformed one does for Globus only where it says so."""

    name: str
    content: str
    permitted: bool
    subject: str = JANE
    malformed: bool = False


YES, NO = True, False
_ONE = policy(HOST, JANE)
_BANNED = "cond_banned_subjects globus '\"/O=x\"'\n"
CASES = (
    Case("the very name", _ONE, YES),
    Case("star at the end", policy(HOST, f"{TOP}/OU=People/*"), YES),
    Case("no match", policy(HOST, "/O=x/*"), NO),
    Case("star in the middle", policy(HOST, f"{TOP}/*/CN=jane"), YES),
    Case("two stars", policy(HOST, f"{TOP}/*/CN=*"), NO),
    Case("star for nothing", policy(HOST, f"{JANE}*"), NO),
    Case("question mark", policy(HOST, f"{JANE[:-1]}?"), NO),
    Case("star alone", policy("*"), YES),
    Case("capitals", policy(HOST, JANE.upper()), YES),
    Case("CA in capitals", policy(HOST, JANE, ca=CA.upper()), YES),
    Case("another CA", policy(HOST, JANE, ca=f"{TOP}/CN=Other"), NO),
    Case("another CA first", policy("/O=x", ca="/O=y") + _ONE, YES),
    Case("two sections of the CA", policy(HOST) + policy(JANE), YES),
    Case("GLOBUS", policy(HOST, JANE, authority="GLOBUS"), NO),
    Case("x509", _ONE.replace("X509", "x509"), NO),
    Case("CA:SIGN", policy(HOST, JANE, value="CA:SIGN"), NO),
    Case("negative rights", policy(HOST, JANE, right="neg_rights"), NO),
    Case(
        "negative rights first",
        f"access_id_CA X509 '{CA}'\nneg_rights globus CA:sign\ncond_subjects globus '\"/O=x\"'\n"
        + _ONE.split("\n", 1)[1],
        NO,
    ),
    Case("no conditions", f"access_id_CA X509 '{CA}'\npos_rights globus CA:sign\n", YES),
    Case("two conditions", _ONE + "cond_subjects globus '\"/O=x/*\"'\n", NO),
    Case("two conditions that hold", _ONE + f"cond_subjects globus '\"{TOP}/*\"'\n", YES),
    Case("second right holds", policy(HOST) + "\n".join(_ONE.splitlines()[1:]) + "\n", YES),
    Case("banned subjects", _ONE + _BANNED, NO),
    Case("anybody", "access_id_ANYBODY\npos_rights globus CA:sign\n", YES),
    Case("anybody before a narrower one", "access_id_ANYBODY\npos_rights globus CA:sign\n" + policy("/O=x"), YES),
    Case("anybody behind a narrower one", policy("/O=x") + "access_id_ANYBODY\npos_rights globus CA:sign\n", NO),
    Case("two principals", f"access_id_CA X509 '/O=y'\n{_ONE}", YES),
    Case("rights are the last one's", f"access_id_CA X509 '{CA}'\n{policy(HOST, JANE, ca='/O=y')}", NO),
    Case("comments", f"# one\n{_ONE.replace('CA:sign', 'CA:sign # two')}#three\n", YES),
    Case("CRLF", _ONE.replace("\n", "\r\n"), YES),
    Case("quotes around a word", _ONE.replace("CA:sign", "'CA:sign'"), YES),
    Case("single quotes only", policy(HOST).replace('"', "").replace(HOST, f"{TOP}/*"), YES),
    Case("double quotes only", policy(HOST).replace("'\"", '"').replace("\"'", '"').replace(HOST, f"{TOP}/*"), YES),
    Case("CA in double quotes", _ONE.replace(f"'{CA}'", f'"{CA}"'), NO),
    Case("hexadecimal", policy(HOST, JANE.replace("jane", "j\\\\x61ne")), YES),
    Case("e-mail", policy(HOST, MAIL), YES, MAIL),
    Case("E for emailAddress", policy(HOST, MAIL.replace("emailAddress", "E")), YES, MAIL),
    Case("Email for emailAddress", policy(HOST, MAIL.replace("emailAddress", "Email")), YES, MAIL),
    Case("E and a star", policy(HOST, f"{TOP}/E=*"), NO, MAIL),
    Case("emailAddress and a star", policy(HOST, f"{TOP}/emailAddress=*"), YES, MAIL),
    Case("empty", "", NO, malformed=True),
    Case("garbage at the end", _ONE + "garbage\n", NO, malformed=True),
    Case("text behind a quote", _ONE.replace("\"'", "\"'xx"), NO, malformed=True),
    Case("no newline at the end", _ONE[:-1], NO, malformed=True),
    # Globus cannot parse the condition, and takes it for one that holds
    Case("patterns on two lines", policy(HOST, "/O=x/*").replace('" "', '"\n"'), YES, malformed=True),
)

"""The form that gets a user's token over HTTP, for programs that know the sandbox's files alone."""


def password_form(
    username: str, password: str, *, client_id: str, client_secret: str, scope: str = "", audience: str = ""
) -> dict[str, str]:
    """Return the fields to be sent, form-encoded, to `<iam url>token` (RFC 6749 section 4.3.2).

    The answer is JSON with the token in `access_token`. Scope and audience are separated by blanks; without a scope
    the client's default ones are granted.
    """
    form = {
        "grant_type": "password",
        "username": username,
        "password": password,
        "client_id": client_id,
        "client_secret": client_secret,
    }
    return form | {name: value for name, value in (("scope", scope), ("audience", audience)) if value}

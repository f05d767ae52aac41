"""What pods need that a site does not make: Secrets. Whether they are there is asked before anything is applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from k8s_manifests.cluster import Api
from k8s_manifests.objects import Key, Object, annotation, key_of, secrets_used

MAKES_SECRETS = "ttscache/makes-secrets"


def missing_secrets(api: Api, objects: Sequence[Object], keys_of: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Yield a line for each Secret, or key of one, that pods need, nobody makes and is not there. Raises SiteError.

    ``keys_of`` says which keys those must have that are mounted whole.
    """
    made = set(_made_secrets(objects))
    asked: dict[tuple[str, str], set[str]] = {}
    users: dict[tuple[str, str], Key] = {}
    for use in secrets_used(objects):
        if (use.namespace, use.name) not in made:
            asked.setdefault((use.namespace, use.name), set()).update(use.keys, keys_of.get(use.name, ()))
            users.setdefault((use.namespace, use.name), use.needed_by)
    for (namespace, name), keys in asked.items():
        held = api.get(Key("v1", "Secret", namespace, name))
        needed = f"{users[namespace, name]} needs it"
        if held is None:
            wanted = f" (keys {', '.join(sorted(keys))})" if keys else ""
            yield f"there is no Secret {namespace}/{name}{wanted}; {needed}"
        elif absent := sorted(keys - set(held.get("data") or {})):
            yield f"the Secret {namespace}/{name} has no key {', '.join(absent)}; {needed}"


def _made_secrets(objects: Iterable[Object]) -> Iterator[tuple[str, str]]:
    """Yield the Secrets that the site makes: by a Job that says so, or by cert-manager."""
    for item in objects:
        namespace = key_of(item).namespace
        if item["kind"] == "Certificate":
            yield namespace, item["spec"]["secretName"]
        yield from ((namespace, name) for name in annotation(item, MAKES_SECRETS).split(",") if name)

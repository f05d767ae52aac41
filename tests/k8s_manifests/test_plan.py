"""What a plan says: every field that differs, nothing that does not, and no secret."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from k8s_manifests.objects import Key
from k8s_manifests.plan import Act, differences, redacted, step_for

KEY = Key("apps/v1", "Deployment", "site", "xcache")
SECRETS = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl",
)


def deployment() -> dict[str, Any]:
    container = {"name": "xrootd", "image": "xcache:1", "env": [{"name": "A", "value": "1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "xcache", "labels": {"app.kubernetes.io/name": "xcache"}, "resourceVersion": "1"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [container, {"name": "cmsd", "image": "x:1"}]}}},
        "status": {"replicas": 1},
    }


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.path, each.before, each.after) for each in differences(before, after)]


def test_what_is_not_there_is_created_and_what_is_the_same_is_kept() -> None:
    assert step_for(None, deployment(), KEY).act is Act.CREATE
    later = deployment() | {"status": {"replicas": 7}}
    later["metadata"] = {**later["metadata"], "resourceVersion": "9", "generation": 4, "managedFields": []}
    assert step_for(deployment(), later, KEY).act is Act.KEEP


def test_fields_are_called_as_people_call_them() -> None:
    after = deployment()
    after["spec"]["replicas"] = 2
    after["spec"]["template"]["spec"]["containers"][0]["image"] = "xcache:2"
    after["metadata"]["labels"]["example.org/new"] = "yes"
    assert told(deployment(), after) == [
        ('metadata.labels["example.org/new"]', "", "yes"),
        ("spec.replicas", "1", "2"),
        ("spec.template.spec.containers[xrootd].image", "xcache:1", "xcache:2"),
    ]


def test_containers_that_come_go_and_change_places_are_told() -> None:
    after = deployment()
    containers = after["spec"]["template"]["spec"]["containers"]
    containers.reverse()
    assert told(deployment(), after) == [("spec.template.spec.containers", "xrootd, cmsd", "cmsd, xrootd")]
    del containers[0]
    assert [path for path, _, _ in told(deployment(), after)] == ["spec.template.spec.containers[cmsd]"]


def test_a_text_is_told_line_by_line() -> None:
    before = {"kind": "ConfigMap", "data": {"xrootd.cfg": "all.role server\npfc.ram 1g\n"}}
    after = {"kind": "ConfigMap", "data": {"xrootd.cfg": "all.role server\npfc.ram 2g\n"}}
    path = 'data["xrootd.cfg"]'
    assert told(before, after) == [(path, "pfc.ram 1g", ""), (path, "", "pfc.ram 2g")]


def test_a_secrets_content_is_never_told() -> None:
    before = {"kind": "Secret", "data": {"key": "b2xk", "gone": "Z29uZQ=="}}
    after = {"kind": "Secret", "data": {"key": "bmV3"}, "stringData": {"plain": "hunter2"}}
    found = str(told(before, after))
    assert "data.key" in found
    assert not any(secret in found for secret in ("b2xk", "bmV3", "Z29uZQ", "hunter2"))


def test_what_looks_like_a_key_or_a_token_is_not_told_wherever_it_stands() -> None:
    for secret in SECRETS:
        after = deployment()
        after["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = secret
        after["metadata"]["annotations"] = {"note": f"before {secret} after\nand a line"}
        found = str(told(deployment(), after))
        assert "(hidden)" in found
        assert "MIIEow" not in found
        assert "eyJ" not in found
        assert redacted(f"x {secret} y") == "x (hidden) y"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab\n", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "a", "b/c"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(_VALUES, _VALUES)
def test_differences_are_there_exactly_when_something_differs(before: object, after: object) -> None:
    old, new = {"kind": "X", "metadata": {}, "spec": before}, {"kind": "X", "metadata": {}, "spec": after}
    assert bool(list(differences(old, new))) == (before != after)
    assert not list(differences(old, copy.deepcopy(old)))

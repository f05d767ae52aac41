"""A site of real pods: whatever of it is moved, killed or upgraded, who reads through it does not notice."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.outside import PAGE, Outside
from tests.cluster.reader import Reader
from tests.cluster.site import Site

pytestmark = pytest.mark.cluster

# what a rollout of everything changes: a little of what each container asks for
_CPU: Mapping[str, Any] = {"resources": {"requests": {"cpu": "11m"}}}


def test_files_are_read_through_the_caches_with_a_proxy_from_a_pods_token(reader: Reader) -> None:
    with reader.unharmed():
        pass


def test_a_person_reads_with_a_proxy_from_a_token_of_the_iam(site: Site, reader: Reader, outside: Outside) -> None:
    with reader.unharmed():
        person = reader.exchange(outside.token("jane"), site.daemon_url)
        assert reader.read(site.source, person)


def test_storage_lets_in_the_caches_and_not_their_readers(reader: Reader, outside: Outside) -> None:
    with reader.unharmed():
        assert not reader.read(outside.storage)


def test_squid_fetches_from_its_destinations_alone(site: Site, outside: Outside) -> None:
    assert outside.fetch(outside.web_url, proxy=site.squid_url) == (200, PAGE)
    for elsewhere in (f"http://{outside.host('iam')}/", outside.web_url.replace("web.", "other.")):
        status, _ = outside.fetch(elsewhere, proxy=site.squid_url)
        assert status == 403, elsewhere


def test_caches_tell_prometheus_how_they_are(site: Site, outside: Outside, reader: Reader) -> None:
    reader.after(2)
    for cache in site.pods("xcache/cache"):
        status, told = outside.fetch(f"http://{site.address(cache)}:9109/metrics")
        assert status == 200
        assert "xrootd_" in told


def test_an_upgrade_that_changes_nothing_restarts_nothing(site: Site) -> None:
    before = site.kube.lives(site.namespace)
    site.bring_up()
    assert site.kube.lives(site.namespace) == before


def test_a_daemon_is_lost_while_its_readers_need_it(site: Site, reader: Reader) -> None:
    with reader.unharmed():
        daemon, *_ = site.pods("ttscache/daemon")
        site.kube.kill(site.namespace, daemon)
        reader.renew()
        site.kube.wait_ready(site.namespace)


def test_every_pod_moves(site: Site, reader: Reader) -> None:
    """As nodes are drained: each pod is evicted when the others are ready again."""
    with reader.unharmed():
        for name in site.pods():
            site.kube.move(site.namespace, name)
        reader.renew()


def test_an_upgrade_rolls(site: Site, reader: Reader) -> None:
    before = site.kube.lives(site.namespace)
    with reader.unharmed():
        site.bring_up(
            ttscache={"daemon": _CPU, "redis": _CPU}, squid={"squid": _CPU}, xcache={"cache": _CPU, "redirector": _CPU}
        )
        reader.renew()
    assert not [name for name in site.pods() if site.kube.lives(site.namespace).keys() & before.keys()]

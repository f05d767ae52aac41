"""From where somebody asks: what the limits count by."""

import pytest

from ttscache.server.asking import _network


@pytest.mark.parametrize(
    "address,counted",
    [
        (None, "unix"),
        ("", "unix"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_host_is_counted_once_however_many_addresses_it_has(address: str | None, counted: str) -> None:
    assert _network(address) == counted

"""The clock of a running daemon jumps, live."""

import asyncio

from cryptography import x509

from tests.faults.daemons import DAY, Site

HOUR = 3600
# over the soft age, over the end, back before the beginning, far away and home again
JUMPS = [0, 35 * 60, 2 * HOUR, -2 * HOUR, -200, 3 * HOUR, -3 * DAY, 3 * DAY, 0, HOUR - 30, 0]


def within(pem: bytes, moment: float) -> bool:
    """Whether each certificate of a credential is valid at this time."""
    return all(
        each.not_valid_before_utc.timestamp() <= moment < each.not_valid_after_utc.timestamp()
        for each in x509.load_pem_x509_certificates(pem)
    )


async def test_no_expired_and_no_future_credential_and_no_storm(site: Site) -> None:
    # the CA is to be older than the farthest jump back
    site.set_clock(-10 * DAY)
    await site.start()
    token = site.token()
    for jump in JUMPS:
        site.set_clock(jump)
        for _ in range(4):
            served = await site.fetch(token)
            assert served.status == 200, (jump, served.body)
            assert within(served.body, site.now), jump
    # in a thread, for a refresh behind may still want the IAM's answer
    assert await asyncio.to_thread(site.stop) == 0
    # one for each jump that makes the session look old or not yet confirmed, none for each request
    assert site.iam.counters.grants["refresh_token"] <= len(JUMPS)
    assert site.iam.counters.grants["token_exchange"] == 1
    assert "Traceback" not in site.log

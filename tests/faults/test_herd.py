"""Thousands of clients ask replicas over one Redis at once: one exchange and one certificate for each identity."""

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from proxy_gen.names import DistinguishedName
from tests.broker.world import until
from tests.tools.replicas import Fleet, Replica, crowd, fleet_in
from ttscache.sandbox.iam import Fault

IDENTITIES = 50


@dataclass(frozen=True)
class Answered:
    username: str
    status: int
    body: bytes
    retried: bool


async def fetch(port: int, token: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET /v1/proxy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), await reader.read()
    finally:
        writer.close()


async def client(fleet: Fleet, replicas: Sequence[Replica], number: int, tokens: dict[str, str]) -> Answered:
    """Ask one replica; a connection that is lost is tried once more, at the next one."""
    username = f"user{number % IDENTITIES}"
    first = number % len(replicas)
    try:
        status, body = await fetch(replicas[first].port, tokens[username])
    except (OSError, asyncio.IncompleteReadError):
        others = [each for each in replicas if each.process.poll() is None]
        status, body = await fetch(others[number % len(others)].port, tokens[username])
        return Answered(username, status, body, retried=True)
    return Answered(username, status, body, retried=False)


def own_credential(answered: Answered) -> None:
    assert answered.status == 200, answered.body
    chain = x509.load_pem_x509_certificates(answered.body)
    assert b"PRIVATE KEY" in answered.body
    assert DistinguishedName(chain[-1].subject).slash == f"/DC=ch/DC=example/CN={answered.username}"


def certificates(answers: Sequence[Answered]) -> Counter[str]:
    """Count the end-entity certificates by identity."""
    found = {(each.username, x509.load_pem_x509_certificates(each.body)[-1].serial_number) for each in answers}
    return Counter(username for username, _ in found)


@pytest.fixture(autouse=True)
def _many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("replicas, clients", [(2, 5000), (3, 1500)])
async def test_one_exchange_and_one_certificate_for_each_identity(tmp_path: Path, replicas: int, clients: int) -> None:
    async with fleet_in(tmp_path, crowd(IDENTITIES)) as (fleet, _):
        running = await asyncio.gather(*(fleet.start() for _ in range(replicas)))
        tokens = {f"user{i}": fleet.token(f"user{i}") for i in range(IDENTITIES)}
        answers = await asyncio.gather(*(client(fleet, running, i, tokens) for i in range(clients)))
        for answer in answers:
            own_credential(answer)
        assert not any(answer.retried for answer in answers)
        assert fleet.iam.counters.grants == {"token_exchange": IDENTITIES}
        issued = [line for each in running for line in each.log() if line["event"] == "credential_issued"]
        assert len({line["eec_serial"] for line in issued}) == IDENTITIES
        assert set(certificates(answers).values()) == {1}


@pytest.mark.timeout(240)
async def test_a_replica_dies_in_the_middle(tmp_path: Path) -> None:
    async with fleet_in(tmp_path, crowd(IDENTITIES)) as (fleet, _):
        running = [await fleet.start() for _ in range(3)]
        tokens = {f"user{i}": fleet.token(f"user{i}") for i in range(IDENTITIES)}
        # the first exchanges hang, so that the one that is killed is in the middle of some
        fleet.iam.faults.add(Fault(grant="token_exchange", delay=1.0))
        asked = [asyncio.create_task(client(fleet, running, i, tokens)) for i in range(1500)]
        await until(lambda: fleet.iam.counters.grants["token_exchange"] >= IDENTITIES // 2)
        running[0].kill()
        fleet.iam.faults.clear()
        answers = await asyncio.gather(*asked)
        for answer in answers:
            own_credential(answer)
        assert any(answer.retried for answer in answers)
        held = sum(1 for line in running[0].log() if line["event"] == "session_opened")
        begun = fleet.iam.counters.grants["token_exchange"]
        # twelve at a time are under way in one process
        assert begun <= IDENTITIES + 12, (begun, held)
        sessions = {line["subject"] for each in running[1:] for line in each.log() if line["event"] == "session_opened"}
        assert len(sessions) + held >= IDENTITIES
        assert set(certificates(answers).values()) == {1}

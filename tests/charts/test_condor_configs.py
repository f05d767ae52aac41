"""HTCondor's own reading of what the charts wn and htcondor write: configuration, START, tokens, users of payloads."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.acceptance.condor_collector import collector
from tests.acceptance.shims import build
from tests.charts.cases import Case, of_chart, over
from tests.charts.objects import Json, Pods, name_of, pods
from tests.charts.rendering import refused, render
from tests.tools.minting import write_private
from tests.tools.programs import PATIENCE, Verdict, environment, need, run
from ttscache.authority.condor import SigningKey, issue_idtoken

classad2 = pytest.importorskip("classad2")

Child = Callable[..., Any]
Knobs = Callable[..., dict[str, str]]
Starts = Callable[..., bool]

WN: Json = {"site": {"name": "T3_XX_Site"}, "pool": {"collectors": ["cm.pool.example"]}}
OWN: Json = {"auth": {"trustDomain": "pool.example"}}
CASES = [given for chart in ("wn", "htcondor") for given in of_chart(chart)]

# as the pod's environment has them
_POD = {"_CONDOR_NUM_CPUS": "8", "_CONDOR_MEMORY": "16384"}
_READ = """
import htcondor2, json, sys
known = {name.upper() for name in htcondor2.param.keys()}
print(json.dumps({name: str(htcondor2.param[name]) for name in json.load(sys.stdin) if name.upper() in known}))
"""
# with the functions that HTCondor adds to ClassAds
_MATCH = """
import classad2, htcondor2, json, sys
slot, job = json.load(sys.stdin)
ad = classad2.ClassAd(f"[GLIDEIN_CMSSite = {htcondor2.param.get('GLIDEIN_CMSSite', 'undefined')}; {slot}]")
start = classad2.ExprTree(htcondor2.param["START"])
print(json.dumps(start.eval(ad, classad2.ClassAd(job)) is True))
"""
_EXPORTER = [sys.executable, "-m", "k8s_manifests.exporters.condor", "--once"]


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """Run a program of Python's with HTCondor's bindings under a configuration; JSON goes in and comes out."""

    def told(program: str, text: str, *given: object) -> Any:  # noqa: ANN401 - JSON
        file = tmp_path / "condor_config"
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(CONDOR_CONFIG=file, **_POD),
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return told


@pytest.fixture
def knobs(child: Child) -> Knobs:
    """Have HTCondor read a configuration, and say what it knows of the knobs by these names."""

    def read(text: str, *names: str) -> dict[str, str]:
        found: dict[str, str] = child(_READ, text, *names)
        return found

    return read


@pytest.fixture
def starts(child: Child) -> Starts:
    """Evaluate START as a negotiator does, for a slot with these attributes and a job."""

    def matched(values: Json, job: str, slot: str, chart: str = "wn", component: str = "startd") -> bool:
        text = data_of(render(chart, values), component)["site.conf"]
        now = int(time.time())
        return bool(child(_MATCH, text, slot.format(now=now, hour_ago=now - 3600), job))

    return matched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("g++")
    return build("condor_collector.cpp", tmp_path_factory.mktemp("condor_collector"))


def data_of(objects: Iterable[Json], component: str) -> Json:
    """Return what is in a component's ConfigMap."""
    (data,) = (
        item["data"]
        for item in objects
        if item["kind"] == "ConfigMap" and item["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    assert isinstance(data, dict)
    return data


def pod_of(objects: list[Json], component: str) -> Pods:
    (found,) = (one for one in pods(objects) if one.name.endswith(f"/{component}"))
    return found


def container_of(one: Pods, name: str) -> Json:
    (found,) = (each for each in one.containers() if each["name"] == name)
    return found


def configs(objects: Iterable[Json]) -> dict[str, str]:
    """Return every configuration of HTCondor's in a release, by its ConfigMap's name."""
    texts = {}
    for item in objects:
        for key in ("site.conf", "condor_config"):
            if item["kind"] == "ConfigMap" and key in item["data"]:
                texts[name_of(item)] = item["data"][key]
    return texts


@pytest.mark.parametrize("given", CASES, ids=str)
def test_htcondor_reads_every_configuration_and_knows_every_name_in_it(given: Case, knobs: Knobs) -> None:
    for name, text in configs(given.render()).items():
        statements = [line for line in text.splitlines() if not line.startswith("#")]
        used = set(re.findall(r"\$\((\w+)", "\n".join(statements)))
        assert not used - set(knobs(text, *used)), name
        secure = {f"SEC_DEFAULT_{what}" for what in ("AUTHENTICATION", "INTEGRITY", "ENCRYPTION")}
        assert knobs(text, *secure) == dict.fromkeys(secure, "REQUIRED"), name


def test_a_configuration_that_cannot_be_read_is_noticed(knobs: Knobs) -> None:
    with pytest.raises(AssertionError):
        knobs("if broken\nTHIS is no statement\n")
    assert knobs("A = $(B)x\n", "A", "B") == {"A": "x"}


def test_the_slot_is_what_the_pod_has(knobs: Knobs) -> None:
    objects = render("wn", over(WN, {"startd": {"resources": {"requests": {"cpu": "4"}}}}))
    startd = container_of(pod_of(objects, "startd"), "startd")
    fields = {each["name"]: each["valueFrom"]["resourceFieldRef"] for each in startd["env"] if "valueFrom" in each}
    assert fields == {
        "_CONDOR_NUM_CPUS": {"resource": "requests.cpu"},
        "_CONDOR_MEMORY": {"resource": "limits.memory", "divisor": "1Mi"},
    }
    got = knobs(data_of(objects, "startd")["site.conf"], "NUM_CPUS", "MEMORY", "SLOT_TYPE_1", "RESERVED_MEMORY")
    assert got == {"NUM_CPUS": "8", "MEMORY": "16384", "SLOT_TYPE_1": "100%", "RESERVED_MEMORY": "256"}


def test_a_port_of_the_range_is_drawn_for_each_collector(knobs: Knobs) -> None:
    pool = {"collectors": ["one", "two:9700", "three:9650-9651"], "ports": "9621-9720"}
    text = data_of(render("wn", over(WN, {"pool": pool})), "startd")["site.conf"]
    ports = []
    for _ in range(3):
        got = knobs(text, "COLLECTOR_HOST", "CCB_ADDRESS")
        for name in got:
            match = re.fullmatch(r"one:(\d+), two:9700, three:(965[01])", got[name])
            assert match, got
            ports.append(int(match[1]))
    assert all(9621 <= port <= 9720 for port in ports)
    assert len(set(ports)) > 1


def test_questions_go_to_one_port_of_each_collector() -> None:
    pool = {"collectors": ["one", "two:9700", "three:9650-9651"]}
    demand = container_of(pod_of(render("wn", over(WN, {"pool": pool})), "demand"), "demand")
    asked = [each for each in demand["args"] if each.startswith("--collector")]
    assert asked == ["--collector=one:9618", "--collector=two:9700", "--collector=three:9618"]


def test_attributes_are_what_was_said(knobs: Knobs) -> None:
    said = {
        "GLIDEIN_Max_Walltime": 171000,
        "HasThis": True,
        "Text": "it's | a <text> & more; ü",
        "Empty": "",
        "Half": 0.5,
    }
    text = data_of(render("wn", over(WN, {"site": {"attributes": said}})), "startd")["site.conf"]
    got = knobs(text, "STARTD_ATTRS", *said, "GLIDEIN_Site", "GLIDEIN_CMSSite", "GLIDEIN_Gatekeeper")
    assert set(got.pop("STARTD_ATTRS").split()) == set(got)
    values = {name: classad2.ExprTree(value).eval() for name, value in got.items()}
    assert values == said | dict.fromkeys(["GLIDEIN_Site", "GLIDEIN_CMSSite", "GLIDEIN_Gatekeeper"], "T3_XX_Site")


# CvmfsCheckedAt is put in when a test runs: what was looked at when this file was read is old news by then
WELL = "CvmfsOk = true; CvmfsCheckedAt = {now}"


@pytest.mark.parametrize(
    "job,starts_here",
    [
        ('[DESIRED_Sites = "T2_YY_Other,T3_XX_Site"]', True),
        ('[DESIRED_Sites = "T2_YY_Other, t3_xx_site"; RequestCpus = 8]', True),
        ('[DESIRED_Sites = "T2_YY_Other"]', False),
        ('[DESIRED_Sites = "T3_XX_Site_2"]', False),
        ('[DESIRED_Sites = ""]', False),
        ("[RequestCpus = 1]", False),
        ('[DESIRED_Sites = "T3_XX_Site"; RequestCpus = 0]', False),
        ('[DESIRED_Sites = {"T3_XX_Site"}]', False),
    ],
)
def test_jobs_that_name_the_site_are_started(starts: Starts, job: str, starts_here: bool) -> None:  # noqa: FBT001
    assert starts(WN, job, WELL) is starts_here


@pytest.mark.parametrize(
    "slot,is_open",
    [
        (WELL, True),
        ("", False),
        (WELL.replace("true", "false"), False),
        (WELL.replace("{now}", "{hour_ago}"), False),
    ],
    ids=["well", "not-looked-at-yet", "away", "hangs"],
)
def test_no_job_is_started_without_cvmfs(starts: Starts, slot: str, is_open: bool) -> None:  # noqa: FBT001
    assert starts(WN, '[DESIRED_Sites = "T3_XX_Site"]', slot) is is_open
    assert starts(over(WN, {"cvmfs": {"kind": "none"}}), '[DESIRED_Sites = "T3_XX_Site"]', slot)


def test_what_is_started_is_a_value(starts: Starts) -> None:
    values = over(WN, {"startd": {"start": 'TARGET.Owner == "jane" || false'}})
    assert starts(values, '[Owner = "jane"]', WELL)
    assert not starts(values, '[Owner = "joe"]', WELL)
    assert not starts(values, '[Owner = "jane"]', "")
    assert starts(OWN, '[Owner = "joe"]', "", "htcondor", "execute")


@pytest.mark.parametrize("chart,component,values", [("wn", "startd", WN), ("htcondor", "execute", OWN)])
def test_a_pod_that_ends_lets_jobs_end_within_its_grace_period(
    knobs: Knobs, chart: str, component: str, values: Json
) -> None:
    objects = render(chart, values)
    names = ("MAXJOBRETIREMENTTIME", "MachineMaxVacateTime", "SHUTDOWN_GRACEFUL_TIMEOUT")
    got = knobs(data_of(objects, component)["site.conf"], *names)
    retirement, vacating, shutdown = (int(got[name]) for name in names)
    assert retirement + vacating < shutdown < pod_of(objects, component).spec["terminationGracePeriodSeconds"]


def test_payloads_have_an_environment_of_their_own(knobs: Knobs) -> None:
    values = over(WN, {"environment": {"MORE": "one"}, "credentials": {"bearer": {"enabled": True}}})
    objects = render("wn", values)
    got = knobs(data_of(objects, "startd")["site.conf"], "STARTER_JOB_ENVIRONMENT", "JOB_INHERITS_STARTER_ENVIRONMENT")
    theirs = dict(word.split("=", 1) for word in got["STARTER_JOB_ENVIRONMENT"].strip('"').split())
    assert got["JOB_INHERITS_STARTER_ENVIRONMENT"].lower() == "false"
    startd = container_of(pod_of(objects, "startd"), "startd")
    pilots = {each["name"]: each["value"] for each in startd["env"] if "value" in each}
    assert set(pilots) - set(theirs) == {"X509_USER_PROXY", "BEARER_TOKEN_FILE"}
    assert theirs["CMS_LOCAL_SITE"] == "T3_XX_Site"
    assert theirs["MORE"] == "one"
    assert not [value for value in theirs.values() if "/run/credentials" in value]


@pytest.mark.parametrize("chart,component,values", [("wn", "startd", WN), ("htcondor", "execute", OWN)])
def test_each_part_of_a_slot_has_a_user(knobs: Knobs, chart: str, component: str, values: Json) -> None:
    values = over(values, {component: {"resources": {"requests": {"cpu": 3}}}, "payload": {"firstUid": 30000}})
    data = data_of(render(chart, values), component)
    users = {line.split(":")[0]: line.split(":")[2:4] for line in data["passwd"].splitlines()}
    slots = [f"slot1_{number}" for number in (1, 2, 3)]
    assert {name: users[name] for name in users if name.startswith("slot")} == {
        "slot1_1": ["30000", "30000"],
        "slot1_2": ["30001", "30001"],
        "slot1_3": ["30002", "30002"],
    }
    assert [line.split(":")[0] for line in data["group"].splitlines()] == list(users)
    got = knobs(data["site.conf"], *(f"{slot}_USER" for slot in slots), "DEDICATED_EXECUTE_ACCOUNT_REGEXP")
    dedicated = got.pop("DEDICATED_EXECUTE_ACCOUNT_REGEXP")
    assert list(got.values()) == slots
    assert all(re.fullmatch(dedicated, name) for name in slots)
    assert not any(re.fullmatch(dedicated, name) for name in ("root", "condor", "nobody"))


def test_without_root_payloads_go_through_the_wrapper(knobs: Knobs) -> None:
    objects = render("wn", over(WN, {"payload": {"isolation": "wrapper", "wrapper": "/usr/local/bin/contained"}}))
    data, one = data_of(objects, "startd"), pod_of(objects, "startd")
    assert knobs(data["site.conf"], "USER_JOB_WRAPPER", "SLOT1_1_USER") == {
        "USER_JOB_WRAPPER": "/usr/local/bin/contained"
    }
    assert "slot1" not in data["passwd"]
    for container in one.containers():
        context = one.spec["securityContext"] | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert "add" not in context["capabilities"]
    assert "wrapper" in refused("wn", over(WN, {"payload": {"isolation": "wrapper"}}))


@pytest.mark.parametrize("file,verdict", [("there", "true"), ("gone", "false")])
def test_the_watchdog_prints_what_an_ad_is_made_of(tmp_path: Path, file: str, verdict: str) -> None:
    script = tmp_path / "cvmfs.sh"
    script.write_text(data_of(render("wn", WN), "startd")["cvmfs.sh"])
    (tmp_path / "there").touch()
    done = run(["sh", script, tmp_path / "there", tmp_path / file])
    ad = classad2.ClassAd(f"[{'; '.join(done.text.splitlines())}]")
    assert ad["CvmfsOk"] is (verdict == "true")
    assert abs(ad["CvmfsCheckedAt"] - time.time()) < PATIENCE


def test_a_pod_for_each_so_many_cores() -> None:
    scaled = {"startd": {"resources": {"requests": {"cpu": "6"}}, "autoscaling": {"enabled": True}}}
    (hpa,) = (item for item in render("wn", over(WN, scaled)) if item["kind"] == "HorizontalPodAutoscaler")
    (metric,) = hpa["spec"]["metrics"]
    assert metric["object"]["target"] == {"type": "AverageValue", "averageValue": "6"}
    keda = over(
        scaled, {"startd": {"autoscaling": {"kind": "keda", "minReplicas": 0, "prometheus": "http://prometheus"}}}
    )
    (scaler,) = (item for item in render("wn", over(WN, keda)) if item["kind"] == "ScaledObject")
    (trigger,) = scaler["spec"]["triggers"]
    # no answer of Prometheus' is no zero
    assert (trigger["metadata"]["threshold"], trigger["metadata"]["ignoreNullValues"]) == ("6", "false")


@pytest.mark.parametrize(
    "values,why",
    [
        ({"startd": {"autoscaling": {"enabled": True}}, "demand": {"enabled": False}}, "needs the demand"),
        ({"startd": {"autoscaling": {"enabled": True, "minReplicas": 0}}}, "an HPA keeps one at least"),
        ({"startd": {"autoscaling": {"enabled": True, "kind": "keda"}}}, "where does KEDA ask"),
        ({"startd": {"resources": {"requests": {"cpu": "500m"}}}}, "startd"),
        ({"startd": {"terminationGracePeriodSeconds": 60}}, "terminationGracePeriodSeconds"),
        ({"site": {"name": ""}}, "GLIDEIN_Site"),
        ({"site": {"name": "two words"}}, "name"),
        ({"site": {"attributes": {"A": 'quo"te'}}}, "attributes"),
        ({"site": {"attributes": {"A": "$(B)"}}}, "attributes"),
        ({"pool": {"collectors": []}}, "which pool is joined"),
        ({"pool": {"collectors": ["https://cm"]}}, "collectors"),
        ({"environment": {"A": "two words"}}, "environment"),
        ({"cvmfs": {"kind": "claim", "claimName": ""}}, "claimName"),
        ({"cvmfs": {"watch": []}}, "watch"),
    ],
)
def test_nonsense_is_refused(values: Json, why: str) -> None:
    assert why in refused("wn", over(WN, values))


def test_a_cluster_without_ephemeral_volumes_is_not_asked_for_one() -> None:
    values = over(WN, {"startd": {"scratch": {"storageClassName": "fast"}}})
    assert "no generic ephemeral volumes" in refused("wn", values, "1.20.2")
    (work,) = (each for each in pod_of(render("wn", values), "startd").spec["volumes"] if each["name"] == "work")
    assert work["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "fast"


def test_jobs_flock_and_are_routed(knobs: Knobs) -> None:
    values = {"flock": {"to": ["cm.other.example"], "from": ["ap@other.example"]}, "router": {"enabled": True}}
    routes = "JOB_ROUTER_ROUTE_NAMES = one\nJOB_ROUTER_ROUTE_one @=end\n  UNIVERSE vanilla\n@end\n"
    objects = render("htcondor", over(OWN, over(values, {"router": {"config": routes}})))
    names = ("FLOCK_TO", "DAEMON_LIST", "JOB_ROUTER_ROUTE_NAMES", "JOB_ROUTER_ROUTE_one")
    got = knobs(data_of(objects, "submit")["site.conf"], *names)
    assert (got["FLOCK_TO"], got["JOB_ROUTER_ROUTE_NAMES"]) == ("cm.other.example", "one")
    assert got["DAEMON_LIST"].split(", ") == ["MASTER", "SHARED_PORT", "SCHEDD", "JOB_ROUTER"]
    assert "UNIVERSE vanilla" in got["JOB_ROUTER_ROUTE_one"]
    allowed = knobs(data_of(objects, "cm")["site.conf"], "ALLOW_ADVERTISE_SCHEDD", "ALLOW_ADVERTISE_STARTD")
    assert allowed["ALLOW_ADVERTISE_SCHEDD"] == "submit@pool.example, ap@other.example"
    assert allowed["ALLOW_ADVERTISE_STARTD"] == "execute@pool.example"
    assert "which routes" in refused("htcondor", over(OWN, values))


# what follows has HTCondor's daemon core for a server


def placed(text: str, directory: Path) -> str:
    """Put the paths of a configuration below a directory."""
    return text.replace("/run/", f"{directory}/run/")


def asked(address: str, config: str, directory: Path, **extra: str) -> Verdict:
    """Ask for ads with a pod's configuration, by the exporter."""
    directory.mkdir(exist_ok=True)
    file = directory / "condor_config"
    file.write_text(config)
    return run([*_EXPORTER, f"--collector={address}", "--timeout=5"], env=environment(CONDOR_CONFIG=file, **extra))


def token(key: SigningKey, *levels: str, domain: str = "pool.example") -> bytes:
    scopes = [f"condor:/{level}" for level in levels]
    return issue_idtoken(key, trust_domain=domain, user="demand", scopes=scopes, now=time.time(), lifetime=600)[
        0
    ].encode()


@pytest.mark.acceptance
@pytest.mark.parametrize("key_id", ["POOL", "site"])
def test_a_token_of_ours_opens_a_pool_of_our_own(server: Path, tmp_path: Path, key_id: str) -> None:
    objects = render("htcondor", over(OWN, {"demand": {"enabled": True}, "auth": {"signingKey": {"key": key_id}}}))
    theirs = placed(data_of(objects, "cm")["site.conf"], tmp_path)
    ours = placed(data_of(objects, "demand")["condor_config"], tmp_path)
    keys, tokens = tmp_path / "run/condor-keys", tmp_path / "run/credentials/tokens.d"
    for made in (keys, tokens):
        made.mkdir(parents=True)
    write_private(keys / key_id, b"a key of the pool's")
    right = SigningKey.from_file_content(key_id, b"a key of the pool's", allow_pool_key=True)
    wrong = SigningKey.from_file_content(key_id, b"another key", allow_pool_key=True)
    with collector(server, tmp_path / "collector", ['[MyType = "Submitter"; IdleJobs = 7]'], theirs) as pool:

        def answer(content: bytes) -> Verdict:
            write_private(tokens / "site", content)
            return asked(pool.address, ours, tmp_path / "client")

        assert json.loads(answer(token(right, "READ")).text)["idle_jobs"] == 7, pool.log()
        assert not answer(token(wrong, "READ"))
        assert not answer(token(right, "ADVERTISE_SCHEDD", domain="other.example"))
        (tokens / "site").unlink()
        assert not asked(pool.address, ours, tmp_path / "client")


@pytest.mark.acceptance
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="the startd is root")
def test_probes_are_known_by_the_file_system_and_nobody_else_is(server: Path, tmp_path: Path) -> None:
    config = placed(data_of(render("wn", WN), "startd")["site.conf"], tmp_path)
    (tmp_path / "run/credentials/tokens.d").mkdir(parents=True)
    with collector(server, tmp_path / "collector", [], f"{config}ASKED_DEBUG = D_SECURITY\n") as startd:
        method = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}
        assert asked(startd.address, config, tmp_path / "client", **method), startd.log()
        assert "root@t3-xx-site" in startd.log()
        assert not asked(startd.address, config, tmp_path / "client")


CAPABILITIES = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
# leaves a directory like /tmp, and a process
PAYLOAD = 'id -u; id -G; mkdir -m 1777 tmp; touch tmp/file; cat "$0" && exit 7; sleep 600 >/dev/null 2>&1 & echo $!'


@pytest.fixture
def here() -> Iterator[Path]:
    """A folder that every user can reach, which those of pytest's are not."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories to others")
def test_directories_are_nobodys_to_take(here: Path) -> None:
    one = pod_of(render("wn", WN), "startd")
    container = container_of(one, "directories")
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    (script,) = container["args"]
    work, tmp = here / "work", here / "tmp"
    for made in (work, tmp):
        # as the kubelet makes an emptyDir
        made.mkdir()
        os.chown(made, 0, 64)
        made.chmod(0o2777)
    script = script.replace("1777 /tmp", f"1777 {tmp}").replace("/var/lib/condor", str(work))
    for _ in ("first", "again, when the pod's sandbox was made anew"):
        done = run(["setpriv", "--bounding-set=-all,+chown", "--no-new-privs", "sh", "-euc", script])
        assert done, done
    assert (work.stat().st_uid, work.stat().st_mode & 0o1777) == (0, 0o755)
    assert (tmp.stat().st_uid, tmp.stat().st_mode & 0o1777) == (0, 0o1777)
    found = {each.name: (each.stat().st_uid, each.stat().st_mode & 0o777) for each in work.iterdir()}
    assert found == dict.fromkeys(["execute", "lock", "log", "run", "spool"], (64, 0o755))


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("g++", "setpriv", "unshare")
    return build("condor_payload.cpp", tmp_path_factory.mktemp("condor_payload"))


@pytest.mark.acceptance
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes others")
@pytest.mark.parametrize("less", [None, *sorted(CAPABILITIES)])
def test_payloads_are_somebody_else_by_six_capabilities_and_not_by_five(
    payload: Path, here: Path, less: str | None
) -> None:
    objects = render("wn", WN)
    startd = container_of(pod_of(objects, "startd"), "startd")["securityContext"]
    assert set(startd["capabilities"]["add"]) == CAPABILITIES
    assert startd["allowPrivilegeEscalation"] is False
    data = data_of(objects, "startd")
    sandbox, secret = here / "execute", here / "proxy"
    sandbox.mkdir()
    os.chown(sandbox, 64, 64)
    write_private(secret, b"the pilot's")
    os.chown(secret, 64, 64)
    for name in ("passwd", "group"):
        (here / name).write_text(data[name])
    kept = ",".join(f"+{each.lower()}" for each in sorted(CAPABILITIES - {less}))
    done = run(
        [
            *("unshare", "--mount", "sh", "-c"),
            'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift && exec "$@"',
            *("sh", here, "setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs", shutil.copy(payload, here)),
            *("slot1_3", sandbox, "/bin/sh", "-c", PAYLOAD, secret),
        ],
        env=environment(CONDOR_CONFIG="ONLY_ENV", _CONDOR_CONDOR_IDS="64.64"),
    )
    left = [int(line) for line in done.text.splitlines()[2:] if line.isdecimal() and _runs(int(line))]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    somebody_else = done.text.startswith("20003\n20003\n") and "Permission denied" in done.text
    assert (bool(done) and somebody_else and not left and not [*sandbox.iterdir()]) is (less is None), done


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

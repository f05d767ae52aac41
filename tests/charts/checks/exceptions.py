"""Who may do what all others may not, and why. An exception that nobody needs any more fails a test."""

from tests.charts.objects import Pods

_BECOMES_USERS = "capabilities added: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID"
_JOBS = "each job is a user of its own, whose files others cannot read; only root can become one"
_OWNED = "makes directories and files that belong to root or to condor, as HTCondor wants to see them"
_CVMFS = "sees what the node's CernVM-FS has mounted"

# chart/component, container ("" for the pod), rule: the reason
EXCEPTIONS = {
    ("ttscache/daemon", "daemon", "token"): "asks its cluster's API server whether a pod's token is good",
    ("ttscache/keys", "keys", "token"): "creates the Secret with the site's keys",
    ("cvmfs/client", "", "host path"): "mounts into its node, and keeps its cache there",
    ("cvmfs/client", "client", "privileged"): "Kubernetes lets nobody else mount what other pods shall see",
    ("cvmfs/client", "client", "root"): "opens /dev/fuse, and mounts",
    ("cvmfs/client", "client", "writable root file system"): "keeps sockets and locks in many places",
    ("cvmfs/test", "", "host path"): _CVMFS,
    ("wn/startd", "", "host path"): _CVMFS,
    ("wn/startd", "directories", "root"): _OWNED,
    ("wn/startd", "directories", "capabilities added: CHOWN"): _OWNED,
    ("wn/startd", "startd", "root"): _JOBS,
    ("wn/startd", "startd", _BECOMES_USERS): _JOBS,
    ("htcondor/execute", "", "host path"): _CVMFS,
    ("htcondor/execute", "directories", "root"): _OWNED,
    ("htcondor/execute", "directories", "capabilities added: CHOWN"): _OWNED,
    ("htcondor/execute", "execute", "root"): _JOBS,
    ("htcondor/execute", "execute", _BECOMES_USERS): _JOBS,
    ("htcondor/submit", "directories", "root"): _OWNED,
    ("htcondor/submit", "directories", "capabilities added: CHOWN"): _OWNED,
    ("htcondor/submit", "keys", "root"): _OWNED,
    ("htcondor/submit", "tokens", "root"): _OWNED,
    ("htcondor/submit", "submit", "root"): "files of jobs belong to their users, whom only root can become",
    ("htcondor/submit", "submit", _BECOMES_USERS): "files of jobs belong to their users, whom only root can become",
}


def excused(one: Pods, container: str, rule: str) -> bool:
    """Return whether there is a reason for this container."""
    return (one.name, container, rule) in EXCEPTIONS

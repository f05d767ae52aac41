#!/bin/sh
# check.sh ready|live REPOSITORY...: ready when the root of each can be listed; alive when that of none that is mounted hangs
# or is dead. The root is in the cache from mounting on, so servers that are away are nothing that starting anew would mend.
set -u
asked=$1
shift
for repository in "$@"; do
    if grep -qF " /cvmfs/$repository " /proc/mounts; then
        timeout -s KILL 10 ls "/cvmfs/$repository" >/dev/null || { echo "/cvmfs/$repository cannot be listed"; exit 1; }
    elif [ "$asked" = ready ]; then
        echo "/cvmfs/$repository is not mounted"
        exit 1
    fi
done

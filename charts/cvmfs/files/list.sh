#!/bin/sh
# list.sh REPOSITORY...: fails unless each can be listed, and is more than the empty directory that it is mounted on.
set -u
for repository in "$@"; do
    entries=$(timeout -s KILL 60 ls "/cvmfs/$repository" | wc -l)
    echo "/cvmfs/$repository: $entries entries"
    grep -qF " /cvmfs/$repository " /proc/mounts || { echo "it is not mounted"; exit 1; }
    [ "$entries" -gt 0 ] || exit 1
done

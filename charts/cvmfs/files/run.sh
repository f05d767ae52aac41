#!/bin/sh
# run.sh REPOSITORY...: keeps repositories mounted below /cvmfs, and unmounts them when it is told to end.
# The image's own entry point mounts them as well, but ends at the first that cannot be mounted, and takes the others along.
set -u

mine=""

say() { echo "$(date -u +%FT%TZ) $*"; }

# What is mounted below /cvmfs, without touching it.
mounts() { while read -r _ place _; do case $place in /cvmfs/*) echo "$place" ;; esac; done </proc/mounts; }

# Whether nobody stands behind a mount any more: its process ended, and nobody unmounted it. (A process that hangs is another
# matter: what jobs have open there may yet come back, so it is left to the liveness probe.)
dead() { timeout -s KILL 10 ls "$1" 2>&1 >/dev/null | grep -q "not connected"; }

bury() {
    for place in $(mounts); do
        if dead "$place"; then
            say "$place is dead"
            umount -l "$place"
        fi
    done
}

# In the background, so that an order to end is not kept waiting.
mount_one() {
    say "mounting /cvmfs/$1"
    mkdir -p "/cvmfs/$1"
    cvmfs2 -o fsname=cvmfs2,system_mount,allow_other,grab_mountpoint "$1" "/cvmfs/$1" &
    wait $! && mine="$mine /cvmfs/$1 "
}

# Lazily: jobs have files open. What goes on being open ends with us.
end() {
    for place in $(mounts); do
        case $mine in
        *" $place "*)
            say "unmounting $place"
            umount -l "$place"
            ;;
        esac
    done
    seconds=0
    while [ $seconds -lt 10 ] && pidof cvmfs2 >/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
    done
    exit 0
}
trap end TERM INT

if grep -q " /cvmfs autofs " /proc/mounts; then
    say "this node mounts CernVM-FS itself: there is an automounter at /cvmfs"
    exit 1
fi
tail -F /var/log/cvmfs.log 2>/dev/null &

while :; do
    bury
    for repository in "$@"; do
        mounts | grep -qxF "/cvmfs/$repository" || mount_one "$repository"
    done
    sleep 10 &
    wait $!
done

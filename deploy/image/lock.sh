#!/usr/bin/env bash
# lock.sh [--upgrade]: writes requirements.txt (what the image runs) and build.txt (what builds its wheel) from
# pyproject.toml, each package with its version and the hashes of its files. Pins stay as they are unless --upgrade.
set -euo pipefail
cd "$(dirname "$0")/../.."
extras=(redis uvloop kubernetes condor)

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9

lock() { # lock SOURCE OUTPUT ARGUMENT...
  "$tools/bin/uv" pip compile "$1" --output-file "deploy/image/$2" --quiet --no-config --no-progress \
    --python-version 3.13 --python-platform linux --only-binary :all: --generate-hashes \
    --custom-compile-command deploy/image/lock.sh "${@:3}" >/dev/null
}
lock pyproject.toml requirements.txt "${extras[@]/#/--extra=}" "$@"
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
  lock - build.txt --no-annotate "$@"

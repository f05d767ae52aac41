#!/usr/bin/env bash
# venv.sh PYTHON DIR: a virtual environment with pip, also where Debian has split `ensurepip` off into python3-venv.
set -euo pipefail
python=$1
dir=$2

"$python" - <<'PY' || { echo "ttscache needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 2; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

if [ -x "$dir/bin/pip" ]; then exit 0; fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "this Python cannot make virtual environments; run as root: apt-get install python3-venv" >&2
    exit 2
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
"$python" -m venv "$dir"

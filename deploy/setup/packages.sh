#!/usr/bin/env bash
# The real software that `make test` runs against. Installs what is missing when root; says what is missing otherwise.
set -euo pipefail
declare -A package_of=(
  [openssl]=openssl
  [xrootd]=xrootd-server
  [xrdfs]=xrootd-client
  [curl]=curl
  [myproxy-server]=myproxy-server
  [myproxy-logon]=myproxy
  [grid-proxy-info]=globus-proxy-utils
  [voms-proxy-info]=voms-clients
  [strace]=strace
  [faketime]=faketime
  [setpriv]=util-linux
)
# these bring libraries, not commands
libraries=(xrootd-server-plugins xrootd-client-plugins xrootd-voms-plugins)

missing=()
for tool in "${!package_of[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
done
for library in "${libraries[@]}"; do
  dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'install ok installed' || missing+=("$library")
done
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

if [ "$(id -u)" -ne 0 ]; then
  echo "the tests need these Debian packages; run as root: apt-get install ${missing[*]}" >&2
  exit 2
fi
echo "installing Debian packages for the tests: ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

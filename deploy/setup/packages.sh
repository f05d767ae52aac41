#!/usr/bin/env bash
# packages.sh all | COMMAND...: the Debian packages that bring these commands (all: everything that the tests run).
# Installs what is missing when root; says what is missing otherwise.
set -euo pipefail
declare -A package_of=(
  [openssl]=openssl
  [curl]=curl
  [setpriv]=util-linux
  [strace]=strace
  [g++]=g++
  [gcc]=gcc
  [faketime]=faketime
  [systemd-analyze]=systemd
  [redis-server]=redis-server
  [squid]=squid
  [prometheus-squid-exporter]=prometheus-squid-exporter
  [promtool]=prometheus
  [xrootd]=xrootd-server
  [xrdfs]=xrootd-client
  [myproxy-server]=myproxy-server
  [myproxy-logon]=myproxy
  [grid-proxy-info]=globus-proxy-utils
  [voms-proxy-info]=voms-clients
  [voms-proxy-fake]=voms-clients
  [voms]=voms-server
  [mariadbd]=mariadb-server-core
  [mariadb]=mariadb-client-core
  [arcproxy]=nordugrid-arc-client
  [arched]=nordugrid-arc-hed
)
# these bring libraries, not commands
libraries=()
commands=("$@")
if [ "${1:-}" = all ]; then
  commands=("${!package_of[@]}")
  libraries=(xrootd-server-plugins xrootd-client-plugins xrootd-voms-plugins xrootd-scitokens-plugins)
  libraries+=(voms-mysql-plugin libgsoap-dev)
  libraries+=(libvomsapi1v5 liblcmaps0 lcmaps-basic-interface lcmaps-plugins-verify-proxy)
  libraries+=(lcmaps-plugins-basic-localaccount lcmaps-plugins-voms)
fi

missing=()
for command in "${commands[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
for library in "${libraries[@]}"; do
  dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'install ok installed' || missing+=("$library")
done
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

if [ "$(id -u)" -ne 0 ]; then
  echo "these Debian packages are missing; run as root: apt-get install ${missing[*]}" >&2
  exit 2
fi
echo "installing Debian packages: ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

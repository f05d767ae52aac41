#!/usr/bin/env bash
# A token in, a proxy out, on loopback. KEEP=1 leaves the sandbox running.
set -euo pipefail

directory=$(mktemp -d "${TMPDIR:-/tmp}/ttscache-demo.XXXXXX")
ready=$directory/ready
log=$directory/log

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# a session of its own, so that it outlives this terminal with KEEP=1
setsid ttscache sandbox --dir "$directory" --ready-file "$ready" >"$log" 2>&1 &
sandbox=$!
finish() {
  if kill "$sandbox" 2>/dev/null; then wait "$sandbox" 2>/dev/null || true; fi
  rm -rf "$directory"
}
trap finish EXIT

say "1. A sandbox starts: an IAM, a CA and the daemon, all on loopback"
for _ in $(seq 300); do
  [ -e "$ready" ] && break
  kill -0 "$sandbox" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done
[ -e "$ready" ] || { echo "the sandbox did not start in 30 s" >&2; cat "$log" >&2; exit 1; }
cat "$log"
# shellcheck source=/dev/null
. "$directory/env.sh"
unset BEARER_TOKEN BEARER_TOKEN_FILE TTSCACHE_PROFILE

say "2. User jane obtains a JWT from the IAM"
printf '$ ttscache sandbox token --dir %s --user jane > jane.jwt\n' "$directory"
(umask 077 && ttscache sandbox token --dir "$directory" --user jane >"$directory/jane.jwt")

say "3. The JWT is exchanged for an X.509 proxy over HTTPS; the private key is made here and stays here"
proxy=$directory/proxy.pem
run ttscache exchange --token-file "$directory/jane.jwt" -o "$proxy"

say "4. What it is"
run ttscache inspect "$proxy"

say "5. OpenSSL, which knows nothing of us, verifies it"
run openssl verify -allow_proxy_certs -x509_strict -CApath "$X509_CERT_DIR" -untrusted "$proxy" "$proxy"

say "6. Why this name and this account: the mapping rules, asked in order"
run ttscache explain --token-file "$directory/jane.jwt"

say "What to try next"
if [ -n "${KEEP:-}" ]; then
  trap - EXIT
  cat <<TXT
The sandbox goes on running (end it with: kill $sandbox). In another shell:

  export PATH=$(dirname "$(command -v ttscache)"):\$PATH
  . $directory/env.sh
  ttscache sandbox token --dir $directory --user joe > joe.jwt     # another user, with fewer groups
  ttscache explain --token-file joe.jwt                             # gets another account
  ttscache exchange --token-file joe.jwt --profile limited -o joe.pem
  ttscache exchange --token-file joe.jwt --min-left 30m -o joe.pem  # reused while it is good
  curl --cacert \$TTSCACHE_CA_FILE -H "Authorization: Bearer \$(cat joe.jwt)" \$TTSCACHE_URL/v1/whoami
  \$EDITOR $directory/ttscache.yaml && kill -HUP $sandbox             # change a rule, live
TXT
else
  cat <<'TXT'
  make demo KEEP=1            leaves the sandbox running, and says how to use it
  ttscache config schema      every key of the configuration, with its meaning
  docs/                       configuration, endpoints, the library
TXT
fi

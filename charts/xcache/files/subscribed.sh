# subscribed.sh REDIRECTOR COUNT: the redirector sends readers to so many caches, and each of them answers.
set -u
handshake=${0%/*}/handshake.sh
# the redirector asks for no login; it lists addresses and ports of those that have subscribed, in lines such as
# [::10.0.0.1]:1094 Server Read
found=$(xrdfs "root://$1" locate -h '*' | awk '$2 ~ /Server/ {print $1}' | sort -u)
echo "subscribed at $1:" $found
[ "$(wc -w <<<"$found")" -ge "$2" ] || { echo "fewer than $2"; exit 1; }
for cache in $found; do
  host=${cache%:*}
  host=${host#[}
  host=${host%]}
  host=${host#::}
  timeout 10 bash "$handshake" "${host#ffff:}" "${cache##*:}" || { echo "$cache does not answer"; exit 1; }
done

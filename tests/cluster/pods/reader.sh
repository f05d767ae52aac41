#!/bin/sh
# Reads files for ever, each attempt by a client of its own, and tells of each: NUMBER FILE MILLISECONDS ok, or what
# was wrong. In turns one that nobody has read yet, which the cache fetches, and one that it has. What the client does
# of itself is all that is done again.
number=0
while :; do
  number=$((number + 1))
  if [ $((number % 2)) -eq 1 ]; then file=$(((number / 2) % FILES)); else file=$(((number / 3) % FILES)); fi
  began=$(date +%s%3N)
  if got=$(xrdcp --silent --nopbar "$SOURCE/file-$file" - 2>&1) && [ "$got" = "content of file $file" ]; then
    told=ok
  else
    told="failed: $(printf %s "$got" | tr '\n' ' ' | cut -c 1-400)"
  fi
  echo "$number file-$file $(($(date +%s%3N) - began)) $told"
done

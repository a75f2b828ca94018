#!/usr/bin/env bash
# Checks decisions.pml with Spin, exhaustively within bounds, and then that each mutation is found.
#
#   check.sh          the smallest bounds and all mutations: a minute, 2 GB of memory
#   check.sh full     all bounds of README.md: three minutes, 4 GB
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in spin gcc; do
  command -v "$tool" >/dev/null || { echo "$tool is missing. Next: make setup EXTRA=yes"; exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# search BOUNDS…: prints what Spin found. Hash compaction takes two states whose 64-bit hashes are
# equal for one: for n states the chance of any such pair is about n²/2^65, 3 in 100 000 for 34 million.
search() {
  spin -a "$@" "$here/decisions.pml" >/dev/null
  gcc -O2 -DSAFETY -DHC4 -DNOREDUCE -DMEMLIM=6000 -o pan pan.c
  ./pan -m100000 -w26 >out
  grep -E 'assertion violated|invalid end|Search not completed|states, stored|errors:' out
}

holds() {
  local found
  found=$(search "$@")
  if [[ $found != *'errors: 0'* || $found == *'not completed'* ]]; then
    printf '%s: VIOLATED, or not searched in full:\n%s\n' "$*" "$found"
    exit 1
  fi
  printf '%-40s holds: %s\n' "$*" "$(grep -oE '[0-9]+ states, stored' <<<"$found")"
}

breaks() {
  local found
  found=$(search "$@")
  [[ $found == *'assertion violated'* ]] || { printf '%s: no violation found\n' "$*"; exit 1; }
  printf '%-40s found: %s\n' "$*" "$(grep -o 'assertion violated.*at depth [0-9]*' <<<"$found" | grep -o 'depth.*')"
}

holds -DT=2
if [[ ${1:-} == full ]]; then
  holds -DT=4 -DL=1
  holds -DT=2 -DITEMS=2
  holds -DT=2 -DCRASHES=2
fi
for rule in GATE ACK ITEMS STALE CLOSE TERM; do breaks -DT=3 "-DMUT_$rule"; done
breaks -DT=4 -DL=1 -DMUT_OLDTERM

#!/bin/sh
# find_cost.sh BINARY: instructions of a lookup through the library over the bare call in C, for each lookup. Fails when it is
# more than 30. Counted by callgrind, so it is the same on every run. Exit 77: no valgrind, or no ioctl.
set -eu
command -v valgrind >/dev/null || { echo "SKIPPED: cost: no valgrind"; exit 77; }
"$1" || exit $?
out=$(mktemp)
trap 'rm -f "$out" "$out.log"' EXIT
valgrind --tool=callgrind --callgrind-out-file="$out" "$1" >"$out.log" 2>&1 || { cat "$out.log" && exit 1; }
# inclusive FUNCTION: thousand lookups' instructions, those of the calls in it included
inclusive() {
    callgrind_annotate --inclusive=yes --threshold=100 "$out" | awk -v f=":$1 " 'index($0, f) { gsub(",", "", $1); print $1; exit }'
}
bare=$(inclusive bare_lookup)
ours=$(inclusive procmap_lookup)
echo "instructions a lookup: bare $((bare / 1000)), procmap $((ours / 1000)), more $(((ours - bare) / 1000))"
[ "$bare" -gt 20000 ] && [ $((ours - bare)) -le 30000 ]

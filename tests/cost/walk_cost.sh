#!/bin/sh
# walk_cost.sh BINARY: instructions of a walk through the library over the bare loop in C that asks for the same fields, for
# each of a thousand mappings. Fails when they are more than 80, or 100 with names. A query takes 0.2 to 0.4 µs, of which 3 %
# are 6 to 12 ns: time for some hundred instructions. Counted by callgrind, so it is the same on every run. Exit 77: no valgrind
# or no ioctl.
set -eu
command -v valgrind >/dev/null || { echo "SKIPPED: cost: no valgrind"; exit 77; }
"$1" || exit $?
out=$(mktemp)
trap 'rm -f "$out" "$out.log"' EXIT
valgrind --tool=callgrind --callgrind-out-file="$out" "$1" >"$out.log" 2>&1 || { cat "$out.log" && exit 1; }
# inclusive FUNCTION: its instructions, those of the calls in it included
inclusive() {
    callgrind_annotate --inclusive=yes --threshold=100 "$out" |
        awk -v f=":$1 " 'index($0, f) { gsub(",", "", $1); print $1; exit }'
}
failed=0
most=80
for what in walk walk_names; do
    bare=$(inclusive "bare_$what")
    ours=$(inclusive "procmap_$what")
    more=$(((ours - bare) / 1000))
    echo "instructions a mapping, $what: bare $((bare / 1000)), procmap $((ours / 1000)), more $more (at most $most)"
    [ "$bare" -gt 10000 ] && [ "$more" -le "$most" ] || failed=1
    most=100
done
exit $failed

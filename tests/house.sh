#!/bin/sh
# house.sh SOURCE_DIR: no header is longer than 250 lines, no public one names a type of procmap::detail in its interface, and no header
# in detail/ defines anything outside of procmap::detail. What is above another: cmake/check_layers.cmake.
set -eu
cd "$1/include/procmap"
failed=0
complain() {
    echo "$*"
    failed=1
}
count=0
for header in *.hpp detail/*.hpp; do
    lines=$(wc -l <"$header")
    [ "$lines" -le 250 ] || complain "$header: $lines lines: it has two subjects"
    count=$((count + 1))
done
[ "$count" -gt 20 ] || complain "there are only $count headers"

# The signature of a declaration is what stands in the scope of a namespace or class, before the brace of a body.
named=$(awk '
    FNR == 1 { depth = scope = 0; access = ""; hidden = 0 }
    { sub(/\/\/.*/, ""); gsub(/"[^"]*"/, "") }
    /^#/ { next }
    depth == scope && /^namespace .*\{/ { depth++; scope++; kind[depth] = "namespace"; if (/^namespace detail/) hidden = depth; next }
    depth == scope && /^ *((class|struct|union|enum) |template <.*> *(class|struct) )[^;(]*\{ *$/ {
        depth++; scope++; kind[depth] = "class"; level[depth] = /class/ && !/enum/ ? "private" : "public"; next
    }
    depth == scope && /^ *(public|private|protected):/ { sub(/^ */, ""); sub(/:.*/, ""); level[depth] = $0; next }
    {
        shown = depth == scope && !hidden
        for (d = 1; d <= depth; d++) if (kind[d] == "class" && level[d] != "public") shown = 0
        signature = $0
        sub(/\{.*/, "", signature)
        if (shown && signature ~ /detail::/ && signature !~ /(requires|template <)[^(]*detail::|^struct (std|fmt)::formatter/) print FILENAME ":" FNR ":" $0
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (c == "{") depth++
            if (c == "}") { if (hidden == depth) hidden = 0; if (depth == scope) scope--; depth-- }
        }
    }' *.hpp)
[ -z "$named" ] || complain "names of procmap::detail in an interface:
$named"

outside=$(awk '
    FNR == 1 { inside = 0 }
    /^namespace / { inside = /::detail/; next }
    /^}/ { next }
    !inside && /^(class|struct|enum|inline|constexpr|using|\[\[nodiscard\]\])/ { print FILENAME ":" FNR ":" $0 }' detail/*.hpp)
[ -z "$outside" ] || complain "defined in detail/, but public:
$outside"
exit $failed

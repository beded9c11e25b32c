#!/bin/sh
# module.sh SOURCE_DIR: modules/procmap.cppm exports every public name of the headers, and none that is not there. Clang lists the
# names; without one, exit 77.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
module=$source/modules/procmap.cppm

# That each exported name is there, any compiler can say: of the same text without the words of modules.
sed 's/^export module.*//; s/^module;//; s/^export //' "$module" >"$work/names.cpp"
c++ -std=c++20 -fsyntax-only -I"$source/include" "$work/names.cpp"

for clang in clang++ clang++-23 clang++-21 clang++-19 clang++-16 clang++-14 none; do
    ! command -v "$clang" >/dev/null || break
done
if [ "$clang" = none ]; then
    echo "SKIPPED: no clang++ to list the names of the headers"
    exit 77
fi
# format.hpp and fmt.hpp need std::format and {fmt}; they have no names of their own, only specializations.
sed -n '/^set(procmap_headers/,/^)/s/^ *include\/\(procmap\/.*hpp\)$/#include <\1>/p' "$source/cmake/headers.cmake" >"$work/all.cpp"
namespaces=$(cat "$source"/include/procmap/*.hpp |
    sed -n 's/^namespace \([a-z_]*\) {$/\1/p; s/^namespace procmap::inline PROCMAP_ABI::\([a-z_]*\) {$/\1/p' | sort -u | grep -vx detail)
"$clang" -std=c++20 -fsyntax-only -I"$source/include" -Xclang -ast-list "$work/all.cpp" >"$work/list"
# shellcheck disable=SC2086  # one word for each namespace
public=$(printf '%s|' $namespaces)
grep -E "^procmap::((${public%|})::)?[a-zA-Z_0-9]+\$" "$work/list" | grep -vxE "procmap::(v[0-9]+_[0-9]+|detail|${public%|})|procmap::.*::detail" >"$work/names"
# Of operators only those that are no friends, which a class brings along; they stand in the first column.
for header in "$source"/include/procmap/*.hpp; do
    awk '/^namespace procmap::inline PROCMAP_ABI::[a-z]* {/ { split($0, at, "::"); sub(/ {/, "", at[3]); space = at[3] "::" }
         /^namespace [a-z]* {/ { space = $2 "::" } /^}/ && /\/\/ namespace/ { space = "" }
         /^[^ \/].* operator[^ a-z(]+\(/ && !/::operator/ { match($0, /operator[^ a-z(]+/); print "procmap::" space substr($0, RSTART, RLENGTH) }' "$header"
done | grep -v ::detail:: >>"$work/names"
[ "$(sort -u "$work/names" | wc -l)" -gt 50 ] || { echo "the names were not listed"; exit 1; }

sed -n 's/^using \([^;]*\);.*/\1/p' "$module" | sort >"$work/exported"
sort -u "$work/names" | diff - "$work/exported" >"$work/diff" || {
    sed -n 's/^< /modules\/procmap.cppm does not export /p; s/^> /modules\/procmap.cppm exports, and no header has, /p' "$work/diff"
    exit 1
}
echo "$(wc -l <"$work/exported") names"

#!/bin/sh
# include_cost.sh COMPILER INCLUDE_DIR: preprocessed lines of each public header beside what <span>, <string_view> and
# <cstdint> make together, and the size of a program of ten lines. Fails when procmap/maps.hpp has more than twice those lines.
set -eu
compiler=$1
include=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# lines HEADER...: that are left of them behind the preprocessor, without empty ones and line marks
lines() {
    for header; do echo "#include <$header>"; done >"$work/lines.cpp"
    "$compiler" -std=c++20 -E -P -I"$include" "$work/lines.cpp" | grep -c .
}
base=$(lines span string_view cstdint)
row() { printf '%-44s %8d lines   %5s\n' "$1" "$2" "$(awk "BEGIN { printf \"%.2f\", $2 / $base }")"; }
row '<span> + <string_view> + <cstdint>' "$base"
for header in vector string format iostream fmt/format.h doctest/doctest.h; do
    echo "#include <$header>" | "$compiler" -std=c++20 -E -x c++ - >/dev/null 2>&1 || continue
    row "<$header>" "$(lines $header)"
done
for path in "$include"/procmap/*.hpp; do
    row "procmap/${path##*/}" "$(lines "procmap/${path##*/}")"
done

cat >"$work/ten.cpp" <<'END'
#include <procmap/maps.hpp>
#include <cstdio>
int main() {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    auto walk = self->walk();
    for (const procmap::mapping& m : walk)
        std::printf("%llx\n", static_cast<unsigned long long>(m.start));
    return walk.complete() ? 0 : 1;
}
END
"$compiler" -std=c++20 -O2 -I"$include" -c "$work/ten.cpp" -o "$work/ten.o"
size "$work/ten.o" |
    awk 'NR == 2 { printf "a program of ten lines: %d bytes of code and constants, %d of data\n", $1, $2 + $3 }'

maps=$(lines procmap/maps.hpp)
[ "$maps" -le $((2 * base)) ] || { echo "procmap/maps.hpp: $maps lines, more than twice $base"; exit 1; }

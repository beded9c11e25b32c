#!/bin/sh
# include_cost.sh COMPILER INCLUDE_DIR: fails when procmap/maps.hpp has more than twice the preprocessed lines of <span>,
# <string_view> and <cstdint> together. What each header costs: bench/including.py.
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
maps=$(lines procmap/maps.hpp)
[ "$maps" -le $((2 * base)) ] || { echo "procmap/maps.hpp: $maps lines, more than twice $base"; exit 1; }
echo "procmap/maps.hpp: $maps lines, where the three standard headers have $base"

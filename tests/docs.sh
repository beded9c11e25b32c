#!/bin/sh
# docs.sh SOURCE_DIR: every block of C++ in README.md and docs/ that is a program is compiled as it stands and run: exit 0.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
failed=0
for page in "$source"/README.md "$source"/docs/*.md; do
    name=$(basename "$page" .md)
    awk -v out="$work/$name" '/^```cpp$/ { n++; on = 1; next } /^```/ { on = 0 } on { print > (out "." n ".cpp") }' "$page"
done
for program in "$work"/*.cpp; do
    grep -q '^int main' "$program" || continue
    count=$((count + 1))
    if ! c++ -std=c++20 -Wall -Wextra -I"$source/include" "$program" -o "$work/program" -Wl,--build-id >"$work/log" 2>&1 ||
        ! timeout 60 "$work/program" >>"$work/log" 2>&1; then
        echo "not ok $(basename "$program")"
        cat "$work/log"
        failed=$((failed + 1))
    fi
done
echo "$((count - failed)) passed, $failed failed"
[ "$failed" = 0 ] && [ "$count" -gt 5 ]

#!/bin/sh
# reference.sh SOURCE_DIR: the reference (docs/Doxyfile) is made without a warning: every public name has its comment. And
# docs/safety.md speaks of every public function, or of its type.
set -eu
command -v doxygen >/dev/null || { echo "SKIPPED: reference: no doxygen"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$1"
{
    cat docs/Doxyfile
    echo "OUTPUT_DIRECTORY = $work"
    echo "GENERATE_TAGFILE = $work/tags"
} | doxygen -

# Of the index: each type that has functions, and each function outside of a type, but for operators.
awk '
    function text(line) { gsub(/<[^>]*>|&lt;.*&gt;|^ +/, "", line); return line }
    /<compound kind=/ { type = !/"namespace"/ }
    /^    <name>/ { name = text($0) }
    /<member kind="function"/ { getline; getline; if (type) print name; else if (!/operator/) print text($0) }
' "$work/tags" | sed 's/::iterator$//; s/.*:://' | sort -u >"$work/names"
count=$(wc -l <"$work/names")
missing=0
while read -r name; do
    grep -q "\`\([a-z_]*::\)*$name\(::[a-z_]*\)*\`" docs/safety.md && continue
    echo "not ok: $name is not in docs/safety.md"
    missing=$((missing + 1))
done <"$work/names"
echo "$count functions and types with functions, $missing of them missing in docs/safety.md"
[ "$missing" = 0 ] && [ "$count" -gt 40 ]

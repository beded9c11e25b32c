#!/bin/sh
# reference.sh SOURCE_DIR: the reference (docs/Doxyfile) is made without a warning: every public name has its comment.
set -eu
command -v doxygen >/dev/null || { echo "skipped: no doxygen"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$1"
{
    cat docs/Doxyfile
    echo "OUTPUT_DIRECTORY = $work"
} | doxygen -
pages=$(find "$work/reference" -name 'classprocmap*.html' -o -name 'structprocmap*.html' | wc -l)
echo "$pages pages of types"
[ "$pages" -gt 40 ]

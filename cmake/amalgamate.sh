#!/bin/sh
# amalgamate.sh > procmap_all.hpp: the library as one header, in the order of cmake/headers.cmake; without format.hpp and fmt.hpp.
set -eu
cd "$(dirname "$0")/.."
echo "// procmap $(cmake/version.sh), all headers in one; made by cmake/amalgamate.sh. What is mapped where: PROCMAP_QUERY and"
echo "// /proc/PID/maps."
echo "//"
sed 's/^/\/\/ /; s/ *$//' LICENSE
echo "#pragma once"
sed -n '/^set(procmap_headers/,/^)/s/^ *\(include\/.*\.hpp\)$/\1/p' cmake/headers.cmake | while read -r header; do
    printf '\n// ==== %s ====\n' "${header#include/}"
    grep -v -e '^#pragma once$' -e '^#include <procmap/' "$header"
done | cat -s

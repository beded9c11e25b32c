#!/bin/sh
# docs.sh SOURCE_DIR: what README.md and docs/ say is so.
# - Every block of C++ that is a program is compiled as it stands and run: exit 0. The other blocks of a page are, one behind the
#   other, the body of a program.
# - Every block marked ```sh run is run, in a copy of the tree, line by line: exit 0. PID is a process, ADDRESS one in its code.
# - docs/errors.md has every errc, in order, with the sentence that it prints.
set -eu
source=$(cd "$1" && pwd)
work=$(mktemp -d)
process=
trap '[ -z "$process" ] || kill $process; rm -rf "$work"' EXIT
count=0
failed=0
# check NAME COMMAND...: the command succeeds, or its output is shown
check() {
    name=$1
    shift
    count=$((count + 1))
    "$@" >"$work/log" 2>&1 && return
    echo "not ok $name"
    cat "$work/log"
    failed=$((failed + 1))
}

for page in "$source"/README.md "$source"/docs/*.md; do
    awk -v out="$work/$(basename "$page" .md)" '
        /^```cpp$/ { n++; to = out "." n ".cpp"; next }
        /^```sh run$/ { n++; to = out "." n ".sh"; next }
        /^```/ { to = "" }
        to != "" { print > to }' "$page"
done

program_runs() {
    c++ -std=c++20 -Wall -Wextra -Wno-unused-variable -I"$source/include" "$1" -o "$work/program" -Wl,--build-id && timeout 60 "$work/program"
}
for page in "$source"/README.md "$source"/docs/*.md; do
    name=$work/$(basename "$page" .md)
    fragments=$(grep -L '^int main' "$name".*.cpp 2>/dev/null | sort -V) || true
    [ -n "$fragments" ] || continue
    # shellcheck disable=SC2086  # one word for each fragment
    {
        grep -h '^#include' $fragments
        echo 'int main() {'
        grep -hv '^#include' $fragments
        echo '}'
    } >"$name.body.cpp"
done
programs=0
for program in "$work"/*.cpp; do
    grep -q '^int main' "$program" || continue
    programs=$((programs + 1))
    check "$(basename "$program")" program_runs "$program"
done
[ "$programs" -gt 5 ] || check "programs were found" false

mkdir "$work/tree"
cp -R "$source/include" "$source/cli" "$work/tree/"
sleep 600 &
process=$!
PID=$process
until grep -q /sleep "/proc/$PID/maps"; do kill -0 $process; done
ADDRESS=$(sed -n 's/^\([0-9a-f]*\)-.* r-xp .*/\1/p' "/proc/$PID/maps" | head -n 1)
export PID ADDRESS
commands_run() { (cd "$work/tree" && timeout 300 sh -eux "$1"); }
for block in "$work"/README.*.sh "$work"/*.sh; do  # README's first: they build the command
    [ -e "$block.done" ] && continue
    check "$(basename "$block")" commands_run "$block"
    : >"$block.done"
done
[ -x "$work/tree/procmap" ] || check "README's first command makes ./procmap" false

# Each `## errc::NAME` of errors.md, and the sentence below it, against the enumeration itself.
sed -n '/^enum class errc /,/^};/s/^ *\([a-z_]*\)\( = 0\)\{0,1\},.*/\1/p' "$source/include/procmap/error.hpp" >"$work/names"
{
    echo '#include <procmap/error.hpp>'
    echo '#include <cstdio>'
    echo 'int main() {'
    sed 's/.*/std::printf("## errc::&\\n%s\\n", procmap::describe(procmap::errc::&).data());/' "$work/names"
    echo '}'
} >"$work/describe.cc"
check "describe" c++ -std=c++20 -x c++ -I"$source/include" "$work/describe.cc" -o "$work/describe"
"$work/describe" >"$work/wanted"
sed -n '/^## .errc::/{s/`//g;p;n;n;s/^> //;p;}' "$source/docs/errors.md" >"$work/found"
check "docs/errors.md has every errc and its sentence" diff "$work/wanted" "$work/found"

echo "$((count - failed)) passed, $failed failed"
[ "$failed" = 0 ]

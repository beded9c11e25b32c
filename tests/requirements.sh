#!/bin/sh
# requirements.sh COMPILER SOURCE_DIR: in C++17, on another system, and beside the other form of the library, the first error of
# each public header is the one that says so, nothing but the end of the compilation follows, and no header of another library or
# of the system was read before.
set -u
compiler=$1
source=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
checks=0
export LC_ALL=C

# In place of every header that is not procmap's: what a compiler or a system without it would say.
sed -n 's/^ *# *include <\([^>]*\)>.*/\1/p' "$source"/include/procmap/*.hpp "$source"/include/procmap/detail/*.hpp | grep -v '^procmap/' |
    sort -u >"$work/others"
[ "$(wc -l <"$work/others")" -gt 20 ] || { echo "not ok: the list of other headers has only $(wc -l <"$work/others")"; exit 1; }
while read -r other; do
    mkdir -p "$work/absent/$(dirname "$other")"
    echo "#error \"<$other> is read before the requirements are checked\"" >"$work/absent/$other"
done <"$work/others"

# refused WHAT ERROR OPTION...: the program $work/use.cpp does not compile, and ERROR is the first and the only error
refused() {
    what=$1
    error=$2
    shift 2
    checks=$((checks + 1))
    if "$compiler" -fsyntax-only -I"$work/absent" "$@" "$work/use.cpp" >"$work/out" 2>&1; then
        echo "not ok: $what: compiles"
    else
        grep -E '(error|warning): ' "$work/out" >"$work/errors"
        case $(sed -n 1p "$work/errors") in *"error: "*"$error"*)
            case $(sed -n 2p "$work/errors") in *"fatal error: "*"stop: see the error above"*)
                [ "$(wc -l <"$work/errors")" != 2 ] || return
                ;;
            esac
            ;;
        esac
        echo "not ok: $what: not '$error' first and alone, but"
        sed 's/^/    /; 10q' "$work/out"
    fi
    failures=$((failures + 1))
}

single=$source/single_include/procmap.hpp
for header in "$source"/include/procmap/*.hpp "$source"/include/procmap/detail/*.hpp "$single"; do
    name=${header#"$source/"}
    echo "#include \"$header\"" >"$work/use.cpp"
    refused "$name in C++17" 'procmap needs C++20' -std=c++17 -I"$source/include"
    refused "$name on another system" 'procmap needs Linux' -std=c++20 -U__linux__ -I"$source/include"
done

# Both forms in one translation unit: the one that comes second is refused.
rm -r "$work/absent"
for header in version flags procmap; do
    printf '#include "%s"\n#include <procmap/%s.hpp>\n' "$single" $header >"$work/use.cpp"
    refused "$header.hpp after the single header" 'procmap is included already' -std=c++20 -I"$source/include"
    printf '#include <procmap/%s.hpp>\n#include "%s"\n' $header "$single" >"$work/use.cpp"
    refused "the single header after $header.hpp" 'procmap is included already' -std=c++20 -I"$source/include"
done
echo "$checks refusals checked, $failures failed"
[ $failures = 0 ] && [ $checks -gt 60 ]

#!/bin/sh
# row.sh: builds and runs the tests of one row of tests/compilers/run, which sets ROW, CXX, FLAGS, RUNNER, TESTS, SOURCE, HEADERS
# and WORK. Prints one line; exit status 1: something failed.
set -u
cd "$SOURCE" || exit 1
command -v "${CXX%% *}" >/dev/null || { echo "$ROW: no ${CXX%% *} here: install it" && exit 1; }
passed=0
skipped=0
failed=0
log=$WORK/log
: >"$log"
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
! command -v ccache >/dev/null || [ "${CXX#zig}" != "$CXX" ] || CXX="ccache $CXX"
# Not one of the library's: "a" + std::string at -O2 and above, GCC bug 105651.
case $CXX in *clang*) ;; *g++*) warnings="$warnings -Wno-restrict" ;; esac

# build PROGRAM OPTION...: $WORK/PROGRAM, or a failure
build() {
    program=$1
    shift
    echo "== $program" >>"$log"
    # shellcheck disable=SC2086  # words
    $CXX -O0 $warnings $FLAGS -Iinclude -isystem "$HEADERS" -DPROCMAP_TEST_DATA="\"$SOURCE/tests/data\"" "$@" -pthread \
        -Wl,--build-id -o "$WORK/$program" >>"$log" 2>&1 && return
    echo "FAILED: $program does not build" >>"$log"
    failed=$((failed + 1))
    return 1
}

# run PROGRAM: counts it, or its test cases where it has some
run() {
    # shellcheck disable=SC2086
    timeout 900 $RUNNER "$WORK/$1" >"$WORK/out" 2>&1 </dev/null
    status=$?
    cat "$WORK/out" >>"$log"
    echo "exit status $status" >>"$log"
    cases=$(sed -n 's/^\[doctest\] test cases: *[0-9]* | *\([0-9]*\) passed | *\([0-9]*\) failed.*/\1 \2/p' "$WORK/out")
    if [ -z "$cases" ]; then
        case $status in
            0) passed=$((passed + 1)) ;;
            77) skipped=$((skipped + 1)) ;;
            *) failed=$((failed + 1)) && echo "FAILED: $1: exit status $status" >>"$log" ;;
        esac
        return
    fi
    left_out=$(grep -c '^SKIPPED: ' "$WORK/out")
    passed=$((passed + ${cases% *} - left_out))
    skipped=$((skipped + left_out))
    failed=$((failed + ${cases#* }))
    if [ $status != 0 ] && [ $status != 77 ] && [ "${cases#* }" = 0 ]; then
        failed=$((failed + 1))
        echo "FAILED: $1: exit status $status" >>"$log"
    fi
}

# Each header alone.
[ -n "${ONLY-}" ] || for header in include/procmap/*.hpp include/procmap/detail/*.hpp; do
    echo "#include <${header#include/}>" >"$WORK/header.cpp"
    # shellcheck disable=SC2086
    if $CXX -O0 $warnings $FLAGS -Iinclude -c "$WORK/header.cpp" -o "$WORK/header.o" >>"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $header does not compile alone" >>"$log"
    fi
done

exceptions=yes
case $FLAGS in *-fno-exceptions*) exceptions=no ;; esac
for test in $TESTS; do
    fortified=
    [ "$test" != kernel ] || fortified=-U_FORTIFY_SOURCE # it defines the system calls, which fortification would bypass
    # The files of a folder are compiled as one: each by itself, most of the time goes into the headers.
    tests/sources "$test" | sed "s,.*,#include \"$SOURCE/&\"," >"$WORK/test.$test.cpp"
    # shellcheck disable=SC2086
    build "$test" "$WORK/test.$test.cpp" tests/doctest.cpp $fortified && run "$test"
done
[ -n "${ONLY-}" ] || for example in examples/*.cpp; do
    name=$(basename "$example" .cpp)
    case $exceptions/$name in no/no_exceptions | no/crash_handler) ;; no/*) continue ;; esac
    # Clang 13 to 15 cannot compile any std::views adaptor of libstdc++ 12.
    case $ROW/$name in clang13/walk | clang14/walk | clang13/code_by_file | clang14/code_by_file) continue ;; esac
    build "$name" "$example" && run "$name"
done
if [ $exceptions = yes ] && [ -z "${ONLY-}" ]; then
    for fuzzer in fuzz/*.cpp; do
        target=$(basename "$fuzzer" .cpp)
        [ "$target" != replay ] || continue
        case $ROW/$target in i386/elf | armhf/elf) # no 128-bit integers there
            skipped=$((skipped + 1))
            continue
            ;;
        esac
        build "replay.$target" "fuzz/$target.cpp" fuzz/replay.cpp tests/doctest.cpp -U_FORTIFY_SOURCE \
            -DPROCMAP_CORPUS="\"$SOURCE/fuzz/corpus\"" && run "replay.$target"
    done
fi
if build procmap cli/procmap.cpp; then
    if [ -z "$RUNNER" ]; then
        timeout 300 sh tests/cli.sh "$WORK/procmap" >"$WORK/out" 2>&1
    else
        # Emulated, the command has only recorded text to speak of.
        # shellcheck disable=SC2086
        $RUNNER "$WORK/procmap" list --from tests/data/realistic_10k.maps 2>&1 | cmp - tests/data/realistic_10k.maps >"$WORK/out" 2>&1
    fi
    status=$?
    cat "$WORK/out" >>"$log"
    case $status in
        0) passed=$((passed + 1)) ;;
        77) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) && echo "FAILED: the command: exit status $status" >>"$log" ;;
    esac
fi

version=$(${CXX#ccache } --version 2>/dev/null | head -n 1)
case $CXX in zig*) version="zig $(zig version), $(zig c++ --version 2>/dev/null | sed -n '1s/ (.*//p')" ;; esac
printf '%-22s %-62s %4d passed %3d skipped %2d failed\n' "$ROW" "$version" $passed $skipped $failed
[ $failed = 0 ] && exit 0
grep '^FAILED' "$log"
exit 1

#!/bin/sh
# ease.sh SOURCE_DIR: how little the library asks of a program. An interface of another project (tests/adapters/*.hpp) takes at most 30
# lines on top of it, blank lines and comments not counted; a common task (the examples below) less than 40 lines in all, and no cast.
set -eu
cd "$1"
failed=0
complain() {
    echo "$*"
    failed=1
}

adapters=0
for adapter in tests/adapters/*.hpp; do
    [ "$adapter" != tests/adapters/truth.hpp ] || continue # shared by the tests of the adapters
    lines=$(grep -cvE '^[[:space:]]*(//.*)?$' "$adapter")
    [ "$lines" -le 30 ] || complain "$adapter: $lines lines of code, more than 30"
    adapters=$((adapters + 1))
done
[ "$adapters" -ge 5 ] || complain "there are only $adapters adapters"

# By name; by the name of a number's type (`T{x}` is none: it refuses to lose a value); and C's, which stands behind an operator.
number='(bool|char|short|int|long|unsigned|signed|float|double|s?size_t|ptrdiff_t|off_t|u?int(8|16|32|64|ptr|max)_t)'
named='[a-z]_cast *<'
functional="(^|[^A-Za-z0-9_])$number *\\("
of_c='(^|[=(,:?&|+!-]|return) *\([A-Za-z_][A-Za-z_0-9:<> ]*[*& ]*(const)? *\) *[A-Za-z0-9_("&*~-]'
for example in backtrace_ids profile_pidfd find_leaks report_crash code_by_file; do
    file=examples/$example.cpp
    lines=$(wc -l <"$file")
    [ "$lines" -lt 40 ] || complain "$file: $lines lines, not less than 40"
    casts=$(sed 's,//.*,,; s/(void)//g; s/"[^"]*"/""/g' "$file" | grep -nE "$named|$functional|$of_c" || :)
    [ -z "$casts" ] || complain "$file has a cast:
$casts"
done
exit $failed

#!/bin/sh
# versions.sh COMPILER SOURCE_DIR: two versions of the library, and one of them also without exceptions, in one program: each keeps
# its own functions. The next version is this one, its number raised as a release raises it (include/procmap/version.hpp).
set -eu
compiler=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

number() { sed -n "s/^#define PROCMAP_VERSION_$1 //p" "$source/include/procmap/version.hpp"; }
abi=v$(number MAJOR)_$(number MINOR)
next=v$(number MAJOR)_$(($(number MINOR) + 1))
if [ "$(sed -n 's/^#define PROCMAP_ABI //p' "$source/include/procmap/version.hpp" | tr '\n' ' ')" != "${abi}_text ${abi}_ioctl $abi ${abi}_noexcept_text ${abi}_noexcept_ioctl ${abi}_noexcept " ]; then
    echo "version.hpp: the inline namespace (PROCMAP_ABI) does not name the version"
    exit 1
fi
cp -r "$source/include" "$work/next"
sed -i -e "s/ $abi/ $next/" -e "s/\(define PROCMAP_VERSION_MINOR\) .*/\1 $(($(number MINOR) + 1))/" "$work/next/procmap/version.hpp"

cat >"$work/part.cpp" <<'EOF'
#include <procmap/bpf.hpp>
#include <procmap/procmap.hpp>
int PART(int& version) {
    version = PROCMAP_VERSION;
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    const auto all = procmap::snapshot::capture(*self);
    procmap::normalizer n;
    const std::uint64_t address[] = {reinterpret_cast<std::uintptr_t>(&PART)};
    const auto where = n.normalize(*self, address);
    return all && !all->empty() && where && self->find(address[0]) && procmap::snapshot::parse("x").error().line == 1 ? 0 : 1;
}
EOF
cat >"$work/main.cpp" <<'EOF'
int this_one(int&);
int without_exceptions(int&);
int next_one(int&);
int main() {
    int a = -1, b = -1, c = -1;
    return this_one(a) + without_exceptions(b) + next_one(c) + (a != b) + (a + 100 != c);
}
EOF
compile() {
    name=$1
    shift
    $compiler -std=c++20 -DPART="$name" "$@" -c "$work/part.cpp" -o "$work/$name.o"
}
compile this_one -I"$source/include"
compile without_exceptions -I"$source/include" -fno-exceptions -fno-rtti
compile next_one -I"$work/next"
$compiler "$work/main.cpp" "$work"/*.o -o "$work/program"
"$work/program"

for name in this_one without_exceptions next_one; do
    nm --defined-only "$work/$name.o" | sed -n 's/^[0-9a-f]* [A-Zuvw] \(.*procmap.*\)/\1/p' | sort -u >"$work/$name"
    [ "$(wc -l <"$work/$name")" -gt 50 ]
done
cat "$work/this_one" "$work/without_exceptions" "$work/next_one" | sort | uniq -d >"$work/shared"
if [ -s "$work/shared" ]; then
    echo "functions and data that the linker takes for one:"
    c++filt <"$work/shared"
    exit 1
fi
echo "$(cat "$work/this_one" "$work/without_exceptions" "$work/next_one" | wc -l) symbols in three parts, none of them shared"

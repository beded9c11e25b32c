#!/bin/sh
# compiled.sh COMPILER SOURCE_DIR: what does not compile, because it would dangle; what Clang warns of; what the compiled parser and programs
# with one back-end need of the C library; and that code with different choices can be linked into one program.
set -u
compiler=$1
include=$2/include
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
checks=0
export LC_ALL=C

# try OPTION...: compiles $work/use.cpp to $work/use.o
try() { "$compiler" -std=c++20 -I"$include" -Wall -Wextra -Wconversion -Wsign-conversion -c -o "$work/use.o" "$work/use.cpp" "$@" >"$work/out" 2>&1; }
not_ok() {
    echo "not ok: $1"
    sed 's/^/    /; 20q' "$work/out"
    failures=$((failures + 1))
}
# statement TEXT: the body of a function of $work/use.cpp, which has a handle `self` and a normalizer `n`
statement() {
    cat >"$work/use.cpp" <<END
#include <procmap/procmap.hpp>
#include <vector>
void use(const procmap::maps& self, procmap::normalizer& n, std::vector<std::uint64_t>& v);
void use(const procmap::maps& self, procmap::normalizer& n, std::vector<std::uint64_t>& v) {
    (void)self, (void)n, (void)v;
    $1
}
END
}
compiles() {
    checks=$((checks + 1))
    statement "$1"
    try -Werror || not_ok "does not compile without a warning: $1"
}
rejected() {
    checks=$((checks + 1))
    statement "$1"
    if try; then
        not_ok "compiles: $1"
    elif ! grep -qE 'deleted|no matching|could not convert|no viable conversion' "$work/out"; then
        not_ok "fails for another reason: $1"
    fi
}
warned() {
    checks=$((checks + 1))
    statement "$1"
    ! try -Werror=dangling -Wno-unused-variable || not_ok "compiles without a warning: $1"
}

compiles 'auto walk = self.walk(); for (const procmap::mapping& m : walk) v.push_back(m.start);'
rejected 'for (const procmap::mapping& m : procmap::maps::open_self()->walk()) v.push_back(m.start);'
rejected 'auto walk = procmap::maps::open_self()->walk(); (void)walk;'
rejected 'auto walk = procmap::maps{}.walk(); (void)walk;'
rejected 'auto walk = procmap::maps{}.walk_in_buffer({}); (void)walk;'
compiles 'for (const procmap::mapping& m : *procmap::snapshot::capture(self)) v.push_back(m.start);'
rejected 'auto m = procmap::snapshot::capture(self)->find(1); (void)m;'
rejected 'auto m = (*procmap::snapshot::capture(self)).find(1); (void)m;'
compiles 'const auto copy = procmap::snapshot::capture(self); auto m = copy->find(1); (void)m;'
rejected 'for (const procmap::location& l : n.normalize(self, v)->locations) v.push_back(l.offset);'
compiles 'const auto found = n.normalize(self, v); for (const procmap::location& l : found->locations) v.push_back(found->file(l).inode);'
compiles 'if (self.find(1)->start == 1) v.clear();'
compiles 'const procmap::mapping& m = *self.find(1); v.push_back(m.start);'
rejected 'const procmap::mapping m = procmap::owned_mapping{*self.find(1)}; (void)m;'
compiles 'const procmap::owned_mapping kept{*self.find(1)}; const procmap::mapping m = kept; v.push_back(m.start);'

rejected '(void)self.find(1, {.name = procmap::name_buffer{}});'
compiles 'procmap::name_buffer name; (void)self.find(1, {.name = name});'

# Addresses: what is none is none, and an array of them is no pointer to one.
compiles '(void)self.find(0); (void)self.find(v[0]); (void)self.find(&v); (void)self.find(&use); (void)self.find(use); (void)self.find(1u); (void)self.find(-1LL);'
compiles '(void)self.find(0, {}); (void)self.find_from(&v, {}); (void)self.extent(&v, 1); (void)self.extent(0, 1, procmap::readable);'
rejected '(void)self.find(nullptr);'
rejected '(void)self.find(v);'
compiles 'const std::uint64_t two[] = {1, 2}; const auto found = n.normalize(self, two); v.push_back(found->locations.size());'
compiles '(void)n.normalize(self, v); (void)n.normalize(self, 5); (void)n.normalize(self, &v); (void)n.normalize(self, use);'
compiles '(void)n.normalize(self, {&v, &use, 5}); (void)procmap::snapshot::parse("", {}); (void)procmap::snapshot::parse("", std::allocator<std::byte>{});'

# is_clang: the compiler has the attribute
if "$compiler" -dM -E -x c++ /dev/null | grep -q __clang__; then
    warned 'const procmap::error& e = procmap::maps::open_self().error(); (void)e;'
    warned 'const procmap::mapping* m = self.find(1).operator->(); (void)m;'
    warned 'const procmap::borrowed_fd fd = procmap::maps{}.fd(); (void)fd;'
    warned 'const auto& opened = procmap::self_maps{}.get(); (void)opened;'
fi

# needs WHAT ALLOWED OPTION...: the undefined symbols of $work/use.cpp match ALLOWED
needs() {
    what=$1
    allowed=$2
    shift 2
    checks=$((checks + 1))
    if ! try -fno-exceptions -fno-rtti -fno-stack-protector -U_FORTIFY_SOURCE "$@"; then
        not_ok "$what: does not compile"
    elif nm -u "$work/use.o" | sed 's/^ *[Uwv] //' | grep -vxE "$allowed" >"$work/out"; then
        not_ok "$what with $*: needs"
    fi
}
cat >"$work/use.cpp" <<'END'
#include <procmap/text.hpp>
bool parsed(const char* line, std::size_t size, procmap::mapping& m, const procmap::parse_options& o);
bool parsed(const char* line, std::size_t size, procmap::mapping& m, const procmap::parse_options& o) {
    const auto strict = procmap::parse_line({line, size});
    const auto read = strict ? strict : procmap::parse_line({line, size}, o);
    if (read) m = *read;
    return read.has_value();
}
END
plain='memcpy|memset|memmove|_GLOBAL_OFFSET_TABLE_'
size_of() { size -A "$work/use.o" | awk '/^\.(text|rodata)/ { sum += $2 } END { print sum }'; }
for level in -O0 -O1 -O2 -O3 -Os; do
    needs "parse_line" "$plain" $level -DNDEBUG -fno-asynchronous-unwind-tables
done
echo "parse_line, strict and with options, -Os: $(size_of) bytes of code and constants"

cat >"$work/use.cpp" <<'END'
#include <procmap/maps.hpp>
bool here(procmap::backend use);
bool here(procmap::backend use) {
    const auto self = procmap::maps::open_self({.use = use});
    const auto m = self ? self->find(&here) : self.error();
    return m && m->contains(&here);
}
END
# At -O0, compilers keep what is not reached.
for level in -Os -O2; do
    plain_program="$level -DNDEBUG -fno-exceptions -fno-asynchronous-unwind-tables"
    # shellcheck disable=SC2086  # options
    try $plain_program
    both=$(size_of)
    echo "open_self and find, $level: $both bytes of code and constants"
    for choice in TEXT IOCTL; do
        # shellcheck disable=SC2086  # options
        try $plain_program -DPROCMAP_ONLY_$choice
        echo "the same, PROCMAP_ONLY_$choice: $(size_of)"
        checks=$((checks + 2))
        [ "$choice" = IOCTL ] || ! nm -u "$work/use.o" | grep -qw ioctl || not_ok "$level: ONLY_TEXT sends an ioctl"
        [ "$choice" = TEXT ] || ! nm "$work/use.o" -C | grep -qE 'text_reader|scan_line' || not_ok "$level: ONLY_IOCTL reads text"
        [ $(($(size_of) * 100)) -lt $((both * 85)) ] || not_ok "$level: ONLY_$choice saves less than 15 %: $(size_of) of $both bytes"
    done
done
checks=$((checks + 1))
! try -DPROCMAP_ONLY_TEXT -DPROCMAP_ONLY_IOCTL && grep -q 'leave no back-end' "$work/out" || not_ok "both choices together compile"

# Each choice in a file of its own, in one program. They run as they say.
cat >"$work/one.cpp" <<'END'
#include <procmap/snapshot.hpp>
#include <procmap/probe.hpp>
#include <procmap/normalizer.hpp>
bool NAME(bool ioctl_here) {
    using namespace procmap;
    static const int object = 1;
    const bool with_ioctl = HAS_IOCTL && ioctl_here, with_text = HAS_TEXT;
    const auto works = [](backend use) {
        const auto self = maps::open_self({.use = use});
        if (!self) return self.error().code == errc::unsupported ? 0 : -1;
        const auto m = self->find(&object);
        const auto copy = snapshot::capture(*self, {.build_ids = true});
        auto walk = self->walk();
        bool walked = false;
        for (const mapping& each : walk) walked = walked || each.contains(&object);
        normalizer n{{.build_ids = true, .elf_addresses = true}};
        const auto found = n.normalize(*self, &object);
        const auto self_again = maps::adopt(unique_fd{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)}, {.use = use});
        const bool right = m && m->contains(&object) && copy && copy->find(&object) && walked && walk.complete() && found && found->locations[0] &&
                           self->extent(&object, 1).value_or(0) == 1 && self->backend() == use && self_again && self_again->find(&object);
        return right ? 1 : -1;
    };
    return works(backend::ioctl) == (with_ioctl ? 1 : 0) && works(backend::text) == (with_text ? 1 : 0) && probe().ioctl == with_ioctl &&
           maps::open_self().has_value() == (with_ioctl || with_text);
}
END
cat >"$work/main.cpp" <<'END'
#include <procmap/probe.hpp>
bool both(bool), text(bool), ioctl_alone(bool);
int main() {
    const bool here = procmap::probe().ioctl;
    if (!procmap::probe().live) return 0;
    return (both(here) ? 0 : 1) + (text(here) ? 0 : 2) + (ioctl_alone(here) ? 0 : 4);
}
END
checks=$((checks + 1))
build() { "$compiler" -std=c++20 -I"$include" -include fcntl.h -c "$@" >>"$work/out" 2>&1; }
: >"$work/out"
if build -DNAME=both -DHAS_IOCTL=1 -DHAS_TEXT=1 -o "$work/both.o" "$work/one.cpp" &&
    build -DNAME=text -DHAS_IOCTL=0 -DHAS_TEXT=1 -DPROCMAP_ONLY_TEXT -o "$work/text.o" "$work/one.cpp" &&
    build -DNAME=ioctl_alone -DHAS_IOCTL=1 -DHAS_TEXT=0 -DPROCMAP_ONLY_IOCTL -o "$work/ioctl.o" "$work/one.cpp" &&
    build -o "$work/main.o" "$work/main.cpp" && "$compiler" -o "$work/main" "$work"/both.o "$work"/text.o "$work"/ioctl.o "$work"/main.o; then
    "$work/main" || not_ok "programs with one back-end: exit status $? (1: both, 2: text, 4: ioctl)"
else
    not_ok "programs with one back-end do not build"
fi

echo "$checks checks, $failures failed"
[ "$failures" = 0 ]

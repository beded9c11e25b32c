// A program that imports the library here and includes it in includes.cpp: the types are the same, and what the headers specialize
// of std's templates comes along: formatter, hash, is_error_code_enum.
#include <cstdint>
#include <functional>
#include <iostream>
#include <system_error>
#include <version>
#if defined(__cpp_lib_format)
#include <format>
#endif

import procmap;

bool is_included_same(const procmap::mapping& m);  // includes.cpp

static void here() {}

int main() {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    const auto found = self->find(reinterpret_cast<std::uintptr_t>(&here));
    if (!found || !is_included_same(*found)) return 1;
    std::cout << *found << '\n';
#if defined(__cpp_lib_format)
    std::cout << std::format("{:>120}\n", *found);
#endif
    if (!(procmap::perm::read | procmap::perm::execute).has(procmap::perm::read)) return 1;
    if (std::hash<procmap::build_id>{}(procmap::build_id{}) != std::hash<procmap::build_id>{}(procmap::build_id{})) return 1;
    const std::error_code gone = procmap::errc::gone;
    return gone == std::errc::no_such_process ? 0 : 1;
}

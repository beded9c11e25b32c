// What a project that consumes the library builds, however it came by it.
#include <procmap/procmap.hpp>

#include <cstdint>
#include <iostream>

static void here() {}

int main() {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    const auto found = self->find(reinterpret_cast<std::uintptr_t>(&here));
    if (!found) return 1;
    std::cout << *found << '\n';
    return found->permissions.has(procmap::perm::execute) ? 0 : 1;
}

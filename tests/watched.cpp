// What the kernel writes through the struct's pointers, looked at byte by byte: MemorySanitizer and valgrind must have been told.
#include <procmap/procmap.hpp>

#include <cstdint>
#include <cstdio>

int main() {
    int slashes = 0;
    for (const auto use : {procmap::backend::automatic, procmap::backend::text}) {
        const auto self = procmap::maps::open_self({.use = use});
        if (!self) return 1;
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        const auto m = self->find(reinterpret_cast<std::uintptr_t>(&std::printf), {.name = name, .build_id = id});
        if (!m) return 1;
        for (const char c : m->name) slashes += c == '/';
        for (const std::byte b : m->build_id.bytes()) slashes += b == std::byte{'/'};
        auto walk = self->walk({.names = true, .build_ids = true});
        for (const procmap::mapping& each : walk) {
            for (const char c : each.name) slashes += c == '/';
            for (const std::byte b : each.build_id.bytes()) slashes += b == std::byte{'/'};
        }
        if (!walk.complete()) return 1;
    }
    return std::printf("%d\n", slashes) > 0 && slashes > 0 ? 0 : 1;
}

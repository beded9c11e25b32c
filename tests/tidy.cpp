// Every template of the library, used once: what clang-tidy looks at (.ci/run).
#include <procmap/bpf.hpp>
#include <procmap/procmap.hpp>
#include <procmap/system_error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
int use(int argc) {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    procmap::normalizer n;
    const std::uint64_t a[] = {static_cast<std::uint64_t>(argc)};
    procmap::bpf::stack_build_id stack[1] = {};
    procmap::cached_maps cache{*self};
    procmap::watcher watch{*self};
    const auto s = procmap::snapshot::parse("x");
    char buffer[procmap::text_walk_room];
    procmap::text_walk text{[](std::span<char>) -> std::ptrdiff_t { return 0; }, buffer};
    for (const procmap::mapping& m : text) argc += procmap::prot(m.permissions);
    auto walk = self->walk_in_buffer({.names = true, .buffer = buffer});
    for (const procmap::mapping& m : walk) argc += procmap::owned_mapping{m}->name.empty();
    procmap::self_maps own;
    const auto half = [](std::uint64_t bytes) { return bytes / 2; };
    argc += own.get().and_then([](const procmap::maps& m) { return m.extent(&m, 1); }).transform(half).value_or(0) == 0;
    return argc + n.normalize(*self, a).has_value() + cache.find(a[0]).has_value() + watch.look().has_value() + s.has_value() +
           procmap::bpf::resolve(n, *self, stack).has_value() + procmap::receive_maps(0).has_value() + procmap::probe().live;
}

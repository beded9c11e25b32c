// Every template of the library, used once: what clang-tidy looks at (.ci/run).
#include <procmap/bpf.hpp>
#include <procmap/procmap.hpp>
#include <procmap/system_error.hpp>
int use(int argc) {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    procmap::normalizer n;
    const std::uint64_t a[] = {static_cast<std::uint64_t>(argc)};
    procmap::bpf::stack_build_id stack[1] = {};
    procmap::cached_maps cache{*self};
    procmap::watcher watch{*self};
    const auto s = procmap::snapshot::parse("x");
    return n.normalize(*self, a).has_value() + cache.find(a[0]).has_value() + watch.look().has_value() + s.has_value() +
           procmap::bpf::resolve(n, *self, stack).has_value() + procmap::receive_maps(0).has_value() + procmap::probe().live;
}

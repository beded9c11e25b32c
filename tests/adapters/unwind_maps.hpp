// The interface of Android's libunwindstack/Maps.h, as far as it concerns mappings. A MapInfo borrows its name from the Maps. Unlike there,
// a newline in a name is a newline and not `\012`, smaps is read too, and a process that exits meanwhile is a failure.
#pragma once
#include <functional>
#include <memory>
#include <procmap/procmap.hpp>

namespace unwindstack {

struct MapInfo : procmap::mapping {  // start, end, offset, name
    MapInfo(const procmap::mapping& m) : mapping(m), flags(static_cast<uint16_t>(prot(m.permissions))) {}
    uint16_t flags;  // PROT_*
};

struct Maps {
    bool Parse() { return (parsed = parse()).has_value(); }
    std::shared_ptr<MapInfo> Find(uint64_t pc) const {
        const auto m = parsed->find(pc);
        return m ? std::make_shared<MapInfo>(*m) : nullptr;
    }
    size_t Total() const { return parsed->size(); }
    std::shared_ptr<MapInfo> Get(size_t i) const { return i < Total() ? std::make_shared<MapInfo>((*parsed)[i]) : nullptr; }

    std::function<procmap::result<procmap::snapshot>()> parse;
    procmap::result<procmap::snapshot> parsed = procmap::snapshot{};
};

struct RemoteMaps : Maps {
    explicit RemoteMaps(pid_t pid)
        : Maps{[pid] {
              return procmap::maps::open(pid).and_then([](auto&& m) { return procmap::snapshot::capture(m, {.gate = true}); });
          }} {}
};

struct BufferMaps : Maps {
    explicit BufferMaps(const char* buffer) : Maps{[buffer] { return procmap::snapshot::parse(buffer, {.blanks = true, .gate = true}); }} {}
};

}  // namespace unwindstack

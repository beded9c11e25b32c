// Snapshots of any text: ascending, without overlap, written and read back the same; the difference to itself is nothing, and
// to another covers exactly what differs.
#include "fuzz.hpp"

#include <string>

#include <procmap/snapshot.hpp>

namespace {

std::string written(const procmap::snapshot& s) {
    std::string text;
    procmap::print([&text](std::string_view part) { text += part; }, s);
    return text;
}

void check(const procmap::snapshot& s) {
    std::uint64_t last_end = 0;
    for (const procmap::mapping& m : s) {
        fuzz::require(m.start >= last_end && m.start < m.end, "ascending, and no overlap");
        last_end = m.end;
        fuzz::require(s.find(m.start)->start == m.start && s.find(m.end - 1)->end == m.end, "found by its addresses");
    }
    const auto again = procmap::snapshot::parse(written(s));
    fuzz::require(again.has_value() && again->size() == s.size() && written(*again) == written(s), "written and read back");
    fuzz::require(procmap::difference(s, *again).empty(), "no difference to itself");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text(data, size);
    const std::size_t half = text.find("\n\n");
    const auto first = procmap::snapshot::parse(text.substr(0, half));
    check(*first);  // on an error: what stood before it
    if (half == std::string_view::npos) return 0;
    const auto second = procmap::snapshot::parse(text.substr(half + 2));
    check(*second);
    std::uint64_t last_end = 0;
    for (const procmap::change& c : procmap::difference(*first, *second)) {
        fuzz::require(c.start >= last_end && c.start < c.end && c.now.start == c.start && c.now.end == c.end, "changes ascend");
        last_end = c.end;
        const bool before = first->find(c.start).has_value();
        const bool after = second->find(c.start).has_value();
        fuzz::require(before == (c.kind != procmap::change_kind::mapped) && after == (c.kind != procmap::change_kind::unmapped),
                      "mapped and unmapped are what they say");
    }
    return 0;
}

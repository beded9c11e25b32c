#include <procmap/procmap.hpp>

bool is_included_same(const procmap::mapping& m);
bool is_included_same(const procmap::mapping& m) {
    const auto self = procmap::maps::open_self();
    const auto found = self ? self->find(m.start) : self.error();
    return found && found->start == m.start && found->end == m.end;
}

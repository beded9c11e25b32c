// The changes between two snapshots, compared.
#pragma once

#include "../support/records.hpp"

#include <vector>

#include <doctest/doctest.h>

#include <procmap/snapshot.hpp>

namespace support {

using procmap::change;
using procmap::change_kind;
using procmap::mapping;
using procmap::snapshot;

/// Also of temporaries, for the length of an expression.
inline std::vector<change> changes_between(const snapshot& before, const snapshot& after) {
    return procmap::difference(before, after);
}

/// The only change from one to the other.
inline void check_one(const snapshot& before, const snapshot& after, change_kind kind, const mapping& now) {
    const auto changes = procmap::difference(before, after);
    CAPTURE(kind);
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].kind == kind);
    CHECK(changes[0].start == now.start);
    CHECK(changes[0].end == now.end);
    CHECK(record{changes[0].now} == record{now});
}

}  // namespace support

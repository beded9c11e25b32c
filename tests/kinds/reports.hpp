// What a child reports, in memory shared with the test.
#pragma once

#include <cstddef>
#include <cstdint>

#include <procmap/build_id.hpp>

namespace support {

struct report {
    std::uint64_t start = 0, end = 0;  // of the mapping that is asked about
    int queries = 0;                   // PROCMAP_QUERY calls
    int id_queries = 0;                // those with room for a build ID
    int id_queries_of_it = 0;          // those of them that ask about this mapping
    std::uint64_t asking = 0;          // the address of the query that is under way, if it has room for a build ID
    bool failed = false;               // no answer at all
    bool has_file = true;
    bool known = false;
    std::size_t id_size = 0;
    unsigned char id[procmap::build_id::capacity] = {};
};

inline report* counted = nullptr;

}  // namespace support

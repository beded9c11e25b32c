// Questions that many test cases ask.
#pragma once

#include "../support/records.hpp"

#include <fcntl.h>

#include <climits>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

namespace support {

using procmap::errc;
using procmap::maps;

inline char big_buffer[65536];  // for names and lines longer than the library's own buffers hold

inline walked walk_with_names(const maps& of, std::span<char> buffer = big_buffer) {
    return walk_all(of, {.names = true, .buffer = buffer});
}

/// Every kind of question has this answer.
inline void check_all_answer(const maps& of, errc expected) {
    CHECK(of.find(0x10000).error() == expected);
    CHECK(of.find_from(0).error() == expected);
    const walked all = walk_all(of);
    CHECK(all.records.empty());
    CHECK_FALSE(all.complete);
    CHECK(all.error == expected);
}

inline void check_answers(const maps& of) {
    CHECK(of.find_from(0).has_value());
    const walked all = walk_all(of);
    CHECK(all.complete);
    CHECK(all.records.size() > 1);
}

inline constexpr pid_t no_process = INT_MAX;  // above any pid_max

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace support

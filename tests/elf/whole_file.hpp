// A file in memory of which no read fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/elf.hpp>

namespace support {

namespace elf = procmap::elf;

/// Bytes of which no read fails.
struct whole_file {
    std::span<const std::byte> bytes;
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept { return elf::bytes_source{bytes}(offset, to); }
    static bool failed() noexcept { return false; }
};

}  // namespace support

// Files with random byte changes: the reader agrees with a second, simple one.
#include "made_files.hpp"
#include "../support/guarded.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>

using namespace support;
using procmap::build_id;
namespace elf = procmap::elf;

namespace {

using wide_number = std::uint64_t;

/// The build ID by the book, in numbers that cannot overflow: what is far behind the end of any file is taken for 2^62.
std::vector<std::byte> reference_id(std::span<const std::byte> bytes) {
    bool big = false;
    const auto get = [&](wide_number at, int width) -> std::optional<wide_number> {
        if (at + static_cast<unsigned>(width) > bytes.size()) return std::nullopt;
        wide_number value = 0;
        for (int i = 0; i < width; ++i)
            value |= static_cast<wide_number>(bytes[static_cast<std::size_t>(at) + static_cast<std::size_t>(i)])
                     << (8 * (big ? width - 1 - i : i));
        return std::min(value, wide_number{1} << 62);
    };
    if (bytes.size() < 52 || std::memcmp(bytes.data(), "\x7f""ELF", 4) != 0) return {};
    const auto type = std::to_integer<int>(bytes[4]), order = std::to_integer<int>(bytes[5]);
    if (type < 1 || type > 2 || order < 1 || order > 2) return {};
    const bool wide = type == 2;
    big = order == 2;
    if (wide && bytes.size() < 64) return {};
    const int word = wide ? 8 : 4;
    const wide_number table = *get(wide ? 32 : 28, word), entry = *get(wide ? 54 : 42, 2);
    wide_number count = *get(wide ? 56 : 44, 2);
    if (entry < (wide ? 56 : 32)) return {};
    if (count == 0xffff) {
        const auto true_count = get(*get(wide ? 40 : 32, word) + (wide ? 44 : 28), 4);
        if (!true_count) return {};
        count = *true_count;
    }
    wide_number notes = 0;
    std::vector<std::byte> longer;  // the first that the kernel cannot return
    for (wide_number i = 0; i < std::min<wide_number>(count, elf::most_segments); ++i) {
        const wide_number header = table + i * entry;
        if (!get(header + (wide ? 48 : 24), 8)) return longer;
        if (*get(header, 4) != 4) continue;
        const wide_number offset = *get(header + (wide ? 8 : 4), word), size = *get(header + (wide ? 32 : 16), word);
        const wide_number align = *get(header + (wide ? 48 : 28), word) == 8 ? 8 : 4;
        const auto up = [align](wide_number n) { return (n + align - 1) / align * align; };
        for (wide_number at = 0; at + 12 <= size && notes++ < elf::most_notes;) {
            if (!get(offset + at + 4, 8)) break;
            const wide_number name = *get(offset + at, 4), content = *get(offset + at + 4, 4), begin = up(at + 12 + name);
            if (begin + content > size) break;
            if (*get(offset + at + 8, 4) == 3 && name == 4 && content > 0 && content <= 64 &&
                offset + begin + content <= bytes.size() &&
                std::memcmp(bytes.data() + static_cast<std::size_t>(offset + at + 12), "GNU", 4) == 0) {
                const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(offset + begin);
                const std::vector<std::byte> id{first, first + static_cast<std::ptrdiff_t>(content)};
                if (content <= 20) return id;
                if (longer.empty()) longer = id;
            }
            at = up(begin + content);
        }
    }
    return longer;
}

TEST_CASE("files with bytes changed at random read as a straightforward reader reads them") {
    guarded memory{file::size};
    std::mt19937 random{1};
    int with_id = 0, without = 0;
    for (const form f : forms) {
        file made{f};
        made.note(gnu, 1, 16).note(gnu, nt_gnu_build_id, 24).note(gnu, nt_gnu_build_id, 8, 50);
        made.segment(1, 0, file::size).segment(4, file::notes, made.notes_size()).segment(4, file::notes + 32, 36, 8);
        for (int i = 0; i < 10000; ++i) {
            std::vector<std::byte> bytes(made.bytes().begin(), made.bytes().end());
            for (int changes = i % 3 == 0 ? 3 : 1; changes > 0; --changes) {  // where something is
                const std::size_t at = random() % 2 == 0 ? random() % (64 + 3 * 56) : file::notes + random() % 110;
                constexpr unsigned char likely[] = {0, 1, 3, 4, 8, 0x7f, 0x80, 0xfe, 0xff};
                bytes[at] =
                    random() % 2 == 0 ? std::byte{likely[random() % std::size(likely)]} : static_cast<std::byte>(random());
            }
            const auto expected = reference_id(bytes);
            std::byte id[build_id::capacity];
            const std::size_t size = read_id(memory.at_the_end(bytes), id);
            const bool same = size == expected.size() && std::equal(expected.begin(), expected.end(), id);
            CHECK(same);
            ++(size != 0 ? with_id : without);
        }
    }
    CHECK(with_id > 1000);
    CHECK(without > 1000);
}

}  // namespace

// ELF files made in memory, of both word sizes and byte orders.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>

namespace support {

using procmap::build_id;
namespace elf = procmap::elf;

/// Word size and byte order.
struct form {
    bool wide, big;
};
inline constexpr form forms[] = {{true, false}, {true, true}, {false, false}, {false, true}};

inline constexpr std::uint32_t nt_gnu_build_id = 3;

/// An ELF file in place: program headers at 64, notes and whatever else from 512 on, at most three section headers at the end.
class file {
public:
    static constexpr std::size_t size = 1024;
    static constexpr std::uint64_t notes = 512;
    static constexpr std::uint64_t sections = size - 3 * 64;

    constexpr explicit file(form f) : form_(f) {
        constexpr unsigned char magic[] = {0x7f, 'E', 'L', 'F'};
        for (std::size_t i = 0; i < 4; ++i) bytes_[i] = std::byte{magic[i]};
        put(4, form_.wide ? 2 : 1, 1);
        put(5, form_.big ? 2 : 1, 1);
        word(32, 28, 64);           // e_phoff
        put(form_.wide ? 54 : 42, entry_size(), 2);  // e_phentsize
    }

    constexpr file& put(std::uint64_t at, std::uint64_t value, int width) {
        for (int i = 0; i < width; ++i)
            bytes_[static_cast<std::size_t>(at) + static_cast<std::size_t>(form_.big ? width - 1 - i : i)] =
                static_cast<std::byte>(value >> (8 * i));
        return *this;
    }
    /// A field that has the width of an address.
    constexpr file& word(std::uint64_t wide_at, std::uint64_t narrow_at, std::uint64_t value) {
        return put(form_.wide ? wide_at : narrow_at, value, form_.wide ? 8 : 4);
    }
    constexpr file& segments(std::uint64_t count) { return put(form_.wide ? 56 : 44, count, 2); }
    [[nodiscard]] constexpr std::uint64_t entry_size() const { return form_.wide ? 56 : 32; }

    constexpr file& segment(std::uint64_t type, std::uint64_t offset, std::uint64_t length, std::uint64_t align = 4) {
        const std::uint64_t at = 64 + count_++ * entry_size();
        put(at, type, 4);
        word(at + 8, at + 4, offset);
        word(at + 32, at + 16, length);
        word(at + 48, at + 28, align);
        return segments(count_);
    }
    [[nodiscard]] constexpr std::uint64_t section_size() const { return form_.wide ? 64 : 40; }
    constexpr file& section(std::uint64_t type, std::uint64_t offset, std::uint64_t length, std::uint64_t align = 4) {
        const std::uint64_t at = sections + section_count_++ * section_size();
        put(at, 1, 4).put(at + 4, type, 4);
        word(at + 24, at + 16, offset).word(at + 32, at + 20, length).word(at + 48, at + 32, align);
        word(40, 32, sections);                       // e_shoff
        put(form_.wide ? 58 : 46, section_size(), 2);  // e_shentsize
        return put(form_.wide ? 60 : 48, section_count_, 2);
    }
    /// A note at the end of those before; where the next one starts.
    constexpr file& note(std::string_view name, std::uint32_t type, std::size_t content, unsigned char first = 1,
                         std::uint64_t align = 4) {
        put(end_, name.size(), 4).put(end_ + 4, content, 4).put(end_ + 8, type, 4);
        for (std::size_t i = 0; i < name.size(); ++i) put(end_ + 12 + i, static_cast<unsigned char>(name[i]), 1);
        const std::uint64_t begin = (end_ - notes + 12 + name.size() + align - 1) / align * align;
        for (std::size_t i = 0; i < content; ++i) put(notes + begin + i, first + i, 1);
        end_ = notes + (begin + content + align - 1) / align * align;
        return *this;
    }
    [[nodiscard]] constexpr std::uint64_t notes_size() const { return end_ - notes; }
    [[nodiscard]] constexpr std::span<const std::byte> bytes() const { return bytes_; }

private:
    form form_;
    std::uint64_t count_ = 0;
    std::uint64_t section_count_ = 0;
    std::uint64_t end_ = notes;
    std::array<std::byte, size> bytes_{};
};

inline constexpr std::string_view gnu{"GNU\0", 4};

/// A file with a build ID of that many bytes: 1, 2, 3, ...
constexpr file good(form f, std::size_t id_size = 20) {
    file made{f};
    made.note(gnu, nt_gnu_build_id, id_size);
    return made.segment(1, 0, file::size).segment(4, file::notes, made.notes_size());
}

constexpr std::size_t read_id(std::span<const std::byte> bytes, std::span<std::byte> to) {
    const elf::bytes_source source{bytes};
    return elf::image{source}.build_id(to);
}

/// Whether the file's build ID is first, first + 1, ... of that size.
constexpr bool has_id(const file& f, std::size_t size, unsigned first = 1) {
    std::byte id[build_id::capacity] = {};
    if (read_id(f.bytes(), id) != size) return false;
    for (std::size_t i = 0; i < size; ++i)
        if (id[i] != static_cast<std::byte>(first + i)) return false;
    return true;
}

/// An object without program headers: a section of no type, one of code, and one of notes.
constexpr file object(form f, std::size_t id_size = 20, std::uint64_t align = 4) {
    file made{f};
    made.note(gnu, 1, 16, 100, align).note(gnu, nt_gnu_build_id, id_size, 1, align);
    made.put(f.wide ? 54 : 42, 0, 2);  // e_phentsize
    return made.section(0, 0, 0).section(1, file::notes, made.notes_size()).section(7, file::notes, made.notes_size(), align);
}

/// Bytes of which no read fails.
struct whole_file {
    std::span<const std::byte> bytes;
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept { return elf::bytes_source{bytes}(offset, to); }
    static bool failed() noexcept { return false; }
};

}  // namespace support

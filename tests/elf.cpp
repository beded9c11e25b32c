// What is pure about a file's identity: the ELF reader, build IDs as values, and what kind of memory a mapping is. What is
// constexpr is checked by the compiler and once more when this runs.
#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>
#include <procmap/kind.hpp>
#include <procmap/mapped_file.hpp>
#include <procmap/text.hpp>

using procmap::build_id;
using procmap::build_id_source;
using procmap::build_id_view;
using procmap::errc;
using procmap::kind_of;
using procmap::mapping;
using procmap::mapping_kind;
namespace elf = procmap::elf;
using namespace std::string_view_literals;

// Runs a check, a lambda that returns whether it holds, at compile time and again at run time.
#define CHECK_TWICE(...)                     \
    do {                                     \
        constexpr auto proved = __VA_ARGS__; \
        static_assert(proved());             \
        CHECK(proved());                     \
    } while (false)

namespace {

// ---- ELF files, made here

/// Word size and byte order.
struct form {
    bool wide, big;
};
constexpr form forms[] = {{true, false}, {true, true}, {false, false}, {false, true}};

constexpr std::uint32_t nt_gnu_build_id = 3;

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

constexpr std::string_view gnu{"GNU\0", 4};

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

// ---- the build ID of a file

TEST_CASE("a build ID is found in files of both word sizes and both byte orders, whatever its size") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::size_t size : {1u, 8u, 16u, 20u, 32u, 64u})
                if (!has_id(good(f, size), size)) return false;
        return true;
    });
}

TEST_CASE("a build ID that does not fit is not taken") {
    CHECK_TWICE([] {
        std::byte small[19] = {};
        for (const form f : forms)
            if (!has_id(good(f, 65), 0) || !has_id(good(f, 0), 0) || read_id(good(f).bytes(), small) != 0) return false;
        return true;
    });
}

TEST_CASE("the build ID is found among other notes and segments, with either alignment") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t align : {0u, 1u, 4u, 8u}) {
                const std::uint64_t used = align == 8 ? 8 : 4;
                file made{f};
                made.note(gnu, 1, 16, 100, used)
                    .note("stapsdt\0"sv, 3, 21, 110, used)
                    .note("GN", 3, 7, 120, used)
                    .note("GNX\0"sv, 3, 20, 130, used)
                    .note("", 3, 20, 140, used)
                    .note(gnu, 5, 3, 150, used)
                    .note(gnu, 3, 20, 1, used)
                    .note(gnu, 3, 20, 160, used);
                made.segment(1, 0, 100)
                    .segment(4, 0, 0, align)
                    .segment(2, file::notes, 400)
                    .segment(4, file::notes, made.notes_size(), align);
                if (!has_id(made, 20)) return false;
            }
        return true;
    });
}

TEST_CASE("of several build IDs, the first that the kernel can return counts, and a longer one only without it") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file longer_first{f};
            longer_first.note(gnu, nt_gnu_build_id, 32, 1).note(gnu, nt_gnu_build_id, 20, 101).note(gnu, nt_gnu_build_id, 8, 1);
            longer_first.segment(4, file::notes, longer_first.notes_size());
            std::byte id[build_id::capacity] = {};
            if (read_id(longer_first.bytes(), id) != 20 || id[0] != std::byte{101}) return false;
            file only_longer{f};
            only_longer.note(gnu, nt_gnu_build_id, 32, 7).note(gnu, nt_gnu_build_id, 24, 50);
            only_longer.segment(4, file::notes, only_longer.notes_size());
            if (read_id(only_longer.bytes(), id) != 32 || id[0] != std::byte{7}) return false;
            // One whose bytes are not there leaves the longer as it is.
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 32, 7).note(gnu, nt_gnu_build_id, 20, 50);
            cut.segment(4, file::notes, cut.notes_size());
            const auto there = static_cast<std::size_t>(file::notes + cut.notes_size() - 1);
            if (read_id(cut.bytes().first(there), id) != 32 || id[0] != std::byte{7} || id[19] != std::byte{26}) return false;
        }
        return true;
    });
}

TEST_CASE("a bound that is reached is said") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made = good(f);
            bool bounded = true;
            std::byte id[build_id::capacity] = {};
            const elf::bytes_source source{made.bytes()};
            if (elf::image{source}.build_id(id, bounded) != 20 || bounded) return false;
            made.segments(elf::most_segments);
            if (elf::image{source}.cut_off()) return false;
            made.segments(elf::most_segments + 1);
            if (!elf::image{source}.cut_off()) return false;
        }
        return true;
    });
    for (const form f : forms) {
        file empty_notes{f};  // zeros are notes of no name and no content
        empty_notes.segment(4, file::notes, UINT32_MAX);
        const auto source = [&](std::uint64_t offset, std::span<std::byte> to) {
            if (offset < file::notes) return elf::bytes_source{empty_notes.bytes()}(offset, to);
            std::fill(to.begin(), to.end(), std::byte{0});
            return true;
        };
        std::byte id[build_id::capacity];
        bool bounded = false;
        CHECK(elf::image{source}.build_id(id, bounded) == 0);
        CHECK(bounded);
    }
}

TEST_CASE("a note of the wrong name or type is none") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::string_view name : {"GNU"sv, "GNX\0"sv, "XNU\0"sv, "GNU\1"sv, "GNU\0\0\0\0\0"sv, "gnu\0"sv}) {
                file made{f};
                made.note(name, nt_gnu_build_id, 20);
                made.segment(4, file::notes, made.notes_size());
                if (!has_id(made, 0)) return false;
            }
        return true;
    });
}

TEST_CASE("with PN_XNUM the first section header has the count") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made = good(f);
            made.segments(0xffff).word(40, 32, 800);
            made.put(f.wide ? 800 + 44 : 800 + 28, 2, 4);
            if (!has_id(made, 20)) return false;
            made.put(f.wide ? 800 + 44 : 800 + 28, 0xffffffff, 4);
            if (!has_id(made, 20)) return false;
            made.word(40, 32, f.wide ? UINT64_MAX : UINT32_MAX);
            if (!has_id(made, 0)) return false;
        }
        return true;
    });
}

TEST_CASE("what is no ELF file is not valid, and has no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::size_t at : {0u, 1u, 2u, 3u, 4u, 5u}) {
                file made = good(f);
                made.put(at, 9, 1);
                const elf::bytes_source source{made.bytes()};
                if (elf::image{source}.valid() || !has_id(made, 0)) return false;
            }
        const elf::bytes_source nothing{};
        return !elf::image{nothing}.valid();
    });
}

TEST_CASE("program headers that are too small are not read") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t size : {0u, 1u, f.wide ? 55u : 31u}) {
                file made = good(f);
                made.put(f.wide ? 54 : 42, size, 2);
                const elf::bytes_source source{made.bytes()};
                if (elf::image{source}.valid() || !has_id(made, 0)) return false;
            }
        return true;
    });
}

/// Memory that ends where reading faults.
class guarded {
public:
    explicit guarded(std::size_t room)
        : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))), pages_((room + page_ - 1) / page_) {
        memory_ = static_cast<std::byte*>(
            ::mmap(nullptr, (pages_ + 1) * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ::mprotect(memory_ + pages_ * page_, page_, PROT_NONE);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { ::munmap(memory_, (pages_ + 1) * page_); }
    std::span<const std::byte> at_the_end(std::span<const std::byte> bytes) {
        std::byte* const to = memory_ + pages_ * page_ - bytes.size();
        std::copy(bytes.begin(), bytes.end(), to);
        return {to, bytes.size()};
    }

private:
    std::size_t page_, pages_;
    std::byte* memory_;
};

TEST_CASE("a file that is cut short anywhere has its build ID or none, and nothing behind it is read") {
    guarded memory{file::size};
    for (const form f : forms) {
        const file made = good(f);
        const auto whole = static_cast<std::size_t>(file::notes + made.notes_size());
        for (std::size_t size = 0; size <= file::size; ++size) {
            std::byte id[build_id::capacity];
            const std::size_t found = read_id(memory.at_the_end(made.bytes().first(size)), id);
            CHECK(found == (size >= whole ? 20 : 0));
            if (found == 20) CHECK(std::equal(id, id + 20, made.bytes().begin() + file::notes + 16));
        }
    }
}

/// A source that counts how often it is read.
struct counted {
    std::span<const std::byte> bytes;
    int* reads;
    bool endless = false;  // gives the bytes at 512 again and again behind the end
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        ++*reads;
        if (endless && offset >= file::size) offset = file::notes + (offset - file::notes) % 16;
        return elf::bytes_source{bytes}(offset, to);
    }
};

int reads_of(const file& f, bool endless = false) {
    int reads = 0;
    const counted source{f.bytes(), &reads, endless};
    std::byte id[build_id::capacity];
    CHECK(elf::image{source}.build_id(id) == 0);
    return reads;
}

TEST_CASE("what a hostile file costs is bounded") {
    constexpr int bound = 10 + static_cast<int>(elf::most_segments) + 2 * static_cast<int>(elf::most_notes);
    for (const form f : forms) {
        const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
        for (const std::uint64_t size :
             {std::uint64_t{0}, std::uint64_t{12}, file::size - file::notes, largest / 2, largest - file::notes, largest}) {
            file empty_notes{f};  // zeros are notes of no name and no content
            CHECK(reads_of(empty_notes.segment(4, file::notes, size)) <= bound);
            CHECK(reads_of(empty_notes, true) <= bound);
            file many{f};
            many.segment(4, file::notes, size);
            many.put(f.wide ? 54 : 42, f.wide ? 56 : 32, 2).segments(0xfffe);
            CHECK(reads_of(many, true) <= bound);
        }
        file same{f};  // every header is the first one
        same.note(gnu, 1, 4);
        CHECK(reads_of(same.segment(4, file::notes, file::size - file::notes).segments(0xfffe)) <= bound);
    }
}

TEST_CASE("offsets and sizes that lie give no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
            for (const std::uint64_t back : {0u, 3u, 4u, 11u, 12u, 15u, 16u, 36u, 63u}) {
                file elsewhere{f};
                elsewhere.note(gnu, nt_gnu_build_id, 20);
                if (!has_id(elsewhere.segment(4, largest - back, 36), 0)) return false;
                if (!has_id(elsewhere.segment(4, largest - back, largest), 0)) return false;
                file table = good(f);
                if (!has_id(table.word(32, 28, largest - back), 0)) return false;
                file content{f};
                content.note(gnu, nt_gnu_build_id, 20).put(file::notes + 4, UINT32_MAX - back, 4);
                if (!has_id(content.segment(4, file::notes, largest), 0)) return false;
                file name{f};
                name.note(gnu, nt_gnu_build_id, 20).put(file::notes, UINT32_MAX - back, 4);
                if (!has_id(name.segment(4, file::notes, largest), 0)) return false;
            }
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 20);
            if (!has_id(cut.segment(4, file::notes, cut.notes_size() - 1), 0)) return false;
        }
        return true;
    });
}

TEST_CASE("segments that overlap each give what they hold") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made{f};
            made.note(gnu, 1, 4).note(gnu, nt_gnu_build_id, 20);
            made.segment(4, file::notes + 4, made.notes_size() - 4)
                .segment(4, 0, file::size)
                .segment(4, file::notes, made.notes_size());
            if (!has_id(made, 20)) return false;
        }
        return true;
    });
}

// ---- build IDs in sections

/// Whether the build ID of the file's sections is first, first + 1, ... of that size.
constexpr bool has_section_id(std::span<const std::byte> bytes, std::size_t size, unsigned first = 1, bool bound = false) {
    const elf::bytes_source source{bytes};
    std::byte id[build_id::capacity] = {};
    bool bounded = !bound;
    if (elf::image{source}.section_build_id(id, bounded) != size || bounded != bound) return false;
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

TEST_CASE("a build ID is found in a section of notes, of whatever word size, byte order and alignment") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t align : {4u, 8u})
                for (const std::size_t size : {1u, 8u, 20u, 32u, 64u}) {
                    const file made = object(f, size, align);
                    if (!has_section_id(made.bytes(), size)) return false;
                    const elf::bytes_source source{made.bytes()};
                    const elf::image image{source};
                    if (image.valid() || !image.has_sections() || !has_id(made, 0)) return false;
                }
        return true;
    });
}

TEST_CASE("of several sections' build IDs, the first that the kernel could return counts, and a longer one only without it") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made{f};
            made.note(gnu, nt_gnu_build_id, 32, 7);
            const std::uint64_t second = file::notes + made.notes_size();
            made.note(gnu, nt_gnu_build_id, 20, 101);
            made.section(7, file::notes, second - file::notes);
            if (!has_section_id(made.bytes(), 32, 7)) return false;
            made.section(7, second, file::notes + made.notes_size() - second).section(7, file::notes, second - file::notes);
            if (!has_section_id(made.bytes(), 20, 101)) return false;
        }
        return true;
    });
}

TEST_CASE("with more sections than the header can say, the first section header has the count") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const auto counted_in_first = [&](std::uint64_t count) {
                file made = object(f);
                made.put(f.wide ? 60 : 48, 0, 2);
                return made.word(file::sections + 32, file::sections + 20, count);
            };
            if (!has_section_id(counted_in_first(3).bytes(), 20) || !has_section_id(counted_in_first(2).bytes(), 0)) return false;
            if (!has_section_id(counted_in_first(0).bytes(), 0)) return false;
            // What was found before the bound is the answer; that there is more is said.
            for (const std::uint64_t many : {std::uint64_t{elf::most_sections} + 1, f.wide ? UINT64_MAX : UINT32_MAX})
                if (!has_section_id(counted_in_first(many).bytes(), 20, 1, true)) return false;
        }
        return true;
    });
}

TEST_CASE("section headers and notes of sections that lie give no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
            file none = object(f);
            if (!has_section_id(none.word(40, 32, 0).bytes(), 0)) return false;
            for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, none.section_size() - 1}) {
                file small = object(f);
                if (!has_section_id(small.put(f.wide ? 58 : 46, size, 2).bytes(), 0)) return false;
            }
            for (const std::uint64_t back : {0u, 3u, 11u, 12u, 39u, 40u, 63u, 64u, 200u}) {
                file table = object(f);
                if (!has_section_id(table.word(40, 32, largest - back).bytes(), 0)) return false;
                if (!has_section_id(table.put(f.wide ? 60 : 48, 0, 2).bytes(), 0)) return false;
                file elsewhere{f};
                elsewhere.note(gnu, nt_gnu_build_id, 20).section(7, largest - back, 36).section(7, largest - back, largest);
                if (!has_section_id(elsewhere.bytes(), 0)) return false;
                file content{f};
                content.note(gnu, nt_gnu_build_id, 20).put(file::notes + 4, UINT32_MAX - back, 4).section(7, file::notes, 1024 - 512);
                if (!has_section_id(content.bytes(), 0)) return false;
            }
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 20).section(7, file::notes, cut.notes_size() - 1);
            if (!has_section_id(cut.bytes(), 0)) return false;
            file wrong = object(f);
            if (!has_section_id(wrong.put(1, 'e', 1).bytes(), 0)) return false;
        }
        return true;
    });
    guarded memory{file::size};
    for (const form f : forms) {
        const file made = object(f);
        const auto whole = static_cast<std::size_t>(file::sections + 3 * made.section_size());
        for (std::size_t size = 0; size <= file::size; ++size)
            CHECK(has_section_id(memory.at_the_end(made.bytes().first(size)), size >= whole ? 20 : 0));
    }
}

TEST_CASE("what hostile section headers cost is bounded") {
    constexpr int bound = 10 + static_cast<int>(elf::most_sections) + 3 * static_cast<int>(elf::most_notes);
    for (const form f : forms)
        for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{12}, file::size - file::notes, f.wide ? UINT64_MAX : UINT32_MAX})
            for (const unsigned count : {0u, 3u, 0xffffu}) {
                file made{f};
                made.section(7, file::notes, length).put(f.wide ? 60 : 48, count, 2);
                for (const std::size_t id_size : {0u, 65u}) {
                    made.note(gnu, nt_gnu_build_id, id_size);
                    int reads = 0;
                    const auto source = [&](std::uint64_t offset, std::span<std::byte> to) {  // every header is the first one
                        ++reads;
                        if (offset >= file::size) offset = file::notes + (offset - file::notes) % 16;
                        else if (offset >= file::sections) offset = file::sections;
                        return elf::bytes_source{made.bytes()}(offset, to);
                    };
                    std::byte id[build_id::capacity];
                    bool bounded = false;
                    CHECK(elf::image{source}.section_build_id(id, bounded) == 0);
                    CHECK(reads <= bound);
                }
            }
}

// ---- what is known of a file

/// Bytes of which no read fails.
struct whole_file {
    std::span<const std::byte> bytes;
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept { return elf::bytes_source{bytes}(offset, to); }
    static bool failed() noexcept { return false; }
};

struct known {
    bool id_known = false;
    std::size_t size = 0;
    int first = 0;
    std::size_t loads = 0;
    friend bool operator==(const known&, const known&) = default;
};

template <class Source>
known known_of(const Source& source, build_id_source way = build_id_source::map_files) {
    procmap::detail::image_facts facts;
    if (!procmap::detail::read_image(source, way, facts)) return {};
    const auto bytes = build_id_view{facts.id}.bytes();
    return {facts.id_known, facts.id.size(), bytes.empty() ? 0 : std::to_integer<int>(bytes[0]), facts.loads.size()};
}

TEST_CASE("where no segment has a build ID, those of sections count; a segment's comes first") {
    for (const form f : forms) {
        CHECK(known_of(whole_file{object(f).bytes()}) == known{true, 20, 1, 0});
        CHECK(known_of(whole_file{object(f, 32).bytes()}) == known{true, 32, 1, 0});
        file both{f};
        both.note(gnu, nt_gnu_build_id, 32, 50);
        const std::uint64_t second = file::notes + both.notes_size();
        both.note(gnu, nt_gnu_build_id, 20, 101);
        both.segment(1, 0, file::size).segment(4, file::notes, second - file::notes);
        both.section(7, second, file::notes + both.notes_size() - second);
        CHECK(known_of(whole_file{both.bytes()}) == known{true, 32, 50, 1});
        // Memory has no section headers: what its segments do not have is not known, unless there are none.
        CHECK(known_of(whole_file{both.bytes()}, build_id_source::memory) == known{true, 32, 50, 1});
        CHECK(known_of(whole_file{object(f).bytes()}, build_id_source::memory) == known{false, 0, 0, 0});
        file none{f};
        none.segment(1, 0, file::size);
        CHECK(known_of(whole_file{none.bytes()}, build_id_source::memory) == known{true, 0, 0, 1});
        CHECK(known_of(whole_file{none.bytes()}) == known{true, 0, 0, 1});
    }
}

TEST_CASE("where a bound was reached, the build ID is not known, rather than none or the wrong one of two") {
    for (const form f : forms) {
        file segments = good(f, 0);
        CHECK(known_of(whole_file{segments.bytes()}) == known{true, 0, 0, 1});
        segments.segments(elf::most_segments);
        CHECK(known_of(whole_file{segments.bytes()}).id_known);
        segments.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{segments.bytes()}) == known{});
        file numbered = good(f, 0);  // PN_XNUM
        numbered.segments(0xffff).word(40, 32, 800).put(f.wide ? 800 + 44 : 800 + 28, 0x10000, 4);
        CHECK(known_of(whole_file{numbered.bytes()}) == known{});
        numbered.put(f.wide ? 800 + 44 : 800 + 28, 2, 4);
        CHECK(known_of(whole_file{numbered.bytes()}) == known{true, 0, 0, 1});
        numbered.word(40, 32, file::size);  // how many there are cannot be read
        CHECK(known_of(whole_file{numbered.bytes()}) == known{});
        file before_the_bound = good(f);
        before_the_bound.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{before_the_bound.bytes()}) == known{true, 20, 1, 0});
        file longer = good(f, 32);  // behind the bound there can be one that the kernel returns
        longer.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{longer.bytes()}) == known{});

        for (const bool by_section : {false, true})
            for (const std::uint64_t count : {std::uint64_t{elf::most_notes}, std::uint64_t{elf::most_notes} + 1}) {
                file notes{f};  // zeros are notes of no name and no content
                if (by_section)
                    notes.section(7, file::size, 12 * count);
                else
                    notes.segment(4, file::size, 12 * count);
                struct zeros {
                    file* of;
                    bool operator()(std::uint64_t offset, std::span<std::byte> to) const {
                        if (offset < file::size) return elf::bytes_source{of->bytes()}(offset, to);
                        std::fill(to.begin(), to.end(), std::byte{0});
                        return true;
                    }
                    static bool failed() noexcept { return false; }
                };
                CHECK(known_of(zeros{&notes}).id_known == (count == elf::most_notes));
            }
        CHECK(known_of(whole_file{good(f, 64).bytes()}) == known{true, 64, 1, 1});
        CHECK(known_of(whole_file{good(f, 65).bytes()}) == known{false, 0, 0, 1});  // more than a build_id can hold
        file too_long{f};
        too_long.note(gnu, nt_gnu_build_id, 65).note(gnu, nt_gnu_build_id, 32, 90);
        too_long.segment(4, file::notes, too_long.notes_size());
        CHECK(known_of(whole_file{too_long.bytes()}) == known{});
        file then_brief{f};
        then_brief.note(gnu, nt_gnu_build_id, 65).note(gnu, nt_gnu_build_id, 20, 90);
        then_brief.segment(4, file::notes, then_brief.notes_size());
        CHECK(known_of(whole_file{then_brief.bytes()}) == known{true, 20, 90, 0});

        file sections = object(f, 0);
        CHECK(known_of(whole_file{sections.bytes()}) == known{true, 0, 0, 0});
        sections.put(f.wide ? 60 : 48, elf::most_sections + 1, 2);
        CHECK(known_of(whole_file{sections.bytes()}) == known{});
        CHECK(known_of(whole_file{object(f, 65).bytes()}) == known{});
    }
    std::vector<elf::segment> loads(elf::most_loads + 1);
    for (std::size_t i = 0; i < loads.size(); ++i)
        loads[i] = {.type = elf::segment::load, .offset = i * 4096, .address = i * 4096, .file_size = 4096, .alignment = 4096};
    CHECK(!elf::loadable(loads, 4096));
    loads.pop_back();
    CHECK(elf::loadable(loads, 4096));
}

// ---- a second opinion

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

// ---- real files

std::string output_of(const std::string& command) {
    FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    std::string text;
    char piece[65536];
    for (std::size_t n; pipe != nullptr && (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, n);
    if (pipe != nullptr) ::pclose(pipe);
    return text;
}

std::vector<std::byte> contents(const std::string& path) {
    std::ifstream in{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

/// Programs and shared libraries of this machine: those with program headers.
std::vector<std::string> real_files(std::size_t at_most) {
    std::vector<std::string> files;
    for (const char* directory : {"/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
                                  "/usr/lib/riscv64-linux-gnu", "/usr/lib64", "/usr/lib"}) {
        std::error_code ignored;
        std::size_t here = 0;
        for (const auto& entry : std::filesystem::directory_iterator{directory, ignored}) {
            if (here >= at_most || !entry.is_regular_file(ignored) || entry.file_size(ignored) > 8'000'000) continue;
            const std::string path = entry.path();
            char head[18] = {};
            std::ifstream{path, std::ios::binary}.read(head, sizeof head);
            const bool loaded = head[16] == 2 || head[16] == 3 || head[17] == 2 || head[17] == 3;  // ET_EXEC, ET_DYN
            if (std::memcmp(head, "\x7f""ELF", 4) != 0 || !loaded || path.find('\'') != std::string::npos) continue;
            files.push_back(path);
            ++here;
        }
    }
    return files;
}

std::string arguments(const std::vector<std::string>& files) {
    std::string words = " /dev/null";  // of more than one file, readelf prints the names
    for (const std::string& f : files) words += " '" + f + '\'';
    return words;
}

template <class Printable>
std::string printed(const Printable& what) {
    std::string text;
    print([&text](std::string_view piece) { text += piece; }, what);
    return text;
}

TEST_CASE("the build IDs of real files are those that readelf prints") {
    const auto files = real_files(600);
    std::map<std::string, std::string> expected;
    std::istringstream lines{output_of("readelf -nW" + arguments(files))};
    std::string line, current;
    while (std::getline(lines, line)) {
        if (line.starts_with("File: ")) current = line.substr(6);
        if (const auto at = line.find("Build ID: "); at != std::string::npos)
            expected.try_emplace(current, line.substr(at + 10));
    }
    if (expected.empty()) {
        std::printf("NOT INCLUDED: no readelf here, or no ELF files\n");
        return;
    }
    for (const std::string& f : files) {
        std::byte id[build_id::capacity];
        const auto bytes = contents(f);
        INFO(f);
        CHECK(printed(build_id{std::span{id}.first(read_id(bytes, id))}) == expected[f]);
    }
    std::printf("%zu files, %zu build IDs compared\n", files.size(), expected.size());
}

TEST_CASE("the build IDs of objects, which only sections have, are those that readelf prints") {
    char directory[] = "/tmp/procmap.elf.XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    const std::string d = directory;
    const std::string make =
        "cd " + d + " && echo 'int one(void) { return 1; }' > one.c && echo 'int two(void) { return 2; }' > two.c && "
        "printf '%s\\n' '.section .note.gnu.build-id,\"\",%note' '.balign 4' '.long 4, 20, 3' '.asciz \"GNU\"' '.fill 20, 1, 0x5a' > id.s && "
        "printf '%s\\n' '.section .note.other,\"\",%note' '.balign 4' '.long 4, 32, 3' '.asciz \"GNU\"' '.fill 32, 1, 0x6b' > long.s && "
        "cc -c one.c -o one.o && cc -c id.s -o id.o && cc -c long.s -o long.o && "
        "ld -r --build-id one.o -o linked.o && ld -r one.o id.o -o joined.o && ld -r long.o id.o -o both.o && ld -r one.o long.o -o longer.o && "
        "cc -shared -nostdlib -Wl,--build-id -o lib.so one.o && objcopy --only-keep-debug lib.so lib.debug";
    if (std::system(("{ " + make + "; } >/dev/null 2>&1").c_str()) != 0) {
        std::printf("NOT INCLUDED: no compiler or linker\n");
    } else {
        // A library whose program headers no longer name the note.
        auto bytes = contents(d + "/lib.so");
        const bool wide = bytes[4] == std::byte{2};
        std::uint64_t at = 0;
        std::uint16_t count = 0;
        std::memcpy(&at, bytes.data() + (wide ? 32 : 28), wide ? 8 : 4);  // of this machine's byte order
        std::memcpy(&count, bytes.data() + (wide ? 56 : 44), 2);
        for (; count > 0; --count, at += wide ? 56 : 32)
            if (std::uint32_t type = 0; std::memcpy(&type, &bytes[static_cast<std::size_t>(at)], 4), type == 4)
                std::memset(&bytes[static_cast<std::size_t>(at)], 0, 4);
        std::ofstream{d + "/patched.so", std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        int compared = 0;
        for (const char* name : {"one.o", "id.o", "long.o", "linked.o", "joined.o", "longer.o", "both.o", "lib.so", "lib.debug", "patched.so"}) {
            const std::string file_name = d + '/' + name;
            std::istringstream lines{output_of("readelf -nW " + file_name)};
            std::string line, expected;
            while (std::getline(lines, line))
                if (const auto key = line.find("Build ID: "); key != std::string::npos)
                    if (expected.empty() || (expected.size() > 40 && line.size() - key - 10 <= 40)) expected = line.substr(key + 10);
            const auto file_bytes = contents(file_name);
            procmap::detail::image_facts facts;
            INFO(file_name);
            CHECK(procmap::detail::read_image(whole_file{file_bytes}, build_id_source::root_path, facts));
            CHECK(facts.id_known);
            CHECK(printed(facts.id) == expected);
            CHECK(expected.empty() == (std::string_view{name} == "one.o"));
            compared += !expected.empty();
        }
        std::printf("%d build IDs of objects compared\n", compared);
        CHECK(compared == 9);
    }
    std::filesystem::remove_all(d);
}

TEST_CASE("the ELF address of a byte of a file is as readelf's program headers say") {
    const auto files = real_files(60);
    struct load {
        unsigned long long offset, address, size;
    };
    std::map<std::string, std::vector<load>> expected;
    std::istringstream lines{output_of("readelf -lW" + arguments(files))};
    std::string line, current;
    while (std::getline(lines, line)) {
        if (line.starts_with("File: ")) current = line.substr(6);
        load l{};
        if (std::sscanf(line.c_str(), " LOAD 0x%llx 0x%llx 0x%*x 0x%llx", &l.offset, &l.address, &l.size) == 3 && l.size != 0)
            expected[current].push_back(l);
    }
    std::mt19937_64 random{2};
    int compared = 0;
    for (const auto& entry : expected) {
        const auto& f = entry.first;
        const auto& loads = entry.second;
        const auto bytes = contents(f);
        const elf::bytes_source source{bytes};
        const elf::image image{source};
        std::vector<elf::segment> segments;
        elf::segment s;
        for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i) segments.push_back(s);
        for (const load& l : loads)
            for (int i = 0; i < 50; ++i) {
                const std::uint64_t inside = i == 0 ? 0 : i == 1 ? l.size - 1 : random() % l.size;
                std::uint64_t address = 0;
                INFO(f);
                CHECK(elf::address_in_file(segments, l.offset + inside, address));
                CHECK(address == l.address + inside);
                ++compared;
            }
    }
    std::printf("%d ELF addresses compared\n", compared);
}

constexpr elf::segment load_at(std::uint64_t offset, std::uint64_t address, std::uint64_t size) {
    return {.type = elf::segment::load, .flags = 4, .offset = offset, .address = address, .file_size = size, .alignment = 4096};
}

constexpr std::uint64_t no_address = 0x0dead;

constexpr std::uint64_t address_in(std::span<const elf::segment> segments, std::uint64_t offset) {
    std::uint64_t address = no_address;
    return elf::address_in_file(segments, offset, address) ? address : no_address;
}

// What load_bias() makes of segments that share a page: tests/segments/load_bias.cpp.
TEST_CASE("a byte of a file has the address of the segment that holds it, and none beside or between segments") {
    CHECK_TWICE([] {
        constexpr elf::segment segments[] = {load_at(0x10, 0x10, 0x10f0), load_at(0x1100, 0x2100, 0x1200), load_at(0x2400, 0x4400, 0x100)};
        return address_in(segments, 0x0f) == no_address && address_in(segments, 0x10) == 0x10 && address_in(segments, 0x10ff) == 0x10ff &&
               address_in(segments, 0x1100) == 0x2100 && address_in(segments, 0x22ff) == 0x32ff && address_in(segments, 0x2300) == no_address &&
               address_in(segments, 0x24ff) == 0x44ff && address_in(segments, 0x2500) == no_address && address_in({}, 0x1100) == no_address;
    });
}

TEST_CASE("a byte that two segments hold has no address, and a page that only one touches no more than its bytes") {
    CHECK_TWICE([] {
        constexpr elf::segment overlapping[] = {load_at(0, 0, 0x1100), load_at(0x1000, 0x3000, 0x1000)};
        return address_in(overlapping, 0xfff) == 0xfff && address_in(overlapping, 0x1000) == no_address &&
               address_in(overlapping, 0x10ff) == no_address && address_in(overlapping, 0x1100) == 0x3100;
    });
}

TEST_CASE("segments that lie, or load nothing, hold no address") {
    CHECK_TWICE([] {
        elf::segment note = load_at(0, 0, 0x1000);
        note.type = elf::segment::note;
        const elf::segment lies[] = {note, load_at(0x1000, 0, 0), load_at(UINT64_MAX - 10, 0, 100), load_at(0x2000, 0, UINT64_MAX)};
        return address_in(lies, 0x10) == no_address && address_in(lies, 0x1000) == no_address &&
               address_in(lies, UINT64_MAX) == no_address && address_in(lies, 0x2000) == no_address &&
               address_in(lies, 5) == no_address;
    });
}

// ---- build IDs as values

constexpr build_id counting(std::size_t size, build_id_source from = build_id_source::given) {
    std::byte bytes[100] = {};
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(7 * i + 1);
    return build_id{std::span{bytes}.first(size), from};
}

TEST_CASE("a build ID holds up to 64 bytes, and says who gave it") {
    CHECK_TWICE([] {
        const build_id none, full = counting(64, build_id_source::map_files), over = counting(65);
        return none.empty() && none.source() == build_id_source::none && full.size() == 64 &&
               full.bytes()[63] == std::byte{186} && full.source() == build_id_source::map_files && over.empty() &&
               over.source() == build_id_source::none && counting(0, build_id_source::kernel).source() == build_id_source::none;
    });
}

TEST_CASE("equality is of the bytes, whoever said them") {
    CHECK_TWICE([] {
        const build_id a = counting(20, build_id_source::kernel), b = counting(20, build_id_source::memory),
                       shorter = counting(19);
        return a == b && a != shorter && a == build_id_view{b.bytes()} && shorter != build_id_view{b.bytes()} &&
               build_id{} == build_id{};
    });
}

TEST_CASE("what is printed is read back") {
    for (std::size_t size = 1; size <= build_id::capacity; ++size) {
        const build_id id = counting(size);
        std::string hex = printed(id);
        CHECK(hex.size() == 2 * size);
        CHECK(build_id::parse(hex).value() == id);
        std::transform(hex.begin(), hex.end(), hex.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        CHECK(build_id::parse(hex).value() == id);
        CHECK(build_id::parse(hex).value().source() == build_id_source::given);
        std::ostringstream stream;
        stream << id;
        CHECK(stream.str() == printed(id));
    }
    CHECK(printed(build_id{}).empty());
    CHECK_TWICE(
        [] { return build_id::parse("00fFA9")->bytes()[1] == std::byte{0xff} && build_id::parse("00fFA9")->size() == 3; });
}

TEST_CASE("what is no build ID is malformed, and the error says where") {
    struct wrong {
        std::string hex;
        std::uint64_t offset;
    };
    for (const wrong& w : std::initializer_list<wrong>{{"", 0},
                                                       {"a", 1},
                                                       {"abc", 3},
                                                       {"0x12", 1},
                                                       {"12 34", 2},
                                                       {"12g4", 2},
                                                       {"12/4", 2},
                                                       {"12:4", 2},
                                                       {"@1", 0},
                                                       {"`1", 0},
                                                       {"G1", 0},
                                                       {"a\x80", 1},
                                                       {std::string(1, '\0') + "1", 0},
                                                       {std::string(129, 'a'), 128},
                                                       {std::string(130, 'a'), 128}}) {
        INFO(w.hex);
        const auto parsed = build_id::parse(w.hex);
        CHECK(parsed.error() == errc::malformed);
        CHECK(parsed.error().at == procmap::step::parse);
        CHECK(parsed.error().offset == w.offset);
    }
    for (int c = 0; c < 256; ++c) {
        const std::string hex{static_cast<char>(c), '0'};
        CHECK(build_id::parse(hex).has_value() == (std::strchr("0123456789abcdefABCDEF", c) != nullptr && c != 0));
    }
}

TEST_CASE("build IDs are hashed by their bytes") {
    const std::hash<build_id> hash;
    CHECK(hash(counting(20, build_id_source::kernel)) == hash(counting(20, build_id_source::memory)));
    std::unordered_set<build_id> all;
    for (std::size_t size = 0; size <= build_id::capacity; ++size)
        all.insert(counting(size)), all.insert(counting(size, build_id_source::kernel));
    CHECK(all.size() == 65);
}

// ---- kinds of memory

struct spelling {
    std::string_view name;
    procmap::device_number device;
    std::uint64_t inode, page_size;
    mapping_kind kind;
};

constexpr procmap::device_number disk{0xfe, 0}, kernels{0, 1}, none{0, 0};
constexpr spelling spellings[] = {
    {"/usr/bin/true", disk, 5, 4096, mapping_kind::file},
    {"/usr/bin/true", {0, 40}, 5, 4096, mapping_kind::file},
    {"", disk, 5, 4096, mapping_kind::file},
    {"/tmp/[heap]", disk, 5, 4096, mapping_kind::file},
    {"/dev/shm/x", {0, 25}, 5, 4096, mapping_kind::file},
    {"/devices", disk, 5, 4096, mapping_kind::file},
    {"/memfd:x", disk, 5, 4096, mapping_kind::file},
    {"/usr/lib/x.so", disk, 5, 65536, mapping_kind::file},
    {"/usr/bin/true (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/dev/shm/x (deleted)", {0, 25}, 5, 4096, mapping_kind::deleted_file},
    {"/memfd:x (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/SYSV1234abcd (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/SYSV (deleted)", kernels, 5, 4096, mapping_kind::deleted_file},
    {"[heap]", none, 0, 4096, mapping_kind::heap},
    {"[stack]", none, 0, 4096, mapping_kind::stack},
    {"[stack:1234]", none, 0, 4096, mapping_kind::stack},
    {"[vdso]", none, 0, 4096, mapping_kind::vdso},
    {"[vvar]", none, 0, 4096, mapping_kind::vvar},
    {"[vvar_vclock]", none, 0, 4096, mapping_kind::vvar},
    {"[vdso_data]", none, 0, 4096, mapping_kind::vvar},
    {"", none, 0, 4096, mapping_kind::anonymous},
    {"[anon:scudo:primary]", none, 0, 4096, mapping_kind::named_anonymous},
    {"[anon:]", none, 0, 4096, mapping_kind::named_anonymous},
    {"/dev/zero (deleted)", kernels, 7, 4096, mapping_kind::shared_memory},
    {"[anon_shmem:shared]", kernels, 7, 4096, mapping_kind::shared_memory},
    {"/dev/ashmem/dalvik-main space (deleted)", kernels, 7, 4096, mapping_kind::shared_memory},
    {"/memfd:name (deleted)", kernels, 7, 4096, mapping_kind::memfd},
    {"/memfd: (deleted)", kernels, 7, 0, mapping_kind::memfd},
    {"/SYSV00000000 (deleted)", kernels, 0, 4096, mapping_kind::sysv},
    {"/SYSV1234abcd (deleted)", kernels, 32768, 4096, mapping_kind::sysv},
    {"/anon_hugepage (deleted)", {0, 15}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/anon_hugepage (deleted)", {0, 15}, 9, 0, mapping_kind::hugetlb},
    {"/mnt/huge/x", {0, 50}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/dev/hugepages/x", {0, 50}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/dev/hugepages/x", {0, 50}, 9, 0, mapping_kind::file},
    {"/dev/dri/renderD128", {0, 6}, 9, 4096, mapping_kind::device},
    {"/dev/zero", {0, 6}, 9, 4096, mapping_kind::device},
    {"anon_inode:[perf_event]", {0, 16}, 1038, 4096, mapping_kind::anon_inode},
    {"anon_inode:kvm-vcpu:0", {0, 16}, 1038, 4096, mapping_kind::anon_inode},
    {"/[aio] (deleted)", {0, 19}, 51882, 4096, mapping_kind::anon_inode},
    {"[vsyscall]", none, 0, 4096, mapping_kind::other},
    {"[uprobes]", none, 0, 4096, mapping_kind::other},
    {"[uprobes-trampoline]", none, 0, 4096, mapping_kind::other},
    {"[vectors]", none, 0, 4096, mapping_kind::other},
    {"[sigpage]", none, 0, 4096, mapping_kind::other},
    {"[mpx]", none, 0, 4096, mapping_kind::other},
    {"[page size compat]", none, 0, 4096, mapping_kind::other},
    {"[a name of tomorrow]", none, 0, 4096, mapping_kind::other},
    {"/secretmem (deleted)", kernels, 7, 4096, mapping_kind::other},
    {"/secretmem (deleted)", disk, 7, 4096, mapping_kind::deleted_file},
    {"/drm mm object (deleted)", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:camera", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:camera", disk, 7, 4096, mapping_kind::file},
    {"socket:[12]", {0, 9}, 12, 4096, mapping_kind::other},
};

constexpr mapping record_of(const spelling& s) {
    return {.start = 4096, .end = 8192, .page_size = s.page_size, .inode = s.inode, .device = s.device, .name = s.name};
}

TEST_CASE("every spelling of the kernel, old and new, has its kind") {
    static_assert(std::all_of(std::begin(spellings), std::end(spellings),
                              [](const spelling& s) { return kind_of(record_of(s)) == s.kind; }));
    for (const spelling& s : spellings) {
        INFO(s.name);
        CHECK(procmap::to_string(kind_of(record_of(s))) == procmap::to_string(s.kind));
    }
    CHECK(procmap::to_string(mapping_kind::file) == "file");
    CHECK(procmap::to_string(mapping_kind::other) == "other");
}

TEST_CASE("the mappings of a strange process have the kinds that they were made with") {
    std::ifstream in{PROCMAP_TEST_DATA "/strange_process.maps", std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    REQUIRE_FALSE(text.empty());
    std::map<mapping_kind, int> counts;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        const auto m = procmap::parse_line(line);
        REQUIRE(m.has_value());
        const mapping_kind kind = kind_of(*m);
        INFO(line.substr(0, 200));
        ++counts[kind];
        const std::string_view name = m->name;
        if (name.starts_with("/var/lib/strange/") || name.starts_with("/usr/"))
            CHECK(kind == (name.ends_with(" (deleted)") ? mapping_kind::deleted_file : mapping_kind::file));
        else if (name.empty())
            CHECK(kind == mapping_kind::anonymous);
        else
            CHECK((kind != mapping_kind::file || name == "/inmnt.so"));
    }
    using k = mapping_kind;
    for (const k once : {k::heap, k::stack, k::vdso, k::memfd, k::sysv, k::other}) CHECK(counts[once] == 1);
    for (const k twice : {k::vvar, k::shared_memory, k::anon_inode}) CHECK(counts[twice] == 2);
    CHECK(counts[k::deleted_file] == 4);
}

}  // namespace

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }

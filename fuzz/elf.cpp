// Fuzzes the ELF reader. Compares its results with those of a slow, simple reader, and limits the number of reads.
#include "fuzz.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <procmap/load_bias.hpp>

namespace {

__extension__ typedef unsigned __int128 wide_number;  // no sum of values from a file overflows

struct reference {
    std::span<const std::byte> file;
    bool big = false;
    std::vector<procmap::elf::segment> segments;
    std::vector<procmap::elf::segment> note_sections;
    std::vector<std::byte> id;
    std::vector<std::byte> section_id;

    [[nodiscard]] std::optional<wide_number> read(wide_number at, unsigned size) const {
        if (at + size > file.size()) return std::nullopt;
        wide_number value = 0;
        for (unsigned i = 0; i < size; ++i) {
            const auto byte = file[static_cast<std::size_t>(at) + (big ? i : size - 1 - i)];
            value = value * 256 + std::to_integer<unsigned>(byte);
        }
        return value;
    }

    explicit reference(std::span<const std::byte> bytes) : file(bytes) {
        if (file.size() < 52 || read(0, 4) != 0x464c'457fu) return;
        const auto format = read(4, 1);
        const auto order = read(5, 1);
        if ((format != 1u && format != 2u) || (order != 1u && order != 2u)) return;
        const bool wide = format == 2u;
        big = order == 2u;
        if (wide && file.size() < 64) return;
        const wide_number table = *read(wide ? 32 : 28, wide ? 8 : 4);
        const wide_number entry = *read(wide ? 54 : 42, 2);
        find_sections(wide);
        find_id(note_sections, section_id);
        auto count = read(wide ? 56 : 44, 2);
        if (count == 0xffffu) count = read(*read(wide ? 40 : 32, wide ? 8 : 4) + (wide ? 44 : 28), 4);
        if (!count || entry < (wide ? 56 : 32)) return;
        for (unsigned i = 0; i < std::min<wide_number>(*count, procmap::elf::most_segments); ++i) {
            const wide_number at = table + i * entry;
            if (at + (wide ? 56 : 32) > file.size()) break;
            const auto field = [&](unsigned in_wide, unsigned in_narrow) {
                return static_cast<std::uint64_t>(*read(at + (wide ? in_wide : in_narrow), wide ? 8 : 4));
            };
            const auto flags = static_cast<std::uint32_t>(*read(at + (wide ? 4 : 24), 4));
            segments.push_back({static_cast<std::uint32_t>(*read(at, 4)), flags, field(8, 4), field(16, 8), field(32, 16), field(48, 28)});
        }
        find_id(segments, id);
    }

    void find_sections(bool wide) {
        const unsigned word = wide ? 8 : 4;
        const wide_number table = *read(wide ? 40 : 32, word), entry = *read(wide ? 58 : 46, 2);
        auto count = read(wide ? 60 : 48, 2);
        if (table == 0 || entry < (wide ? 64 : 40)) return;
        if (count == 0u) count = table + (wide ? 64 : 40) > file.size() ? std::nullopt : read(table + (wide ? 32 : 20), word);
        if (!count) return;
        for (unsigned i = 0; i < std::min<wide_number>(*count, procmap::elf::most_sections); ++i) {
            const wide_number at = table + i * entry;
            if (at + (wide ? 64 : 40) > file.size()) break;
            if (*read(at + 4, 4) != 7u) continue;
            procmap::elf::segment s{.type = procmap::elf::segment::note};
            s.offset = static_cast<std::uint64_t>(*read(at + (wide ? 24 : 16), word));
            s.file_size = static_cast<std::uint64_t>(*read(at + (wide ? 32 : 20), word));
            s.alignment = static_cast<std::uint64_t>(*read(at + (wide ? 48 : 32), word));
            note_sections.push_back(s);
        }
    }

    void find_id(const std::vector<procmap::elf::segment>& among, std::vector<std::byte>& to) const {
        unsigned notes = 0;
        for (const auto& s : among) {
            const wide_number align = s.alignment == 8 ? 8 : 4;
            wide_number at = 0;
            while (s.type == procmap::elf::segment::note && at + 12 <= s.file_size && notes++ < procmap::elf::most_notes) {
                const wide_number note = wide_number{s.offset} + at;
                if (!read(note, 12)) break;
                const wide_number name = *read(note, 4);
                const wide_number size = *read(note + 4, 4);
                wide_number content = at + 12 + name;
                while (content % align != 0) ++content;
                if (content + size > s.file_size) break;
                const auto gnu = read(note + 12, 4);
                const bool is_gnu = gnu == (big ? 0x474e'5500u : 0x0055'4e47u);
                if (read(note + 8, 4) == 3u && name == 4 && is_gnu && size != 0 && size <= 64 && s.offset + content + size <= file.size()) {
                    const auto first = file.begin() + static_cast<std::ptrdiff_t>(s.offset + content);
                    if (size <= 20 || to.empty()) to.assign(first, first + static_cast<std::ptrdiff_t>(size));
                    if (size <= 20) return;
                }
                at = content + size;
                while (at % align != 0) ++at;
            }
        }
    }
};

bool same(const procmap::elf::segment& a, const procmap::elf::segment& b) {
    return a.type == b.type && a.flags == b.flags && a.offset == b.offset && a.address == b.address && a.file_size == b.file_size &&
           a.alignment == b.alignment;
}

/// Maps each segment as a loader does, later ones over earlier ones, and looks up the bias of each mapping. No bias other than the loader's
/// may be returned.
void map_and_ask(std::span<const procmap::elf::segment> loads) {
    constexpr std::uint64_t page = 4096, bias = 0x7f00'0000'0000;
    namespace elf = procmap::elf;
    if (!elf::loadable(loads, page) || loads.back().address > (std::uint64_t{1} << 40) || loads.size() > 64) return;
    std::vector<elf::neighbour> mapped;  // ascending; where segments overlap, the later mapping replaces pages of the earlier
    for (std::size_t i = 0; i < loads.size(); ++i) {
        const auto& s = loads[i];
        if (s.file_size > (1u << 20)) return;
        elf::neighbour n{.start = bias + s.address / page * page, .end = bias + (s.address + s.file_size + page - 1) / page * page,
                         .offset = s.offset / page * page, .same_file = true};
        while (!mapped.empty() && mapped.back().end > n.start) {
            if (mapped.back().end > n.end) return;  // the earlier mapping would be split
            mapped.back().end = n.start;
            if (mapped.back().end <= mapped.back().start) mapped.pop_back();
        }
        mapped.push_back(n);
    }
    std::size_t asked = 0;
    const auto next = [&](std::uint64_t address, elf::neighbour& n) {
        ++asked;
        for (const auto& m : mapped)
            if (m.end > address) return n = m, true;
        return false;
    };
    for (const auto& m : mapped) {
        asked = 0;
        const auto at = elf::load_bias(loads, m.start, m.end, m.offset, page, next);
        fuzz::require(at.how != elf::placing::loaded || at.bias == bias, "the loader's bias");
        fuzz::require(asked <= 2 * elf::most_biases * loads.size(), "questions are bounded");
        fuzz::require(at.how != elf::placing::loaded || elf::agrees(loads, at.bias, page, next), "all segments confirm it");
        std::uint64_t address = 0;
        if (elf::address_in_file(loads, m.offset, address)) fuzz::require(elf::in_image(loads, address, page), "an address of the image");
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    const procmap::elf::bytes_source plain{bytes};
    std::size_t reads = 0;
    const auto counting = [&](std::uint64_t offset, std::span<std::byte> to) {
        ++reads;
        return plain(offset, to);
    };
    const procmap::elf::image image{counting};
    const reference right{bytes};

    std::byte id[64];
    const std::size_t found = image.build_id(id);
    fuzz::require(std::ranges::equal(std::span{id}.first(found), right.id), "the build ID");
    fuzz::require(reads <= 8 + 4 * (procmap::elf::most_segments + procmap::elf::most_notes), "reads are bounded");
    reads = 0;
    bool bounded = false;
    const std::size_t in_sections = image.section_build_id(id, bounded);
    fuzz::require(std::ranges::equal(std::span{id}.first(in_sections), right.section_id), "the build ID of sections");
    fuzz::require(reads <= 8 + procmap::elf::most_sections + 4 * procmap::elf::most_notes, "reads for sections are bounded");

    std::vector<procmap::elf::segment> segments;
    procmap::elf::segment s;
    for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i) segments.push_back(s);
    fuzz::require(std::ranges::equal(segments, right.segments, same), "the segments");

    std::erase_if(segments, [](const auto& segment) { return segment.type != procmap::elf::segment::load || segment.file_size == 0; });
    map_and_ask(segments);
    return 0;
}

// The ELF reader on hostile bytes: bounded reads, the same answer from any source, an ID that is in the bytes.
#include "fuzz.hpp"

#include <algorithm>
#include <vector>

#include <procmap/elf.hpp>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto image_bytes = std::as_bytes(std::span{data, size});
    const procmap::elf::bytes_source plain{image_bytes};
    std::size_t reads = 0;
    const auto counting = [&](std::uint64_t offset, std::span<std::byte> to) {
        ++reads;
        return plain(offset, to);
    };
    const procmap::elf::image image{counting};
    std::byte id[64];
    const std::size_t found = image.build_id(id);
    fuzz::require(found <= sizeof id, "the ID fits");
    fuzz::require(reads <= 8 + 4 * (procmap::elf::most_segments + procmap::elf::most_notes), "reads are bounded");
    if (found != 0)
        fuzz::require(std::search(image_bytes.begin(), image_bytes.end(), id, id + found) != image_bytes.end(), "the ID is in the file");
    std::vector<procmap::elf::segment> segments;
    procmap::elf::segment s;
    for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i) segments.push_back(s);
    for (const auto& segment : segments) {
        std::uint64_t address = 0;
        if (segment.type == procmap::elf::segment::load && segment.file_size != 0 && segment.offset + segment.file_size - 1 >= segment.offset)
            fuzz::require(procmap::elf::address_of(segments, segment.offset, true, 4096, address), "a segment holds its own first byte");
    }
    return 0;
}

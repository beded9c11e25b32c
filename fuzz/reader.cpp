// Fuzzes the text reader with different chunk sizes: whole, byte by byte, and as the input says, with and without EINTR. Every walk must
// have the mappings, names and end that the slow reference derives from the text.
#include "fuzz.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <procmap/maps.hpp>

#include "../tests/support/reference_parser.hpp"

namespace {

// What the simulated kernel returns during a walk.
struct listing {
    std::string_view text;
    std::string_view cuts{};     // size of the chunk at each position, less 1; empty: as much as fits
    std::size_t interrupts = 0;  // every how many reads fail with EINTR; 0: none
    std::size_t reads = 0;
};
listing* now = nullptr;

struct record {
    procmap::mapping m;  // without the name
    std::string name;
    bool operator==(const record& other) const {
        return m.start == other.m.start && m.end == other.m.end && m.permissions == other.m.permissions &&
               m.offset == other.m.offset && m.device == other.m.device && m.inode == other.m.inode &&
               m.name_status == other.m.name_status && name == other.name;
    }
};

struct outcome {
    std::vector<record> records;
    procmap::errc code = procmap::errc::none;
    std::uint64_t line = 0;
    std::uint64_t offset = 0;
    bool operator==(const outcome&) const = default;
};

std::string decoded(std::string_view name) {
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const bool newline = name.substr(i, 4) == "\\012";
        out += newline ? '\n' : name[i];
        if (newline) i += 3;
    }
    return out;
}

// Returns the expected outcome of a walk, from the description of the format alone.
outcome expected(std::string_view text, const procmap::walk_options& options) {
    outcome out;
    const std::size_t room = options.buffer.size();
    if (text.empty()) out.code = procmap::errc::gone;
    std::uint64_t last_end = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t newline = text.find('\n', at);
        const bool terminated = newline != std::string_view::npos;
        const std::string_view whole = text.substr(at, newline - at);
        const bool cut = whole.size() >= room;  // longer than the buffer: the head is read, and the name if it fits alone
        const std::string_view line = whole.substr(0, room);
        ++out.line;
        if (!terminated && !cut) {
            out.code = procmap::errc::malformed;
            out.offset = text.size();
            return out;
        }
        const auto fields = reference_parser::read_slowly(line);
        if (!fields.good) {
            out.code = procmap::errc::malformed;
            out.offset = at + procmap::parse_line(line).error().offset;
            return out;
        }
        at = terminated ? newline + 1 : text.size();
        const bool file = fields.inode != 0 || fields.major != 0 || fields.minor != 0;
        record r{.m = {.start = std::max(fields.start, last_end), .end = fields.end}, .name = {}};
        constexpr procmap::perm each[] = {procmap::perm::read, procmap::perm::write, procmap::perm::execute, procmap::perm::shared};
        constexpr procmap::filter same[] = {procmap::filter::readable, procmap::filter::writable, procmap::filter::executable,
                                            procmap::filter::shared};
        bool passes = file || !options.only.has(procmap::filter::file_backed);
        for (std::size_t i = 0; i < 4; ++i) {
            const bool has = fields.letters[i] == "rwxs"[i];
            if (has) r.m.permissions |= each[i];
            passes = passes && (has || !options.only.has(same[i]));
        }
        r.m.device = {static_cast<std::uint32_t>(fields.major), static_cast<std::uint32_t>(fields.minor)};
        r.m.inode = fields.inode;
        r.m.offset = fields.offset + (file ? r.m.start - fields.start : 0);
        const bool arm = fields.name == "[vectors]" && fields.name.data() == line.data() + 49;
        const bool no_vma = (fields.name == "[vsyscall]" || arm) && !file;
        const bool wanted = fields.end > last_end && fields.start != fields.end && !no_vma;
        const std::string_view name = fields.name.empty() ? fields.name : whole.substr(static_cast<std::size_t>(fields.name.data() - line.data()));
        const bool fits = !cut || (!name.empty() && name.size() < room);
        if (!terminated && cut && wanted && options.names && fits) {
            out.code = procmap::errc::malformed;
            out.offset = text.size();
            return out;
        }
        if (wanted && passes) {
            r.m.name_status = procmap::name_state::not_asked;
            if (options.names) {
                r.name = decoded(name);
                r.m.name_status = r.name != name ? procmap::name_state::ambiguous : procmap::name_state::exact;
                if (!fits || r.name.size() >= room - 128) r.name.clear(), r.m.name_status = procmap::name_state::too_long;
            }
            out.records.push_back(r);
            last_end = fields.end;
        }
        if (!terminated) {  // the text ends inside a line that is longer than the buffer
            out.code = procmap::errc::malformed;
            out.offset = text.size();
            return out;
        }
    }
    out.line = 0;
    return out;
}

outcome walked(const procmap::maps& maps, listing from, const procmap::walk_options& options) {
    outcome out;
    now = &from;
    auto walk = maps.walk(options);
    for (const procmap::mapping& m : walk) out.records.push_back({m, std::string{m.name}});
    now = nullptr;
    fuzz::require(walk.complete() == (walk.error().code == procmap::errc::none), "complete, or an error");
    out.code = walk.error().code;
    out.line = walk.error().line;
    out.offset = out.code == procmap::errc::malformed ? walk.error().offset : 0;
    return out;
}

}  // namespace

extern "C" ssize_t pread(int fd, void* to, size_t size, off_t position) {
    if (now == nullptr) return syscall(SYS_pread64, fd, to, size, position);
    if (now->interrupts != 0 && ++now->reads % now->interrupts == 0) {
        errno = EINTR;
        return -1;
    }
    const auto at = static_cast<std::size_t>(position);
    if (at >= now->text.size()) return 0;
    const std::size_t chunk = now->cuts.empty() ? size : 1 + static_cast<unsigned char>(now->cuts[at % now->cuts.size()]);
    const std::size_t n = std::min({chunk, size, now->text.size() - at});
    std::memcpy(to, now->text.data() + at, n);
    return static_cast<ssize_t>(n);
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto maps = procmap::maps::open_self({.use = procmap::backend::text});
    if (size < 10 || !maps) return 0;
    static std::vector<char> buffer(4096);
    const procmap::filters filters[] = {{}, procmap::executable, procmap::file_backed, procmap::readable | procmap::shared};
    const procmap::walk_options options{.only = filters[data[0] % 4],
                                        .names = (data[0] & 4) != 0,
                                        .buffer = std::span{buffer}.first(256 + 8 * std::size_t{data[1]})};
    const std::string_view cuts = fuzz::text(data + 2, 8);
    const std::string_view text = fuzz::text(data + 10, size - 10);

    const outcome right = expected(text, options);
    fuzz::require(walked(*maps, {.text = text}, options) == right, "what the reference makes of the whole text");
    fuzz::require(walked(*maps, {.text = text, .cuts = cuts}, options) == right, "the same, cut anyhow");
    fuzz::require(walked(*maps, {.text = text, .cuts = cuts, .interrupts = 2}, options) == right, "the same, interrupted");
    fuzz::require(walked(*maps, {.text = text, .cuts = std::string_view{"", 1}}, options) == right, "the same, byte by byte");
    return 0;
}

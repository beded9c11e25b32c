// A walk over maps text from anywhere.
#include "test_data.hpp"
#include "../support/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ostream>  // doctest prints errors
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/owned_mapping.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text_walk.hpp>

using namespace support;
using namespace procmap;

namespace {

// Supplies text in pieces of at most `piece` bytes.
auto pieces(std::string_view text, std::size_t piece) {
    return [text, piece](std::span<char> to) mutable {
        REQUIRE(!to.empty());
        const std::size_t n = std::min({text.size(), piece, to.size()});
        std::memcpy(to.data(), text.data(), n);
        text.remove_prefix(n);
        return static_cast<std::ptrdiff_t>(n);
    };
}

struct walked {
    std::vector<owned_mapping> mappings;
    error failure;
    bool complete;
    std::string line;
};

walked walk(std::string_view text, std::size_t piece, std::size_t room = text_walk_room, const parse_options& options = {}) {
    std::vector<char> buffer(room);
    text_walk lines{pieces(text, piece), buffer, options};
    walked all{};
    for (const mapping& m : lines) {
        if (m.name_status != name_state::not_asked) CHECK(m.name.data()[m.name.size()] == '\0');
        all.mappings.emplace_back(m);
    }
    all.failure = lines.error();
    all.complete = lines.complete();
    all.line = lines.malformed_line();
    CHECK((all.complete == (all.failure == error{})));
    return all;
}

std::string said(const walked& all) {
    std::string text;
    for (const mapping& m : all.mappings) {
        print([&text](std::string_view more) { text += more; }, m);
        text += m.name_status == name_state::ambiguous ? "?\n" : "\n";
    }
    return text;
}

constexpr std::string_view two_lines = "00001000-00002000 r--p 00000000 fe:00 7                                  /a\n00003000-00004000 r--p 00000000 00:00 0 \n";

TEST_SUITE("a text_walk") {
    TEST_CASE("reads the same whatever the size of the pieces, and what a snapshot of the text has") {
        const std::string text = slurp(PROCMAP_TEST_DATA "/strange_process.maps").value();
        const walked whole = walk(text, 1 << 20);
        CHECK(whole.complete);
        std::size_t i = 0;
        const snapshot expected = snapshot::parse(std::string_view{text}).value();
        REQUIRE(whole.mappings.size() == expected.size());
        for (const mapping& m : expected) {
            const mapping& read = whole.mappings[i++];
            const bool same = m.start == read.start && m.end == read.end && m.permissions == read.permissions && m.offset == read.offset &&
                              m.inode == read.inode && m.device == read.device;
            CHECK(same);
            const auto newlines = static_cast<std::size_t>(std::count(m.name.begin(), m.name.end(), '\n'));
            if (read.name_status == name_state::too_long)
                CHECK(m.name.size() + 3 * newlines >= 4096);  // as the text has it
            else
                CHECK((m.name == read.name && m.name_status == read.name_status));
        }
        for (const std::size_t piece : {1u, 2u, 3u, 7u, 64u, 1000u, 4096u}) CHECK(said(walk(text, piece)) == said(whole));
    }

    TEST_CASE("decodes names, clips what overlaps, and leaves out what is no mapping") {
        const std::string text =
            "1000-3000 r--p 00000000 fe:00 7 /a\\012b\n2000-5000 r--p 00000000 fe:00 7 /a\n6000-6000 ---p 0 0:0 0\n"
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
        CHECK(said(walk(text, 5)) ==
              "00001000-00003000 r--p 00000000 fe:00 7                                  /a\\012b?\n"
              "00003000-00005000 r--p 00001000 fe:00 7                                  /a\n");
        CHECK(said(walk(text, 5, text_walk_room, {.gate = true})).ends_with("[vsyscall]\n"));
    }

    TEST_CASE("marks a name that its buffer cannot hold, and goes on") {
        const std::string longest(127, 'n');
        const auto text = [](const std::string& name) { return "1000-2000 r--p 00000000 fe:00 7 " + name + "\n" + std::string{two_lines}; };
        for (const std::size_t piece : {1u, 100u, 100000u}) {
            const walked fits = walk(text(longest), piece, 256);
            REQUIRE(fits.mappings.size() == 2);  // the first two overlap, so the second is left out
            CHECK((fits.mappings[0]->name == longest && fits.complete));
            for (const std::size_t size : {128u, 255u, 256u, 300u, 5000u}) {
                const walked cut = walk(text(std::string(size, 'n')), piece, 256);
                REQUIRE(cut.mappings.size() == 2);
                CHECK((cut.mappings[0]->name_status == name_state::too_long && cut.mappings[0]->name.empty() && cut.complete));
            }
        }
    }

    TEST_CASE("ends at a malformed line, which can be had, with its number and byte") {
        for (const std::size_t piece : {1u, 1000u}) {
            const walked all = walk(std::string{two_lines} + "nonsense\n" + std::string{two_lines}, piece);
            CHECK((all.mappings.size() == 2 && !all.complete && all.line == "nonsense"));
            CHECK((all.failure == error{.code = errc::malformed, .at = step::parse, .line = 3, .offset = two_lines.size()}));
        }
        const walked rollup = walk("00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\nRss: 1 kB\n", 9);
        CHECK((rollup.failure == errc::not_maps && rollup.failure.line == 1 && rollup.mappings.empty()));
    }

    TEST_CASE("does not take text that ends inside a line, or no text at all, for the end") {
        for (std::size_t size = 1; size < two_lines.size(); ++size) {
            const walked cut = walk(two_lines.substr(0, size), 1000);
            CAPTURE(size);
            if (two_lines[size - 1] == '\n') {
                CHECK((cut.complete && cut.mappings.size() == 1));
            } else {
                CHECK((cut.failure == errc::malformed && cut.failure.offset == size));
                const std::size_t begin = two_lines.rfind('\n', size - 1) + 1;
                CHECK(cut.line == two_lines.substr(begin, size - begin));
            }
        }
        CHECK(walk("", 1).failure == errc::gone);
        const std::string long_line = "1000-2000 r--p 0 0:0 1 /" + std::string(9000, 'n');
        for (std::size_t size = 200; size < 1000; ++size) {  // also where the buffer is just used up
            const walked cut = walk(long_line.substr(0, size), 1000, 256);
            CHECK((cut.failure == errc::malformed && cut.failure.line == 1 && cut.failure.offset == size));
        }
        CHECK(walk(long_line + '\n', 100, 256).complete);
    }

    TEST_CASE("says that its source failed, after what it read, and asks again after EINTR") {
        char buffer[text_walk_room];
        int calls = 0;
        text_walk broken{[&calls](std::span<char> to) -> std::ptrdiff_t {
            if (++calls == 2) return errno = EINTR, -1;
            if (calls > 2) return errno = EIO, -1;
            std::memcpy(to.data(), two_lines.data(), two_lines.size());
            return static_cast<std::ptrdiff_t>(two_lines.size());
        }, buffer};
        std::size_t count = 0;
        for ([[maybe_unused]] const mapping& m : broken) ++count;
        CHECK((count == 2 && calls == 3 && !broken.complete()));
        CHECK((broken.error() == error{.code = errc::failed, .at = step::read, .errno_value = EIO, .offset = two_lines.size()}));
        for ([[maybe_unused]] const mapping& m : broken) FAIL("it has ended");
        CHECK(calls == 3);

        text_walk interrupted{[](std::span<char>) { return errno = EINTR, -1; }, buffer};
        for ([[maybe_unused]] const mapping& m : interrupted) FAIL("there is none");
        CHECK(interrupted.error() == errc::interrupted);
        char small[255];
        text_walk no_room{[](std::span<char>) -> std::ptrdiff_t { FAIL("it must not read"); return 0; }, small};
        CHECK(no_room.begin() == no_room.end());
        CHECK(no_room.error() == errc::invalid);
    }

    TEST_CASE("lets an exception of its source through") {
        char buffer[text_walk_room];
        text_walk walk{[](std::span<char>) -> std::ptrdiff_t { throw std::runtime_error{"broken"}; }, buffer};
        CHECK_THROWS_AS((void)walk.begin(), std::runtime_error);
    }

    TEST_CASE("is left and gone on with") {
        char buffer[text_walk_room];
        text_walk lines{pieces(two_lines, 10), buffer};
        for (const mapping& m : lines) {
            CHECK(m.start == 0x1000);
            break;
        }
        CHECK((!lines.complete() && lines.error() == error{}));
        for (const mapping& m : lines) CHECK(m.start == 0x3000);
        CHECK(lines.complete());
    }

    TEST_CASE("reads from a FILE") {
        std::FILE* const file = std::fopen("/proc/self/maps", "re");
        REQUIRE(file != nullptr);
        char buffer[text_walk_room];
        text_walk lines{[file](std::span<char> to) {
            const std::size_t n = std::fread(to.data(), 1, to.size(), file);
            return n == 0 && std::ferror(file) != 0 ? -1 : static_cast<std::ptrdiff_t>(n);
        }, buffer};
        bool here = false;
        for (const mapping& m : lines) here = here || m.contains(&buffer);
        CHECK((lines.complete() && here));
        std::fclose(file);
    }
}

}  // namespace

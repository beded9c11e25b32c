// std::format, or with PROCMAP_TEST_FMT {fmt}, of the library's types. Both have the same expectations, so the same output.
#include <doctest/doctest.h>

#ifdef PROCMAP_TEST_FMT
#include <procmap/fmt.hpp>
namespace formatting = fmt;
#else
#include <procmap/format.hpp>
namespace formatting = std;
#endif

#include <array>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <new>
#include <sstream>
#include <string>
#include <string_view>

#include <procmap/procmap.hpp>

using procmap::perm;
using namespace std::string_view_literals;

namespace {

std::size_t allocations = 0;

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* const memory = std::malloc(size)) return memory;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

std::string streamed(const auto& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

constexpr std::array<std::byte, 3> id{std::byte{0x00}, std::byte{0xab}, std::byte{0xff}};
constexpr procmap::mapping code{.start = 0x7f0000001000,
                                .end = 0x7f0000003000,
                                .permissions = perm::read | perm::execute,
                                .name_status = procmap::name_state::exact,
                                .offset = 0x1000,
                                .inode = 42,
                                .device = {.major = 0xfe, .minor = 1},
                                .name = "/lib/new\nline"};
constexpr auto code_line = R"(7f0000001000-7f0000003000 r-xp 00001000 fe:01 42                         /lib/new\012line)"sv;

TEST_CASE("enumerators are formatted by their names, and owned mappings as mappings") {
    CHECK(formatting::format("{} {} {}", procmap::reason::special, procmap::file_state::linked, procmap::name_state::exact) == "special linked exact");
    CHECK(formatting::format("{} {}|{:>8}", procmap::build_id_source::memory, procmap::errc::gone, procmap::step::open) == "memory gone|    open");
    CHECK(formatting::format("{} {} {}", procmap::backend::ioctl, procmap::mapping_kind::vdso, procmap::change_kind::name) == "ioctl vdso name");
    CHECK(formatting::format("{}", procmap::owned_mapping{code}) == code_line);
}

TEST_CASE("without a spec the text is that of <<") {
    CHECK(formatting::format("{}", code) == code_line);
    CHECK(formatting::format("{}", code) == streamed(code));
    CHECK(formatting::format("{}{}", code.permissions, code.device) == "r-xpfe:01");
    CHECK(streamed(code.permissions) + streamed(code.device) == "r-xpfe:01");
    CHECK(formatting::format("{}", perm::write | perm::shared) == "-w-s");
    CHECK(formatting::format("{}", procmap::permission_set{}) == "---p");
    CHECK(formatting::format("{}", procmap::device_number{.major = 0xffffffff, .minor = 0x12345678}) == "ffffffff:12345678");
    CHECK(formatting::format("{}", procmap::device_number{.major = 8, .minor = 1}) == "08:01");
    CHECK(formatting::format("{} {}", procmap::build_id{id}, procmap::build_id_view{id}) == "00abff 00abff");
    CHECK(formatting::format("{}", procmap::build_id{}).empty());
    const procmap::error gone{.code = procmap::errc::gone, .at = procmap::step::open, .errno_value = 3, .pid = 7};
    CHECK(formatting::format("{}", gone) == streamed(gone));
    CHECK(formatting::format("{}", gone).starts_with("cannot open maps of process 7: no such process"));
    const procmap::change change{.kind = procmap::change_kind::unmapped, .start = code.start, .end = code.end, .now = code};
    CHECK(formatting::format("{}", change) == "unmapped    " + std::string(code_line));
}

TEST_CASE("names of enumerations") {
    CHECK(formatting::format("{} {}", procmap::change_kind::backing, procmap::kind_of(code)) == "backing file");
    CHECK(formatting::format("{} {} {}", procmap::backend::automatic, procmap::backend::ioctl, procmap::backend::text) ==
          "automatic ioctl text");
}

TEST_CASE("the spec is that of a string") {
    CHECK(formatting::format("[{:6}] [{:>6}] [{:*^6}]", code.permissions, code.permissions, code.permissions) == "[r-xp  ] [  r-xp] [*r-xp*]");
    CHECK(formatting::format("[{:.4}] [{:<{}}]", procmap::build_id{id}, procmap::backend::text, 7) == "[00ab] [text   ]");
    CHECK(formatting::format("{:.13}", code) == "7f0000001000-");
    CHECK(formatting::format("{:s}", code) == code_line);
    CHECK(formatting::format("{0:>5} {1} {0}", procmap::mapping_kind::heap, code.device) == " heap fe:01 heap");
}

TEST_CASE("without a spec nothing is allocated") {
    char text[128];
    const std::size_t before = allocations;
    const auto end = formatting::format_to_n(text, sizeof text, "{} {}", code, code.permissions).out;
    CHECK(allocations == before);
    CHECK(std::string_view{text, static_cast<std::size_t>(end - text)} == std::string(code_line) + " r-xp");
}

TEST_CASE("into an iterator, and as a live walk's elements") {
    std::string text;
    formatting::format_to(std::back_inserter(text), "{}\n", code);
    CHECK(text == std::string(code_line) + '\n');
    const auto self = procmap::maps::open_self();
    if (!self) {
        MESSAGE("skipped: a live walk, without a procfs");
        return;
    }
    auto walk = self->walk({.names = true});
    for (const procmap::mapping& m : walk) CHECK(formatting::format("{}", m) == streamed(m));
    CHECK(walk.complete());
}

}  // namespace

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }

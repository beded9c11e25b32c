// Mappings, device numbers and build-ID views.
#include "printed.hpp"
#include "../support/check_twice.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <sstream>

#include <sys/mman.h>

#include <doctest/doctest.h>

#include <procmap/mapping.hpp>
#include <procmap/text.hpp>

using namespace support;
using namespace procmap;

namespace {

TEST_SUITE("a printed mapping") {
    TEST_CASE("pads its numbers as the kernel does") {
        CHECK_TWICE([] { return print_short(mapping{.name_status = name_state::exact}).view() == "00000000-00000000 ---p 00000000 00:00 0 "; });
        CHECK_TWICE([] {
            const mapping m{.start = 0x1,
                            .end = 0x123456789,
                            .permissions = perm::read | perm::write | perm::execute | perm::shared,
                            .name_status = name_state::exact,
                            .offset = 0xabc,
                            .inode = 10,
                            .device = {0x1, 0x123}};
            return print_short(m).view() == "00000001-123456789 rwxs 00000abc 01:123 10 ";
        });
        CHECK_TWICE([] {
            const mapping m{.start = UINT64_MAX, .end = UINT64_MAX, .permissions = permission_set::from_bits(UINT32_MAX),
                            .offset = UINT64_MAX, .inode = UINT64_MAX, .device = {UINT32_MAX, UINT32_MAX}, .name = "x"};
            return print_short(m).view() ==
                   "ffffffffffffffff-ffffffffffffffff rwxs ffffffffffffffff ffffffff:ffffffff 18446744073709551615  x";
        });
    }

    TEST_CASE("says that a name is not there, and why, where that is not known to be the mapping's") {
        CHECK_TWICE([] {
            const auto says = [](name_state state, std::string_view name, std::string_view end) {
                return print_short(mapping{.name_status = state, .name = name}).view().substr(name_column_64) == end;
            };
            return says(name_state::not_asked, "", "(name not requested)") && says(name_state::too_long, "", "(name too long)") &&
                   says(name_state::no_memory, "", "(no memory for the name)") && says(name_state::not_asked, "/a", "/a") &&
                   says(name_state::escaped, "/a\\012", "/a\\012");
        });
        CHECK_TWICE([] {
            return print_short(mapping{.name_status = name_state::ambiguous}).view() == print_short(mapping{.name_status = name_state::exact}).view();
        });
    }

    TEST_CASE("has its name as print_name writes it") {
        CHECK_TWICE([] {
            const auto written = [](std::string_view name) {
                text_buffer out;
                print_name(out, name);
                return out;
            };
            return written("").view().empty() && written("/a").view() == "/a" && written("\n").view() == "\\012" &&
                   written("\n/a\n\n\\012b\n").view() == "\\012/a\\012\\012\\012b\\012";
        });
    }

    TEST_CASE("is the same on a stream, whatever the stream's format") {
        const mapping m{.start = 0x1000, .end = 0x2000, .permissions = perm::read, .inode = 255, .name = "/a\nb"};
        std::ostringstream out;
        out.width(200);
        out << std::hex << std::showbase << m;
        CHECK(out.str() == printed(m));
        CHECK(streamed(m) == printed(m));
    }
}

TEST_SUITE("a mapping") {
    bool has_contains() { return true; }

    TEST_CASE("contains its first address, not its end") {
        CHECK_TWICE([] {
            constexpr mapping m{.start = 0x1000, .end = 0x3000};
            return m.size() == 0x2000 && !m.contains(0) && !m.contains(0xfff) && m.contains(0x1000) && m.contains(0x2fff) &&
                   !m.contains(0x3000) && !m.contains(UINT64_MAX);
        });
        CHECK_TWICE([] { return mapping{}.size() == 0 && !mapping{}.contains(0); });
        CHECK_TWICE([] { return mapping{.start = UINT64_MAX - 1, .end = UINT64_MAX}.contains(UINT64_MAX - 1); });
    }

    TEST_CASE("contains a pointer, to an object or a function, as it contains its number") {
        static const int object = 0;
        const auto number = reinterpret_cast<std::uintptr_t>(&object);
        const mapping m{.start = number, .end = number + 1};
        CHECK(m.contains(&object));
        CHECK(!m.contains(&object + 1));
        const volatile int* const unstable = &object;
        CHECK(m.contains(unstable));
        const auto function = reinterpret_cast<std::uintptr_t>(&has_contains);
        CHECK(mapping{.start = function, .end = function + 1}.contains(&has_contains));
        CHECK(mapping{.start = function, .end = function + 1}.contains(has_contains));
    }

    TEST_CASE("contains what converts to a number, and a signed one of a register's size as the register has it") {
        enum plain : unsigned long { base = 0x1000 };
        struct strong {
            operator std::uint64_t() const { return 0x1000; }
        };
        const mapping m{.start = 0x1000, .end = 0x2000};
        CHECK((m.contains(base) && m.contains(strong{}) && m.contains(0x1000) && m.contains(0x1000u) && !m.contains(0)));
        const auto high = static_cast<std::intptr_t>(UINTPTR_MAX - 0xfff);
        CHECK(mapping{.start = UINTPTR_MAX - 0xfff, .end = UINTPTR_MAX}.contains(high));
    }

    TEST_CASE("permits what prot() says in the bits of mmap") {
        static_assert(PROT_READ == 1 && PROT_WRITE == 2 && PROT_EXEC == 4 && PROT_NONE == 0);
        CHECK_TWICE([] {
            return prot({}) == PROT_NONE && prot(perm::read) == PROT_READ && prot(perm::write) == PROT_WRITE &&
                   prot(perm::execute) == PROT_EXEC && prot(perm::shared) == PROT_NONE &&
                   prot(permission_set::from_bits(UINT32_MAX)) == (PROT_READ | PROT_WRITE | PROT_EXEC);
        });
    }

    TEST_CASE("has a file behind it where it has an inode or a device") {
        CHECK_TWICE([] {
            return !mapping{}.file_backed() && mapping{.inode = 1}.file_backed() && mapping{.device = {0, 1}}.file_backed() &&
                   mapping{.device = {1, 0}}.file_backed() && mapping{.inode = 1, .device = {1, 1}}.file_backed() &&
                   !mapping{.offset = 1, .name = "[heap]"}.file_backed();
        });
    }

    TEST_CASE("passes a filter when it has all that is asked for") {
        CHECK_TWICE([] {
            for (std::uint32_t bits = 0; bits < 16; ++bits) {
                for (std::uint32_t ask = 0; ask < 64; ++ask) {
                    if ((ask & 0x10) != 0) continue;
                    const auto only = filters::from_bits(ask);
                    const bool allowed = (bits & ask & 0x0f) == (ask & 0x0f);
                    const bool without_file = allowed && (ask & 0x20) == 0;
                    const auto p = permission_set::from_bits(bits);
                    if (mapping{.permissions = p}.passes(only) != without_file) return false;
                    if (mapping{.permissions = p, .inode = 9}.passes(only) != allowed) return false;
                    if (mapping{.permissions = p, .device = {0, 1}}.passes(only) != allowed) return false;
                }
            }
            return true;
        });
    }

    TEST_CASE("says of a name that was not asked for that it was not") {
        CHECK_TWICE([] { return mapping{}.name_status == name_state::not_asked && !mapping{}.build_id_known; });
    }
}

TEST_SUITE("a device") {
    TEST_CASE("is ordered by major, then by minor") {
        CHECK_TWICE([] {
            constexpr device_number a{1, 9}, b{2, 0}, c{2, 1};
            return a < b && b < c && a < c && c > a && a == device_number{1, 9} && a != device_number{9, 1} && b <= b;
        });
    }
}

TEST_SUITE("a build ID") {
    constexpr std::byte bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xff}};
    constexpr std::byte same_bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xff}};
    constexpr std::byte other_bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xfe}};

    TEST_CASE("is equal by its bytes, not by where they are") {
        CHECK_TWICE([] {
            constexpr build_id_view a{bytes}, b{same_bytes}, other{other_bytes}, shorter{std::span{bytes}.first(3)};
            return a == b && a != other && a != shorter && shorter != a && build_id_view{} == build_id_view{} &&
                   a != build_id_view{} && build_id_view{} != a;
        });
        CHECK_TWICE([] {
            return build_id_view{bytes}.size() == 4 && !build_id_view{bytes}.empty() && build_id_view{}.empty() &&
                   build_id_view{bytes}.bytes().data() == bytes;
        });
    }

    TEST_CASE("is printed in lower-case hexadecimal, two digits a byte") {
        CHECK_TWICE([] {
            return print_short(build_id_view{bytes}).view() == "000fa0ff" && print_short(build_id_view{}).view().empty();
        });
        CHECK(streamed(build_id_view{bytes}) == "000fa0ff");
        CHECK(streamed(build_id_view{}).empty());
    }
}

}  // namespace

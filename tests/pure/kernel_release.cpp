// Kernel releases parsed from uname, and known hazards of build-ID requests.
#include "../support/check_twice.hpp"

#include <concepts>
#include <cstdint>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/probe.hpp>

using namespace procmap;

namespace {

TEST_SUITE("a kernel release") {
    constexpr bool reads(std::string_view text, std::uint32_t major, std::uint32_t minor, std::uint32_t patch, bool candidate) {
        return kernel_release::parse(text) == kernel_release{major, minor, patch, candidate};
    }
    constexpr bool unknown(std::string_view text) { return kernel_release::parse(text) == kernel_release{}; }

    TEST_CASE("is read from what uname gives, whatever a distribution adds") {
        CHECK_TWICE([] {
            return reads("6.12.74+deb13-amd64", 6, 12, 74, false) && reads("6.18.44-fc-v595", 6, 18, 44, false);
        });
        CHECK_TWICE([] { return reads("5.10.0-30-amd64", 5, 10, 0, false) && reads("6.12.75", 6, 12, 75, false); });
        CHECK_TWICE([] {
            return reads("6.1", 6, 1, 0, false) && reads("6.12", 6, 12, 0, false) && reads("7.0-x", 7, 0, 0, false);
        });
        CHECK_TWICE([] { return reads("2.6.78-x", 2, 6, 78, false) && reads("6.12.74.1-microsoft", 6, 12, 74, false); });
        CHECK_TWICE([] { return reads("65535.65535.65535", 65535, 65535, 65535, false); });
    }

    TEST_CASE("is a candidate where a vendor's 7.0.0 may be one: Fedora's rc, Ubuntu's builds") {
        CHECK_TWICE([] { return reads("7.0.0-0.rc1.20260215gitabc.15.fc45.x86_64", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-0.rc1", 7, 0, 0, true) && reads("7.1.0-0.rc12.fc45", 7, 1, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-3-generic", 7, 0, 0, true) && reads("7.0.0-1004-azure", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-070000rc3-generic", 7, 0, 0, true) && reads("6.16.0-061600rc4-generic", 6, 16, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0rc1", 7, 0, 0, true) && reads("7.0.0_rc1", 7, 0, 0, true) && reads("7.0.0-RC1", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-next-20260301", 7, 0, 0, true) && reads("7.0.0-1rc2-foo", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-62.fc45.x86_64", 7, 0, 0, false) && reads("7.0.1-3-generic", 7, 0, 1, false); });
        CHECK_TWICE([] { return reads("7.0.0-arch1-1", 7, 0, 0, false) && reads("7.0.0-marc1", 7, 0, 0, false) && reads("7.0.0-rc", 7, 0, 0, false); });
        CHECK_TWICE([] { return reads("7.0.0-3", 7, 0, 0, false) && reads("7.0.0-3-4", 7, 0, 0, false) && reads("7.0.0-3-", 7, 0, 0, false); });
    }

    TEST_CASE("is a candidate when it says -rc") {
        CHECK_TWICE([] { return reads("7.0-rc3", 7, 0, 0, true) && reads("7.0.0-rc3-foo", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("6.19.0-rc7+", 6, 19, 0, true) && reads("6.12.74-foo-rc1", 6, 12, 74, true); });
    }

    TEST_CASE("is unknown when it does not parse") {
        CHECK_TWICE([] { return unknown("") && unknown("garbage") && unknown("6") && unknown("6.") && unknown("6.x"); });
        CHECK_TWICE([] { return unknown("6.12.") && unknown("6.12.x") && unknown("6.12.:") && unknown("6.12./"); });
        CHECK_TWICE([] { return unknown("99999999999.1") && unknown("6.99999999999") && unknown("6.1.99999999999"); });
        CHECK_TWICE([] {
            return unknown("65536.1") && unknown("-6.1") && unknown(" 6.1") && unknown(".6.1") && unknown("v6.1.0");
        });
        CHECK_TWICE([] { return unknown("6-rc1") && unknown("6..1") && unknown("x6.1"); });
    }

    TEST_CASE("is equal to the same release only, and not to its candidates") {
        static_assert(!std::totally_ordered<kernel_release>, "if ordered, then a candidate before its release");
        CHECK_TWICE([] {
            constexpr kernel_release a{6, 12, 74};
            return a == kernel_release{6, 12, 74} && a != kernel_release{6, 12, 75} && a != kernel_release{6, 13, 74} &&
                   a != kernel_release{7, 12, 74} && a != kernel_release{6, 12, 74, true};
        });
    }
}

TEST_SUITE("the hazards of a build-ID request") {
    constexpr hazards oops = hazard::cve_2026_23002;
    constexpr hazards reads = hazard::reads_what_is_mapped;  // what the fix of that brought
    constexpr hazards small_buffer = hazard::cve_2026_43178;
    constexpr hazards deadlock = hazard::cve_2026_23199;
    constexpr hazards all = oops | small_buffer | deadlock;
    constexpr hazards no_oops = reads | small_buffer | deadlock;

    constexpr hazards of(std::string_view release) { return known_hazards(kernel_release::parse(release)); }

    TEST_CASE("end where they are known to be fixed, in each series") {
        CHECK_TWICE([] { return of("6.12.68") == all && of("6.12.69") == no_oops; });
        CHECK_TWICE([] { return of("6.12.74") == no_oops && of("6.12.75") == reads && of("6.12.74+deb13-amd64") == no_oops; });
        CHECK_TWICE([] { return of("6.18.8") == all && of("6.18.9") == no_oops; });
        CHECK_TWICE([] { return of("6.18.15") == no_oops && of("6.18.16") == reads && of("6.18.44-fc-v595") == reads; });
        CHECK_TWICE([] { return of("6.19.0") == no_oops && of("6.19.5") == no_oops && of("6.19.6") == reads; });
        CHECK_TWICE([] { return of("7.0") == reads && of("7.0.1") == reads && of("7.3.0-1-amd64") == reads && of("8.0") == reads; });
        CHECK_TWICE([] { return !safe_to_ask(of("7.0.0-0.rc1.fc45")) && !safe_to_ask(of("7.0.0-3-generic")) && safe_to_ask(of("7.0.0-arch1-1")); });
    }

    TEST_CASE("keep a kernel from being asked, but for the one that all kernels have") {
        CHECK_TWICE([] { return safe_to_ask({}) && safe_to_ask(reads) && !safe_to_ask(oops) && !safe_to_ask(small_buffer) && !safe_to_ask(deadlock); });
        CHECK_TWICE([] { return !safe_to_ask(no_oops) && !safe_to_ask(fatal_hazards) && safe_to_ask(of("6.12.75")) && !safe_to_ask(of("6.12.74")); });
    }

    TEST_CASE("are all there where no fix is known") {
        CHECK_TWICE([] { return of("6.16.12") == all && of("6.17.13") == all && of("6.11.0") == all && of("5.10.0") == all; });
        CHECK_TWICE([] { return of("6.12.43") == all && of("6.18.5") == all && of("6.13.99") == all && of("6.20.0") == all; });
        CHECK_TWICE([] { return of("5.12.75") == all && of("5.19.99") == all && of("2.6.78-x") == all; });
    }

    TEST_CASE("are all there for a release that is unknown, or not yet released") {
        CHECK_TWICE([] { return of("") == (all | reads) && of("garbage") == (all | reads) && of("99999999999.1") == (all | reads) && of("7") == (all | reads); });
        CHECK_TWICE([] { return of("7.0-rc1") == (all | reads) && of("7.0.0-rc3-foo") == (all | reads) && of("6.19.6-rc1") == (all | reads); });
    }
}

}  // namespace

// Errors: their text, their codes, and conversion to std::error_code.
#include "printed.hpp"
#include "../support/check_twice.hpp"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/result.hpp>
#include <procmap/system_error.hpp>

using namespace support;
using namespace procmap;

namespace {

TEST_SUITE("an error") {
    constexpr auto last = errc::failed;

    constexpr bool prints(const error& e, std::string_view sentence) { return print_short(e).view() == sentence; }

    TEST_CASE("says what failed, where, and what to do, in one sentence") {
        CHECK_TWICE([] { return prints({}, "no error"); });
        CHECK_TWICE([] {
            return prints({.code = errc::not_mapped, .at = step::query, .pid = error::this_process},
                          "maps of this process: no such mapping at address 0x0");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::interrupted, .at = step::query, .errno_value = EINTR, .pid = 42},
                          "cannot query maps of process 42: interrupted by signals too often; try again [EINTR]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::denied, .at = step::open, .errno_value = EACCES, .pid = 1},
                          "cannot open maps of process 1: permission denied; requires ptrace read access (the same user, CAP_SYS_PTRACE, or "
                          "CAP_PERFMON since Linux 6.15), a procfs that does not hide the process (hidepid), and a sandbox that permits the call [EACCES]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::invalid, .at = step::adopt, .errno_value = EBADF},
                          "cannot adopt maps: invalid argument; see the documentation of the function [EBADF]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::failed, .at = step::read, .errno_value = 4095, .pid = 7, .tid = 8},
                          "cannot read maps of process 7 by thread 8: system call failed [errno 4095]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::malformed, .at = step::parse, .line = 3, .offset = 140},
                          "cannot parse line 3, byte 140: malformed: no kernel writes this; check where it came from, or "
                          "report it with the input");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::gone, .at = step::receive}, "cannot receive maps: the peer closed the connection");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::malformed, .at = step::receive},
                          "cannot receive maps: the message has no descriptor or several, or was truncated");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::failed, .at = step::parse, .errno_value = -1, .pid = INT32_MAX, .tid = INT32_MAX,
                           .line = UINT64_MAX, .offset = UINT64_MAX},
                          "cannot parse maps of process 2147483647 by thread 2147483647 line 18446744073709551615, byte "
                          "18446744073709551615: system call failed [errno 0]");
        });
    }

    TEST_CASE("names step, process, thread, line, byte and errno, whatever its code") {
        const std::pair<step, std::string> steps[] = {{step::open, "open"}, {step::adopt, "adopt"}, {step::query, "query"},
                                                      {step::read, "read"}, {step::parse, "parse"}};
        for (auto code = errc::not_mapped; code <= last; code = static_cast<errc>(static_cast<int>(code) + 1)) {
            for (const auto& [at, word] : steps) {
                const error e{.code = code, .at = at, .errno_value = EIO, .pid = 21, .tid = 43, .line = 65, .offset = 87};
                const bool answer = code == errc::not_mapped;
                const std::string what = answer ? "no such mapping at address 0x" : std::string{describe(code)};
                const auto address = [answer](const char* number) { return std::string{answer ? number : ""}; };
                const std::string verb = answer ? "maps" : "cannot " + word + " maps";
                CHECK(printed(e) == verb + " of process 21 by thread 43 line 65, byte 87: " + what + address("57") + " [EIO]");
                CHECK(streamed(e) == printed(e));
                CHECK(printed(e).find('\n') == std::string::npos);

                const std::string bare = printed(error{.code = code, .at = at});
                CHECK(bare == (at == step::parse && !answer ? "cannot parse" : verb) + ": " + what + address("0"));
                const std::string own = printed(error{.code = code, .at = at, .pid = error::this_process, .tid = 9});
                CHECK(own == verb + " of this process by thread 9: " + what + address("0"));
            }
            CHECK(printed(error{.code = code}) == describe(code));
        }
    }

    TEST_CASE("is written to a sink whatever that returns") {
        std::string text;
        print([&text](std::string_view more) { text += more; return more.size(); }, error{.code = errc::gone, .at = step::open});
        CHECK(text == printed(error{.code = errc::gone, .at = step::open}));
    }

    TEST_CASE("has a description for each code, and no two alike") {
        CHECK_TWICE([] {
            for (auto a = errc::none; a <= last; a = static_cast<errc>(static_cast<int>(a) + 1)) {
                if (describe(a).empty() || describe(a) == "unknown error" || describe(a).ends_with('.')) return false;
                for (auto b = errc::none; b < a; b = static_cast<errc>(static_cast<int>(b) + 1))
                    if (describe(a) == describe(b)) return false;
            }
            return describe(static_cast<errc>(static_cast<int>(last) + 1)) == "unknown error";
        });
    }

    TEST_CASE("names the errnos that can come, and gives the number of any other") {
        CHECK_TWICE([] {
            constexpr std::pair<int, std::string_view> known[] = {
                {E2BIG, "E2BIG"},   {EACCES, "EACCES"}, {EAGAIN, "EAGAIN"},   {EBADF, "EBADF"},
                {EFAULT, "EFAULT"}, {EINTR, "EINTR"},   {EINVAL, "EINVAL"},   {EIO, "EIO"},
                {EISDIR, "EISDIR"}, {ELOOP, "ELOOP"},   {EMFILE, "EMFILE"},   {ENAMETOOLONG, "ENAMETOOLONG"},
                {ENFILE, "ENFILE"}, {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"},   {ENOSYS, "ENOSYS"},
                {ENOTTY, "ENOTTY"}, {EPERM, "EPERM"},   {ENOTDIR, "ENOTDIR"}, {ESRCH, "ESRCH"},
                {EPIPE, "EPIPE"},   {ENOTSOCK, "ENOTSOCK"}, {ECONNRESET, "ECONNRESET"}};  // of a handover's socket
            for (const auto& [number, name] : known)
                if (errno_name(number) != name) return false;
            return errno_name(0).empty() && errno_name(-1).empty() && errno_name(4095).empty();
        });
        CHECK(printed(error{.code = errc::failed, .at = step::read, .errno_value = EXDEV}).ends_with(
            " [errno " + std::to_string(EXDEV) + "]"));
        CHECK(printed(error{.code = errc::failed, .errno_value = INT_MAX}).ends_with("[errno 2147483647]"));
    }

    TEST_CASE("equals its code alone, and another error only in every field") {
        CHECK_TWICE([] {
            const error e{.code = errc::gone, .at = step::query, .errno_value = ESRCH, .pid = 42};
            error other = e;
            other.offset = 1;
            return e == errc::gone && e != errc::denied && e == error{e} && e != other && other == errc::gone;
        });
    }

    TEST_CASE("is a std::error_code, equal to the conditions that mean the same") {
        static_assert(std::is_error_code_enum_v<errc>);
        const std::error_code code = errc::denied;
        CHECK(code.category() == error_category());
        CHECK(code.value() == static_cast<int>(errc::denied));
        CHECK(code == errc::denied);
        CHECK(code != errc::gone);
        CHECK(std::string{error_category().name()} == "procmap");
        CHECK(make_error_code(error{.code = errc::gone, .at = step::read, .errno_value = ESRCH}) == errc::gone);
        CHECK(!std::error_code{errc::none});
        CHECK(std::error_code{errc::not_mapped});

        constexpr std::pair<errc, std::errc> same[] = {{errc::gone, std::errc::no_such_process},
                                                       {errc::denied, std::errc::permission_denied},
                                                       {errc::unsupported, std::errc::not_supported},
                                                       {errc::interrupted, std::errc::interrupted},
                                                       {errc::invalid, std::errc::invalid_argument}};
        for (auto each = errc::none; each <= last; each = static_cast<errc>(static_cast<int>(each) + 1)) {
            const std::error_code each_code = each;
            CHECK(each_code.message() == describe(each));
            CHECK(each_code.default_error_condition() == each_code);
            for (const auto& [ours, standard] : same) CHECK((each_code == standard) == (each == ours));
        }
    }
}

}  // namespace

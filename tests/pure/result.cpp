// result<T>: a value or an error.
#include "printed.hpp"
#include "../support/check_twice.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <concepts>
#include <csignal>
#include <cstdint>
#include <exception>
#include <ostream>  // doctest prints errors
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/mapping.hpp>
#include <procmap/result.hpp>

using namespace support;
using namespace procmap;

namespace {

TEST_SUITE("a result") {
    struct move_only {
        int number = 0;
        constexpr move_only() = default;
        constexpr explicit move_only(int n) : number(n) {}
        constexpr move_only(move_only&&) noexcept = default;
        constexpr move_only& operator=(move_only&&) noexcept = default;
    };
    constexpr error not_there{.code = errc::gone, .at = step::query, .errno_value = ESRCH, .pid = 42};

    TEST_CASE("holds a value, and then no error") {
        CHECK_TWICE([] {
            result<int> r = 7;
            const result<int>& constant = r;
            if (!r || !r.has_value() || r.error() != error{} || r.error().code != errc::none) return false;
            if (*r != 7 || r.value() != 7 || *constant != 7 || constant.value() != 7) return false;
            *r = 8;
            r.value() += 1;
            return *constant == 9;
        });
        CHECK_TWICE([] {
            const result<mapping> r = mapping{.start = 1, .end = 3};
            return r->start == 1 && r->size() == 2;
        });
    }

    TEST_CASE("holds an error") {
        CHECK_TWICE([] {
            const result<int> r = not_there;
            return !r && !r.has_value() && r.error() == not_there && r.error() == errc::gone;
        });
    }

    // Returns the signal that ends a child process which runs this; 0: it ran to the end.
    template <class Body>
    int ended_by(Body body) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(STDERR_FILENO);
            const rlimit no_core{};
            ::setrlimit(RLIMIT_CORE, &no_core);
            std::signal(SIGABRT, SIG_DFL);
            body();
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }

    TEST_CASE("of a failure has no value to read: it aborts, or with NDEBUG reads a value-initialized one") {
        static result<int> number = not_there;
        static const result<mapping> found = not_there;
        const auto reading = {ended_by([] { (void)*number; }), ended_by([] { (void)*found; }), ended_by([] { (void)*result<int>{not_there}; }),
                              ended_by([] { (void)number.operator->(); }), ended_by([] { (void)found->start; }),
                              ended_by([] { (void)result<mapping>{not_there}->start; })};
#ifdef NDEBUG
        for (const int signal : reading) CHECK(signal == 0);
        CHECK(*number == 0);
        CHECK(found->start == 0);
#else
        for (const int signal : reading) CHECK(signal == SIGABRT);
#endif
        CHECK(ended_by([] { (void)*result<int>{7}; }) == 0);
    }

    TEST_CASE("of a temporary is read by value, so that a reference to it holds") {
        static_assert(std::same_as<decltype(*std::declval<result<int>>()), int>);
        static_assert(std::same_as<decltype(std::declval<result<int>>().value()), int>);
        static_assert(std::same_as<decltype(*std::declval<result<int>&>()), int&>);
        static_assert(std::same_as<decltype(*std::declval<const result<int>&>()), const int&>);
    }

    TEST_CASE("without a value is either done or an error") {
        CHECK_TWICE([] { return result<void>{}.has_value() && result<void>{}.error() == error{} && bool{result<void>{}}; });
        CHECK_TWICE([] { return !result<void>{not_there} && result<void>{not_there}.error() == not_there; });
    }

    TEST_CASE("gives up a value that can only be moved") {
        static_assert(!std::copy_constructible<result<move_only>> && std::movable<result<move_only>>);
        CHECK_TWICE([] {
            result<move_only> r = move_only{5};
            const move_only taken = *std::move(r);
            const move_only again = result<move_only>{move_only{6}}.value();
            return taken.number == 5 && again.number == 6;
        });
    }

    TEST_CASE("gives another value in place of a failure") {
        CHECK_TWICE([] {
            const result<int> failed = not_there;
            const result<int> seven = 7;
            return failed.value_or(3) == 3 && seven.value_or(3) == 7 && result<int>{not_there}.value_or(3) == 3 && result<int>{7}.value_or(3) == 7 &&
                   result<move_only>{move_only{6}}.value_or(move_only{1}).number == 6 && result<move_only>{not_there}.value_or(move_only{1}).number == 1 &&
                   result<mapping>{not_there}.value_or(mapping{.start = 1}).start == 1;
        });
    }

    TEST_CASE("is continued by what takes its value, and passes on a failure") {
        CHECK_TWICE([] {
            const auto half = [](int n) -> result<int> { return n % 2 == 0 ? result<int>{n / 2} : result<int>{not_there}; };
            const auto text = [](const int& n) -> result<mapping> { return mapping{.start = static_cast<std::uint64_t>(n)}; };
            const auto check = [](int n) -> result<void> { return n == 2 ? result<void>{} : result<void>{not_there}; };
            result<int> four = 4;
            const result<int> failed = not_there;
            bool called = false;
            const auto never = [&called](int n) -> result<int> {
                called = true;
                return n;
            };
            return *four.and_then(half) == 2 && *four.and_then(half).and_then(half) == 1 && four.and_then(half).and_then(text)->start == 2 &&
                   four.and_then(half).and_then(half).and_then(half).error() == not_there && four.and_then(half).and_then(check) &&
                   !four.and_then(check) && failed.and_then(never).error() == not_there && !called &&
                   result<move_only>{move_only{4}}.and_then([](move_only&& m) -> result<int> { return m.number; }).value_or(0) == 4;
        });
        CHECK_TWICE([] {
            result<int> four = 4;
            (void)four.and_then([](int& n) -> result<void> {
                ++n;
                return {};
            });
            const auto twice = [](int n) { return 2L * n; };
            return *four == 5 && *four.transform(twice) == 10 && std::same_as<decltype(four.transform(twice)), result<long>> &&
                   result<int>{not_there}.transform(twice).error() == not_there && four.transform([](int) {}).has_value() &&
                   !result<int>{not_there}.transform([](int) {}) &&
                   result<move_only>{move_only{4}}.transform([](move_only&& m) { return m; }).value_or(move_only{}).number == 4;
        });
        CHECK_TWICE([] {
            const auto recover = [](const error& e) -> result<int> { return e == errc::gone ? result<int>{1} : result<int>{e}; };
            const result<int> failed = not_there;
            const result<int> other = error{.code = errc::denied};
            return *failed.or_else(recover) == 1 && other.or_else(recover).error() == errc::denied && *result<int>{7}.or_else(recover) == 7 &&
                   result<move_only>{move_only{4}}.or_else([](const error& e) { return result<move_only>{e}; }).value_or(move_only{}).number == 4;
        });
        CHECK_TWICE([] {
            const auto five = [] { return result<int>{5}; };
            const auto forgive = [](const error&) { return result<void>{}; };
            return *result<void>{}.and_then(five) == 5 && result<void>{not_there}.and_then(five).error() == not_there &&
                   result<void>{not_there}.or_else(forgive) && result<void>{}.or_else(forgive) &&
                   result<void>{not_there}.or_else([](const error& e) { return result<void>{e}; }).error() == not_there;
        });
    }

    TEST_CASE("throws a std::exception whose what() is the error's sentence, whatever the error") {
        for (int code = 0; code <= static_cast<int>(errc::failed) + 1; ++code) {
            const error longest{.code = static_cast<errc>(code), .at = step::receive, .errno_value = INT32_MAX, .pid = INT32_MAX, .tid = INT32_MAX,
                                .line = UINT64_MAX, .offset = UINT64_MAX};
            CAPTURE(code);
            try {
                (void)result<int>{longest}.value();
                CHECK(code == 0);
            } catch (const std::exception& e) {
                CHECK(e.what() == streamed(longest));
                const bad_result_access copy = dynamic_cast<const bad_result_access&>(e);
                CHECK(copy.what() == streamed(longest));
            }
        }
    }

    TEST_CASE("throws its error where a value is demanded") {
        const result<int> constant = not_there;
        result<int> r = not_there;
        const auto thrown = [](auto&& demand) {
            try {
                demand();
            } catch (const bad_result_access& e) {
                return e.error;
            }
            return error{};
        };
        CHECK(thrown([&] { (void)constant.value(); }) == not_there);
        CHECK(thrown([&] { (void)r.value(); }) == not_there);
        CHECK(thrown([&] { (void)std::move(r).value(); }) == not_there);
        CHECK(thrown([] { (void)result<int>{1}.value(); }) == error{});
    }

    TEST_CASE("is true or false only where that is asked for") {
        static_assert(std::constructible_from<bool, result<int>> && std::constructible_from<bool, result<void>>);
        static_assert(!std::convertible_to<result<int>, bool> && !std::convertible_to<result<void>, bool>);
        static_assert(!std::convertible_to<result<mapping>, int> && !std::convertible_to<result<int>, int>);
        CHECK(result<int>{0}.has_value());
    }
}

}  // namespace

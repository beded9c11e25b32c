// result<T>: a value or an error.
#include "../support/check_twice.hpp"

#include <cerrno>
#include <concepts>
#include <ostream>  // doctest prints errors
#include <utility>

#include <doctest/doctest.h>

#include <procmap/mapping.hpp>
#include <procmap/result.hpp>

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

    TEST_CASE("holds an error, and then a value-initialized value") {
        CHECK_TWICE([] {
            const result<int> r = not_there;
            return !r && !r.has_value() && r.error() == not_there && r.error() == errc::gone && *r == 0;
        });
        CHECK_TWICE([] { return result<mapping>{not_there}->start == 0 && result<mapping>{not_there}->name.empty(); });
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
            return taken.number == 5 && again.number == 6 && result<move_only>{not_there}->number == 0;
        });
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

// Sets of flags.
#include "../support/check_twice.hpp"

#include <concepts>
#include <cstdint>

#include <doctest/doctest.h>

#include <procmap/flags.hpp>
#include <procmap/mapping.hpp>
#include <procmap/probe.hpp>
#include <procmap/uapi.hpp>

using namespace procmap;

namespace {

TEST_SUITE("flags") {
    template <class A, class B> concept can_or = requires(A a, B b) { a | b; };
    template <class A, class B> concept can_and = requires(A a, B b) { a & b; };
    template <class A, class B> concept can_compare = requires(A a, B b) { a == b; };
    template <class A, class B> concept can_ask = requires(A a, B b) { a.has(b); };
    template <class A, class B> concept can_add = requires(A a, B b) { a |= b; };

    template <class Set, class Other>
    constexpr bool never_mix = !std::convertible_to<Other, Set> && !std::constructible_from<Set, Other> &&
                               !std::assignable_from<Set&, Other> && !can_or<Set, Other> && !can_and<Set, Other> &&
                               !can_compare<Set, Other> && !can_ask<Set, Other> && !can_add<Set&, Other>;

    TEST_CASE("are types of their own: no integer comes in or goes out, and different sets do not mix") {
        static_assert(std::convertible_to<perm, permission_set> && std::convertible_to<filter, filters>);
        static_assert(can_or<permission_set, perm> && can_and<permission_set, perm> && can_compare<permission_set, perm> &&
                      can_ask<permission_set, perm> && can_add<permission_set&, perm>);
        static_assert(never_mix<permission_set, int> && never_mix<permission_set, unsigned> && never_mix<permission_set, bool>);
        static_assert(never_mix<permission_set, filter> && never_mix<permission_set, filters>);
        static_assert(never_mix<filters, perm> && never_mix<filters, permission_set> && never_mix<filters, int>);
        static_assert(never_mix<uapi::query_flags, filter> && never_mix<uapi::query_flags, filters>);
        static_assert(never_mix<uapi::query_flags, perm> && never_mix<hazards, perm> && never_mix<hazards, unsigned>);
        static_assert(!std::constructible_from<int, permission_set> && !std::constructible_from<bool, permission_set>);
        static_assert(!std::constructible_from<unsigned, permission_set> && !std::convertible_to<perm, int>);
        static_assert(!can_or<perm, filter> && !can_or<perm, int> && !can_compare<perm, filter>);
        static_assert(!can_or<filter, hazard> && !can_or<filter, int> && !can_or<hazard, int> && !can_or<uapi::query_flag, filter>);
    }

    TEST_CASE("are sets when two of them are put together, of each kind") {
        static_assert(std::same_as<decltype(perm::read | perm::write), permission_set>);
        static_assert(std::same_as<decltype(filter::readable | filter::shared), filters>);
        static_assert(std::same_as<decltype(hazard::cve_2026_23002 | hazard::cve_2026_43178), hazards>);
        static_assert(std::same_as<decltype(uapi::query_flag::readable | uapi::query_flag::writable), uapi::query_flags>);
        CHECK_TWICE([] {
            return (filter::readable | filter::file_backed) == (procmap::readable | procmap::file_backed) &&
                   (filter::readable | filter::file_backed).bits() == 0x21 &&
                   (hazard::cve_2026_23002 | hazard::cve_2026_23199).bits() == 5;
        });
    }

    TEST_CASE("can be put together, taken apart and asked for") {
        CHECK_TWICE([] {
            const permission_set p = perm::read | perm::execute;
            return p.bits() == 5 && p.has(perm::read) && p.has(perm::execute) && !p.has(perm::write) && p.has(p) &&
                   !p.has(perm::read | perm::write) && p.has({}) && !permission_set{}.has(perm::read);
        });
        CHECK_TWICE([] {
            const permission_set p = perm::read | perm::write;
            return (p & perm::write) == perm::write && (p & perm::shared).empty() && (p | perm::write) == p && !p.empty();
        });
        CHECK_TWICE([] {
            permission_set p;
            p |= perm::shared;
            (p |= perm::read) |= perm::write;
            return permission_set{}.empty() && p.bits() == 0x0b && p != permission_set{};
        });
    }

    TEST_CASE("keep bits that nobody knows yet") {
        CHECK_TWICE([] {
            const permission_set p = permission_set::from_bits(0xffff'fff1);
            return p.bits() == 0xffff'fff1 && (p | perm::write).bits() == 0xffff'fff3 && p.has(perm::read) &&
                   p.has(permission_set::from_bits(0x8000'0000)) && !p.has(perm::write) && (p & p).bits() == 0xffff'fff1 &&
                   p != permission_set{perm::read};
        });
    }

    TEST_CASE("have the kernel's values wherever they stand") {
        CHECK_TWICE([] {
            using uapi::query_flag;
            const auto all = [](std::uint32_t bit, auto... flag) { return ((static_cast<std::uint32_t>(flag) == bit) && ...); };
            return all(0x01, perm::read, filter::readable, query_flag::readable) &&
                   all(0x02, perm::write, filter::writable, query_flag::writable) &&
                   all(0x04, perm::execute, filter::executable, query_flag::executable) &&
                   all(0x08, perm::shared, filter::shared, query_flag::shared) && all(0x10, query_flag::covering_or_next) &&
                   all(0x20, filter::file_backed, query_flag::file_backed);
        });
        CHECK_TWICE([] {
            return readable == filter::readable && writable == filter::writable && executable == filter::executable &&
                   shared == filter::shared && file_backed == filter::file_backed;
        });
    }
}

}  // namespace

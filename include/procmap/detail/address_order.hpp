// The addresses of one call, sorted.
#pragma once

#include <procmap/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace procmap::inline PROCMAP_ABI::detail {

/// Addresses in ascending order. Each knows its place in the caller's order.
class address_order {
public:
    struct address {
        std::uint64_t value;
        std::size_t index;  // in the caller's order
    };

    void assign(std::span<const std::uint64_t> addresses) {
        all_.resize(addresses.size());
        for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = {addresses[i], i};
        if (!std::is_sorted(addresses.begin(), addresses.end())) sort();
    }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] const address& operator[](std::size_t i) const noexcept { return all_[i]; }

private:
    /// Many addresses are sorted byte by byte: comparing them would take a third of the time of a call.
    void sort() {
        constexpr std::size_t many = 128;
        if (all_.size() < many) return std::sort(all_.begin(), all_.end(), [](const address& a, const address& b) { return a.value < b.value; });
        std::uint64_t differ = 0;
        for (const address& a : all_) differ |= a.value ^ all_.front().value;
        scratch_.resize(all_.size());
        for (unsigned shift = 0; shift < 64; shift += 8) {
            const auto byte = [shift](const address& a) { return static_cast<unsigned char>(a.value >> shift); };
            if (static_cast<unsigned char>(differ >> shift) == 0) continue;
            std::size_t slots[256] = {};  // of the next address with that byte
            for (const address& a : all_) ++slots[byte(a)];
            std::size_t sum = 0;
            for (std::size_t& s : slots) sum += std::exchange(s, sum);
            for (const address& a : all_) scratch_[slots[byte(a)]++] = a;
            all_.swap(scratch_);
        }
    }

    std::vector<address> all_{};
    std::vector<address> scratch_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail

// Sorts the addresses of one normalizer call and keeps the index of each in the caller's order.
#pragma once

#include <procmap/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace procmap::inline PROCMAP_ABI::detail {

class address_order {
public:
    struct address {
        std::uint64_t value;
        std::size_t index;
    };

    void assign(std::span<const std::uint64_t> addresses) {
        all_.resize(addresses.size());
        for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = {addresses[i], i};
        if (!std::is_sorted(addresses.begin(), addresses.end())) sort();
    }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] const address& operator[](std::size_t i) const noexcept { return all_[i]; }

private:
    /// Radix-sorts many addresses: a comparison sort would take a third of the time of a call.
    void sort() {
        constexpr std::size_t many = 128;
        if (all_.size() < many) return std::sort(all_.begin(), all_.end(), [](const address& a, const address& b) { return a.value < b.value; });
        std::uint64_t differ = 0;
        for (const address& a : all_) differ |= a.value ^ all_.front().value;
        scratch_.resize(all_.size());
        for (unsigned shift = 0; shift < 64; shift += 8) {
            const auto byte = [shift](const address& a) { return static_cast<unsigned char>(a.value >> shift); };
            if (static_cast<unsigned char>(differ >> shift) == 0) continue;
            std::size_t slots[256] = {};  // where the next address with that byte goes
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

// procmap find: the mapping that contains an address.
#pragma once

#include "addresses.hpp"
#include "mapping.hpp"
#include "target.hpp"

#include <map>
#include <set>

namespace cli {

inline constexpr char find_help[] = R"(usage: procmap find [TARGET] ADDRESS... [OPTION...]

Prints the mapping that contains each address, in the format of `procmap list`. A single decimal argument is an ADDRESS, not a
TARGET.

  --next           if no mapping contains the address, print the next mapping above it
)";

/// Finds addresses in recorded text: the first line that contains the address or, with `next`, otherwise the first line of the
/// next mapping above. The text is read once for all addresses.
class recorded_lookup {
public:
    recorded_lookup(const char* file, const std::vector<std::uint64_t>& addresses, bool next) : recorded_(file) {
        std::set<std::uint64_t> unanswered(addresses.begin(), addresses.end());
        std::vector<std::pair<std::uint64_t, std::uint64_t>> starts;  // of all mappings, with the offsets of their lines
        while (recorded_.next()) {
            const procmap::recorded_reader& r = recorded_.reader;
            const auto [start, end] = std::pair{r.current().start, r.current().end};
            for (auto at = unanswered.lower_bound(start); at != unanswered.end() && *at < end; at = unanswered.erase(at))
                lines_[*at] = r.offset();
            if (next && start != end) starts.emplace_back(start, r.offset());
        }
        std::sort(starts.begin(), starts.end());
        for (const std::uint64_t address : unanswered) {
            const auto above = std::upper_bound(starts.begin(), starts.end(), std::pair{address, UINT64_MAX});
            if (above != starts.end()) lines_[address] = above->second;
        }
    }

    /// Reads the line of an address again. The result is valid until the next call.
    procmap::result<record> find(std::uint64_t address) {
        const auto line = lines_.find(address);
        if (line == lines_.end()) return procmap::error{.code = procmap::errc::not_mapped};
        again_.emplace(std::string_view(recorded_.text).substr(line->second));
        (void)again_->next([](const procmap::error&) { return true; });  // errors were reported
        return record{again_->current(), again_->line()};
    }

    [[nodiscard]] int status() const { return recorded_.status; }  ///< failed: a line was malformed

private:
    recording recorded_;
    std::map<std::uint64_t, std::uint64_t> lines_;  // offset of the line for each address
    std::optional<procmap::recorded_reader> again_;
};

inline int find(const arguments& a) {
    const address_arguments wanted(a, 2);
    if (wanted.addresses.empty()) usage_error("missing address");
    int status = done;
    const auto find_all = [&](const auto& find_one) {
        for (const std::uint64_t address : wanted.addresses) {
            const procmap::result<record> found = find_one(address);
            if (found) {
                show(a, *found, address);
            } else {
                if (found.error() != procmap::errc::not_mapped) fail(found.error());
                if (a.json) json_object().add("address", json_hex(address)).add("mapping", "null").put();
                report("0x" + hex(address) + ": not mapped");
                status = not_mapped;
            }
        }
        return status;
    };
    if (a.from) {
        recorded_lookup recorded(a.from, wanted.addresses, a.next);
        return std::max(recorded.status(), find_all([&](std::uint64_t address) { return recorded.find(address); }));
    }
    const procmap::maps process = open_target(a, wanted.target);
    procmap::build_id_buffer build_id;
    procmap::find_options options{.name = name_storage};
    if (a.json) options.build_id = build_id;
    return find_all([&](std::uint64_t address) -> procmap::result<record> {
        const auto found = a.next ? process.find_from(address, options) : process.find(address, options);
        if (!found) return found.error();
        return record{*found};
    });
}

}  // namespace cli

// procmap find: the mapping that contains an address.
#pragma once

#include "addresses.hpp"
#include "mapping.hpp"
#include "target.hpp"

#include <map>
#include <set>

namespace cli {

inline constexpr char find_help[] = R"(usage: procmap find [TARGET] ADDRESS... [OPTION...]

The mapping that holds each address, as `procmap list` shows it.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID, or decimal digits alone
with another argument behind it; otherwise, and always with --from, it is an ADDRESS. One that begins with 0x is never taken
for a TARGET.

  --next           where nothing is mapped, the next mapping above
  --json           one JSON object a line, with the address, page size and build ID (null: not known, or none)
)";

/// Finds addresses in recorded text: the first line that contains the address or, with `next`, otherwise the first line of the
/// next mapping above. The text is read once for all addresses.
class recorded_answers {
public:
    recorded_answers(const char* file, const std::vector<std::uint64_t>& addresses, bool next) : recorded_(file) {
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

    [[nodiscard]] int status() const { return recorded_.status; }

private:
    recording recorded_;
    std::map<std::uint64_t, std::uint64_t> lines_;  // offset of the line for each address
    std::optional<procmap::recorded_reader> again_;
};

inline int find(const arguments& a) {
    const question asked(a, 2);
    if (asked.addresses.empty()) usage_error("no ADDRESS given");
    int status = done;
    const auto answer_by = [&](const auto& find_one) {
        for (const std::uint64_t address : asked.addresses) {
            const procmap::result<record> found = find_one(address);
            if (found) {
                show(a, *found, address);
            } else {
                if (found.error() != procmap::errc::not_mapped) fail(found.error());
                if (a.json) json_object().add("address", json_hex(address)).add("mapping", "null").put();
                complain("0x" + hex(address) + ": no mapping there");
                status = not_mapped;
            }
        }
        return status;
    };
    if (a.from) {
        recorded_answers recorded(a.from, asked.addresses, a.next);
        return std::max(recorded.status(), answer_by([&](std::uint64_t address) { return recorded.find(address); }));
    }
    const procmap::maps process = open_target(a, asked.target);
    procmap::build_id_buffer build_id;
    procmap::find_options options{.name = name_storage};
    if (a.json) options.build_id = build_id;
    return answer_by([&](std::uint64_t address) -> procmap::result<record> {
        const auto found = a.next ? process.find_from(address, options) : process.find(address, options);
        if (!found) return found.error();
        return record{*found};
    });
}

}  // namespace cli

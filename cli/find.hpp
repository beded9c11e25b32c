// procmap find
#pragma once

#include "arguments.hpp"
#include "json.hpp"
#include "mapping.hpp"
#include "output.hpp"
#include "recording.hpp"
#include "target.hpp"

#include <procmap/maps.hpp>
#include <procmap/snapshot.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cli {

inline constexpr char find_help[] = R"(usage: procmap find [TARGET] ADDRESS... [OPTION...]

The mapping that holds each address, as `procmap list` shows it.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID, or decimal digits alone
with another argument behind it; otherwise, and always with --from, it is an ADDRESS. One that begins with 0x is never taken
for a TARGET.

  --next           where nothing is mapped, the next mapping above
  --json           one JSON object a line, with the address, page size and build ID (null: not known, or none)
)";

/// What a recording answers: for each address the first line that holds it, or where there is none and `next` is asked for, the
/// next mapping above, the first such line. The text is read once, and again for `next`: not once for each address.
class recorded_answers {
public:
    recorded_answers(const char* file, std::span<const std::uint64_t> addresses, bool next) : recorded_(file) {
        std::set<std::uint64_t> unanswered(addresses.begin(), addresses.end());
        std::vector<std::pair<std::uint64_t, std::uint64_t>> starts;  // of all mappings, and their lines' offsets
        while (recorded_.next()) {
            const procmap::recorded_reader& r = recorded_.reader;
            const record* kept = nullptr;
            const std::uint64_t end = r.current().end;
            for (auto at = unanswered.lower_bound(r.current().start); at != unanswered.end() && *at < end; at = unanswered.erase(at)) {
                if (kept == nullptr) kept = keep(r);
                answers_[*at] = kept;
            }
            if (next && r.current().start != end) starts.emplace_back(r.current().start, r.offset());
        }
        if (!next || unanswered.empty()) return;
        std::sort(starts.begin(), starts.end());
        std::map<std::uint64_t, std::vector<std::uint64_t>> wanted;  // lines' offsets, and the addresses below
        for (const std::uint64_t address : unanswered) {
            const auto above = std::upper_bound(starts.begin(), starts.end(), std::pair{address, UINT64_MAX});
            if (above != starts.end()) wanted[above->second].push_back(address);
        }
        procmap::recorded_reader again{recorded_.text};
        while (again.next([](const procmap::error&) { return true; })) {  // what is wrong was said
            const auto found = wanted.find(again.offset());
            if (found == wanted.end()) continue;
            const record* const kept = keep(again);
            for (const std::uint64_t address : found->second) answers_[address] = kept;
        }
    }

    [[nodiscard]] const record* answer(std::uint64_t address) const {
        const auto found = answers_.find(address);
        return found == answers_.end() ? nullptr : found->second;
    }
    [[nodiscard]] int status() const { return recorded_.status; }

private:
    struct owned {
        std::string name;
        procmap::build_id id;
        record of;
    };
    const record* keep(const procmap::recorded_reader& r) {
        owned& o = kept_.emplace_back();
        o.name = r.current().name;
        o.id = procmap::build_id{r.current().build_id.bytes()};
        o.of = {r.current(), r.line()};
        o.of.mapping.name = o.name;
        o.of.mapping.build_id = procmap::build_id_view{o.id.bytes()};
        return &o.of;
    }

    recording recorded_;
    std::deque<owned> kept_;
    std::map<std::uint64_t, const record*> answers_;
};

inline procmap::result<record> look_up(const recorded_answers& recorded, std::uint64_t address, const arguments&) {
    if (const record* const found = recorded.answer(address)) return *found;
    return procmap::error{.code = procmap::errc::not_mapped};
}

inline procmap::result<record> look_up(const procmap::maps& process, std::uint64_t address, const arguments& a) {
    static procmap::build_id_buffer build_id;
    procmap::find_options ask{.name = name_storage};
    if (a.json) ask.build_id = build_id;
    const auto found = a.next ? process.find_from(address, ask) : process.find(address, ask);
    if (!found) return found.error();
    return record{*found};
}

inline int find(const arguments& a) {
    const question asked(a, "find", 2);
    if (asked.addresses.empty()) usage_error("no ADDRESS given", "find");

    const auto answer_from = [&](const auto& source) {
        int status = done;
        for (const std::uint64_t address : asked.addresses) {
            const auto answer = look_up(source, address, a);
            if (answer) {
                show(a, *answer, address);
            } else if (answer.error() == procmap::errc::not_mapped) {
                if (a.json) put("{\"address\":" + json_hex(address) + ",\"mapping\":null}\n");
                complain("0x" + hex(address) + ": no mapping there");
                status = not_mapped;
            } else {
                complain(answer.error());
                return failed;
            }
        }
        return status;
    };
    if (!a.from) return answer_from(open_target(a, "find", asked.target));
    const recorded_answers recorded(a.from, asked.addresses, a.next);
    return std::max(recorded.status(), answer_from(recorded));
}

}  // namespace cli

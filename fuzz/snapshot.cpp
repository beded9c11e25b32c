// Fuzzes snapshots. A snapshot of any text must have exactly the listed mappings, ascending and without overlap, and must read back the
// same after writing, with any names. A difference must be empty for equal snapshots, and otherwise cover exactly what differs.
#include "fuzz.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <procmap/snapshot.hpp>

namespace {

using procmap::mapping;

std::string written(const procmap::snapshot& s) {
    std::string text;
    procmap::print([&text](std::string_view part) { text += part; }, s);
    return text;
}

bool same(const mapping& a, const mapping& b) {
    return a.start == b.start && a.end == b.end && a.permissions == b.permissions && a.name_status == b.name_status &&
           a.build_id_known == b.build_id_known && a.offset == b.offset && a.page_size == b.page_size && a.inode == b.inode &&
           a.device == b.device && a.name == b.name && a.build_id == b.build_id;
}

void check_read_back(const procmap::snapshot& s) {
    const auto again = procmap::snapshot::parse(written(s));
    fuzz::require(again.has_value() && again->size() == s.size(), "written and read back");
    for (std::size_t i = 0; i < s.size(); ++i) fuzz::require(same(s[i], (*again)[i]), "each the same");
    fuzz::require(procmap::difference(s, *again).empty(), "no difference to itself");
}

void check(const procmap::snapshot& s) {
    std::uint64_t last_end = 0;
    for (const mapping& m : s) {
        fuzz::require(m.start >= last_end && m.start < m.end, "ascending, not empty, and no overlap");
        last_end = m.end;
        fuzz::require(s.find(m.start)->start == m.start && s.find(m.end - 1)->end == m.end, "found by its addresses");
    }
    check_read_back(s);
    // A builder can give any mapping a name that has a special meaning in text.
    for (const char* const name : {"[vsyscall]", "[rollup]", " [vsyscall]", " [rollup]", "[vectors]", "\\012\n"}) {
        procmap::snapshot::builder renamed;
        for (mapping m : s) {
            m.name = name;
            (void)renamed.add(m);
        }
        const procmap::snapshot of_that = renamed.build();
        fuzz::require(of_that.size() == s.size(), "renamed");
        check_read_back(of_that);
    }
}

// The mappings that a text lists, read without the reader under test; where reading stopped, and why.
struct listing {
    std::vector<mapping> mappings;
    std::uint64_t line = 0;
    procmap::errc why = procmap::errc::none;
};

listing listed(std::string_view text) {
    listing all;
    bool any = false;
    bool open = false;  // the last mapping line is in `mappings`
    mapping last;       // the last mapping line
    std::uint64_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view line = text.substr(at, text.find('\n', at) - at);
        at += line.size() + 1;
        ++number;
        const std::size_t colon = line.find(':');
        const bool keyed = colon != line.npos && line[0] >= 'A' && line[0] <= 'Z' && line.find(' ') > colon;
        if (keyed && any) {
            std::string_view value = line.substr(colon + 1);
            value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
            if (line.substr(0, colon) == "Mapping" && value == "yes" && !open && last.start < last.end)
                all.mappings.push_back(last), open = true;  // a mapping despite its name
            continue;
        }
        const auto m = procmap::parse_line(line);
        if (keyed || !m) return all.line = number, all.why = keyed ? procmap::errc::malformed : m.error().code, all;
        any = true;
        last = *m;
        last.name_status = procmap::name_state::exact;
        open = m->start < m->end && !(m->name == "[vsyscall]" && !m->file_backed()) &&
               !(m->name == "[vectors]" && !m->file_backed() && m->name.data() == line.data() + procmap::name_column_32);
        if (open) all.mappings.push_back(last);
    }
    return all;
}

// Checks bounds, permissions and files of a snapshot against its text. The lines after a mapping line can be malformed too.
void check_listed(std::string_view text, const procmap::result<procmap::snapshot>& read) {
    if (!read) {
        fuzz::require(read.error().line != 0 && read.error().offset <= text.size(), "where it is wrong");
        const std::size_t line_start = read.error().offset == 0 ? 0 : text.rfind('\n', read.error().offset - 1) + 1;
        text = text.substr(0, line_start);
    }
    const listing all = listed(text);
    fuzz::require(all.why == procmap::errc::none, "what stood before an error has none");
    const procmap::snapshot expected = procmap::snapshot::from(all.mappings);
    fuzz::require(expected.size() == read->size(), "as many as are listed");
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const mapping a = expected[i];
        const mapping b = (*read)[i];
        fuzz::require(a.start == b.start && a.end == b.end && a.permissions == b.permissions && a.offset == b.offset &&
                          a.inode == b.inode && a.device == b.device,
                      "those that are listed");
    }
}

// If told to continue after errors, the reader must return at least what it returns if told to stop, and report smaps_rollup.
void check_reader(std::string_view text, const procmap::snapshot& until_error) {
    std::vector<procmap::error> wrong;
    procmap::recorded_reader reader{text};
    procmap::snapshot::builder b;
    std::uint64_t last = 0;
    for (bool first = true; reader.next([&wrong](const procmap::error& e) { return wrong.push_back(e), true; }); first = false) {
        fuzz::require(first || reader.offset() > last, "line after line");
        last = reader.offset();
        fuzz::require(text.substr(reader.offset(), reader.line().size()) == reader.line(), "the line");
        if (reader.is_mapping()) fuzz::require(b.add(reader.current()).has_value(), "a mapping is one");
    }
    for (const procmap::error& e : wrong) {
        const std::size_t start = e.offset == 0 ? 0 : text.rfind('\n', e.offset - 1) + 1;
        const bool rollup = text.substr(e.offset, text.find('\n', e.offset) - e.offset) == "[rollup]" && start != e.offset;
        fuzz::require(e.code == procmap::errc::malformed || (e.code == procmap::errc::not_maps && rollup), "what is wrong");
    }
    const procmap::snapshot all = b.build();
    fuzz::require(all.size() >= until_error.size() || !wrong.empty(), "all that is listed");
    if (wrong.empty()) fuzz::require(written(all) == written(until_error), "the same");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text(data, size);
    const std::size_t half = text.find("\n\n");
    const auto first = procmap::snapshot::parse(text.substr(0, half));
    check_listed(text.substr(0, half), first);
    check_reader(text.substr(0, half), *first);
    check(*first);  // after an error: the mappings before it
    if (half == std::string_view::npos) return 0;
    const auto second = procmap::snapshot::parse(text.substr(half + 2));
    check(*second);
    std::uint64_t last_end = 0;
    for (const procmap::change& c : procmap::difference(*first, *second)) {
        fuzz::require(c.start >= last_end && c.start < c.end && c.now.start == c.start && c.now.end == c.end, "changes ascend");
        last_end = c.end;
        const bool before = first->find(c.start).has_value();
        const bool after = second->find(c.start).has_value();
        fuzz::require(before == (c.kind != procmap::change_kind::mapped) && after == (c.kind != procmap::change_kind::unmapped),
                      "mapped and unmapped are what they say");
    }
    return 0;
}

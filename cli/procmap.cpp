// procmap: what is mapped where, on the command line. Built with nothing but a compiler:
//   c++ -std=c++20 -O2 -Iinclude cli/procmap.cpp -o procmap
// A command is a function and a row of `commands`.
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64  // 32-bit programs: also files, and addresses in /proc/PID/mem, above 2 GiB
#endif

#include <procmap/kind.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/snapshot.hpp>

#include <fcntl.h>
#include <getopt.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <clocale>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

// Exit status. Where several apply, the highest.
constexpr int done = 0;
constexpr int not_mapped = 1;  // compare: the answers differ
constexpr int misused = 2;
constexpr int failed = 3;

constexpr char target_help[] = R"(
TARGET is self (the default), PID or PID/TID.
)";

constexpr char from_help[] =
    R"(  --from FILE      recorded text instead of a TARGET: maps, smaps, or what snapshot wrote; - is standard input. At most 1 GiB
)";

constexpr char backend_help[] =
    R"(  --backend WHICH  auto (the default: the ioctl where it answers, otherwise text), ioctl or text
)";

constexpr char common_help[] =
    R"(  --proc DIR       where procfs is mounted; /proc by default
  --help           this
  --version        the version
)";

constexpr char list_help[] = R"(usage: procmap list [TARGET] [OPTION...]

All mappings of a process, byte for byte as in /proc/PID/maps, but without [vsyscall], which is not one. The mappings' lines of
recorded text are shown as recorded; --json has what the lines after them say of page size, build ID and name.

  --executable, --exec, --readable, --writable, --shared, --file-backed
                   only the mappings that are all of this
  --build-ids      after a mapping, the build ID of its file, as `procmap snapshot` writes it (empty: it has none). The kernel
                   is asked about regular files only; where it finds none, the file or the process's memory is read
  --summary        instead: how many mappings there are of each kind, and how much of the address space they take, which
                   is not how much memory is used
  --json           one JSON object a line: a mapping, with page size and, with --build-ids, build ID (null: not asked for, not
                   known, or none), or with --summary a kind, its size in bytes
)";

constexpr char find_help[] = R"(usage: procmap find [TARGET] ADDRESS... [OPTION...]

The mapping that holds each address, as `procmap list` shows it.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID, or decimal digits alone
with another argument behind it; otherwise, and always with --from, it is an ADDRESS. One that begins with 0x is never taken
for a TARGET.

  --next           where nothing is mapped, the next mapping above
  --json           one JSON object a line, with the address, page size and build ID (null: not known, or none)
)";

constexpr char normalize_help[] = R"(usage: procmap normalize [TARGET] [ADDRESS...] [OPTION...]

Where each address is in the file that is mapped there: the file and the offset in it, the address in the terms of its ELF
headers and symbols ("elf", for addr2line and the like), and its build ID; - where there is none, or where it is not known. An
address without a file comes with the reason. A file that is not the one at its path any more is marked as deleted or
replaced. Files are read for ELF addresses, and for build IDs where the kernel cannot be asked. What cannot be proven to be of
the mapped file is not known.

ADDRESS is hexadecimal, with or without 0x; without any, they are read from standard input, separated by blanks or newlines,
and answered as they come. The first argument is the TARGET if it is self, PID/TID or decimal digits alone, unless there is
--from. One that begins with 0x is never taken for a TARGET. A recording has no ELF addresses.

  --json           one JSON object a line: null for what there is not, or what is not known

Exit status 1: an address has no file. 3: it broke off; what was resolved until then is there.
)";

constexpr char snapshot_help[] = R"(usage: procmap snapshot [TARGET] [OPTION...] > FILE

A copy of all mappings, which outlives the process: maps text, and behind a line what it cannot hold, in the manner of smaps.
`procmap diff` and --from read it. It is whole: when it breaks off, nothing is written. What a snapshot does not keep of
recorded smaps text is left out.

  --page-sizes     with the page size of each mapping (ioctl only)
  --build-ids      with the build ID of each file, as of `procmap list --build-ids`
)";

constexpr char diff_help[] = R"(usage: procmap diff A B [OPTION...]

What changed from A to B, one change a line: the kind of change (mapped, unmapped, backing, permissions or name) and the
mapping as it is in B (unmapped: as it was in A), cut to the range that changed. That a mapping was split or merged is no
change, nor is what only one of the two knows. The exit status is 0 with changes or without.

A and B are each a file (a snapshot, maps or smaps text; - is standard input) or a TARGET: self, PID or PID/TID. A name of
digits alone is a PID; any other that exists as a file is that file.

  --json           one JSON object a line: the kind of change, and the mapping
)";

constexpr char watch_help[] = R"(usage: procmap watch [TARGET] [OPTION...]

What changes in an address space, as `procmap diff` writes it, as it happens: it is looked at again and again, and what comes
and goes between two looks is not seen. Exit status 0: --count was reached, or the process exited or called exec, as standard
error then says. 3: it broke off for any other reason.

  --interval S     seconds between two looks, such as 0.1; 1 by default
  --count N        how often to look, not counting the first look; by default until the process is gone
  --json           one JSON object a line: the kind of change, and the mapping
)";

constexpr char compare_help[] = R"(usage: procmap compare [TARGET] [ADDRESS...] [OPTION...]

The same work done by text and by the ioctl, and how long each takes: finding the mappings, with their names, that hold the
addresses, or without any, all executable mappings of files, as a profiler wants them. The answers are compared first: where they
differ, it says in which mappings, and nothing is measured. A process that keeps changing is looked at several times.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID or decimal digits alone.

Times are in microseconds: to open and close ("open"), and of the lookup on the open handle, the median and the best of all runs.
The system calls are those of one lookup; - where the kernel does not count what is read (/proc/PID/io).

  --all            all mappings
  --count N        how many runs; by default as many as fit in a second, 10 at the least
  --json           one JSON object a line, for each back-end; times in nanoseconds

Exit status 1: the answers differ. 3: also where there is no ioctl to compare with.
)";

constexpr char probe_help[] = R"(usage: procmap probe [OPTION...]

What this kernel and this sandbox can do, whichever back-end is chosen.

  --json           as one JSON object
)";

/// A command's arguments. All text is argv's.
struct arguments {
    std::vector<std::string_view> positional;
    procmap::open_options how;
    procmap::filters only;
    const char* from = nullptr;
    double interval = 1;
    std::optional<std::uint64_t> count;
    bool next = false;
    bool build_ids = false;
    bool page_sizes = false;
    bool summary = false;
    bool all = false;
    bool json = false;
};

/// A mapping, and the line that it was read from: empty for a live process's.
struct record {
    procmap::mapping mapping;
    std::string_view line{};
};

// Standard output ends the program when it cannot be written. A closed pipe does so without a word, also where SIGPIPE is
// ignored.

[[noreturn]] void cannot_write() {
    if (errno != EPIPE) std::fprintf(stderr, "procmap: write standard output: %s\n", std::strerror(errno));
    std::_Exit(failed);
}

/// The size of the UTF-8 sequence that `text` begins with; 0 where it is ill-formed (The Unicode Standard, table 3-7).
std::size_t utf8_sequence(std::string_view text) {
    const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;   // no overlong forms
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;  // no surrogates, none above U+10FFFF
    const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (byte(1) < low || byte(1) > high) return 0;
    for (std::size_t i = 2; i < size; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    return size;
}

/// The code point of the sequence of that size.
unsigned code_point(std::string_view text, std::size_t size) {
    unsigned value = static_cast<unsigned char>(text[0]) & (size == 1 ? 0x7fu : 0xffu >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
    return value;
}

/// Whether a terminal may act on the character instead of showing it: a control character, or one that reorders those after it.
bool is_control(unsigned c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/// The text as a terminal may have it: control characters, and bytes that are not UTF-8, are written as `ls -b` writes them, in
/// octal. A name can hold any byte but NUL, and whoever gives it must not command the reader's terminal.
std::string visible(std::string_view text, bool keep_newlines) {
    std::string out;
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        const std::string_view sequence = text.substr(0, std::max<std::size_t>(size, 1));
        text.remove_prefix(sequence.size());
        if (size != 0 && (!is_control(code_point(sequence, size)) || (keep_newlines && sequence == "\n"))) {
            out += sequence;
            continue;
        }
        for (const char c : sequence) {
            const auto byte = static_cast<unsigned char>(c);
            out += '\\';
            for (const int digit : {byte >> 6, byte >> 3 & 7, byte & 7}) out += static_cast<char>('0' + digit);
        }
    }
    return out;
}

/// Whether one of the standard streams is a terminal. Asked once, and a file or a pipe is not asked by ioctl.
bool is_terminal(int fd) {
    static std::optional<bool> known[3];
    if (!known[fd]) {
        struct stat s;
        known[fd] = ::fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && ::isatty(fd) != 0;
    }
    return *known[fd];
}

/// Writes what is no name or path, such as a colour.
void put_raw(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

void put(std::string_view text) {
    is_terminal(STDOUT_FILENO) ? put_raw(visible(text, true)) : put_raw(text);
}

void flush() {
    if (std::fflush(stdout) != 0) cannot_write();
}

/// Whether a terminal understands the escape sequences that are used here.
bool understands_escapes(int fd) {
    const char* const terminal = std::getenv("TERM");
    return is_terminal(fd) && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

/// Says on standard error how far work is that takes longer than a moment; only on a terminal.
class progress {
public:
    /// "procmap: N of ALL what", on a line of its own, which the next one replaces; `all` is 0 where it is not known.
    static void show(std::uint64_t n, const char* what, std::uint64_t all = 0) {
        static const bool wanted = understands_escapes(STDERR_FILENO);
        const auto now = clock::now();
        if (!wanted || now < next_) return;
        next_ = now + std::chrono::milliseconds(200);
        std::fprintf(stderr, "\rprocmap: %s%s %s\033[K", std::to_string(n).c_str(),
                     all == 0 ? "" : (" of " + std::to_string(all)).c_str(), what);
        shown_ = true;
    }
    static void clear() {
        if (shown_) std::fputs("\r\033[K", stderr);
        shown_ = false;
    }

private:
    using clock = std::chrono::steady_clock;
    static inline clock::time_point next_ = clock::now() + std::chrono::milliseconds(500);
    static inline bool shown_ = false;
};

/// Says something on standard error, after what went to standard output before it.
void complain(const std::string& text) {
    flush();
    progress::clear();
    std::fprintf(stderr, "procmap: %s\n", (is_terminal(STDERR_FILENO) ? visible(text, false) : text).c_str());
}

/// Called where an allocation fails, also below functions that cannot throw: says so, and ends the program.
[[noreturn]] void out_of_memory() {
    std::set_new_handler(nullptr);
    flush();
    progress::clear();
    std::fputs("procmap: out of memory\n", stderr);
    std::_Exit(failed);
}

/// What the library prints of a value.
std::string printed(const auto& value) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, value);
    return text;
}

void complain(const procmap::error& e) {
    complain(printed(e));
}

[[noreturn]] void usage_error(const std::string& text, const char* command = nullptr) {
    complain(text);
    std::fprintf(stderr, "Try 'procmap %s%s--help'.\n", command ? command : "", command ? " " : "");
    std::exit(misused);
}

std::string hex(std::uint64_t value, std::size_t width = 1) {
    char digits[16];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
    const auto size = static_cast<std::size_t>(end - digits);
    return std::string(std::max(width, size) - size, '0').append(digits, size);
}

/// All of `text` as a number.
template <class Number>
std::optional<Number> number(std::string_view text, int base) {
    Number value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

/// A JSON string; empty where `text` is not UTF-8.
std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        if (size == 0) return {};
        const char c = text.front();
        if (const unsigned code = code_point(text, size); code < 0x20 || (is_terminal(STDOUT_FILENO) && is_control(code))) {
            out += "\\u" + hex(code, 4);
        } else {
            if (c == '"' || c == '\\') out += '\\';
            out += text.substr(0, size);
        }
        text.remove_prefix(size);
    }
    return out + '"';
}

std::string json_number(std::uint64_t value) {
    return value == 0 ? "null" : std::to_string(value);
}

std::string json_hex(std::uint64_t value) {
    return "\"0x" + hex(value) + '"';
}

/// The member `key` of bytes that are text, or `key`_bytes where they are not UTF-8.
std::string json_text_or_bytes(const std::string& key, std::string_view bytes) {
    if (const std::string text = json_string(bytes); !text.empty()) return '"' + key + "\":" + text;
    std::string digits;
    for (const char c : bytes) digits += hex(static_cast<unsigned char>(c), 2);
    return '"' + key + "_bytes\":\"" + digits + '"';
}

/// Whether the mapping may have a name that is not known.
bool name_is_missing(const procmap::mapping& m) {
    using procmap::name_state;
    return m.name_status == name_state::too_long || m.name_status == name_state::no_memory ||
           m.name_status == name_state::not_asked;
}

std::string json_build_id(procmap::build_id_view id) {
    return id.empty() ? "null" : '"' + printed(id) + '"';
}

/// The members of a mapping's object.
std::string json_members(const procmap::mapping& m) {
    return "\"start\":" + json_hex(m.start) + ",\"end\":" + json_hex(m.end) + ",\"permissions\":\"" + printed(m.permissions) +
           "\",\"offset\":" + json_hex(m.offset) + ",\"device\":\"" + printed(m.device) +
           "\",\"inode\":" + std::to_string(m.inode) + ",\"page_size\":" + json_number(m.page_size) + ',' +
           (name_is_missing(m) ? "\"name\":null" : json_text_or_bytes("name", m.name)) +
           ",\"build_id\":" + json_build_id(m.build_id) +
           (m.name_status == procmap::name_state::ambiguous ? ",\"name_ambiguous\":true" : "");
}

/// The column in which the kernel writes names. A 32-bit program may run on a 64-bit kernel: only the text tells.
std::size_t name_column(const char* proc) {
    if (sizeof(void*) != 4) return procmap::name_column_64;
    static const std::size_t column = [proc] {
        std::ifstream maps(std::string(proc) + "/self/maps");
        for (std::string line; std::getline(maps, line);)
            if (const auto m = procmap::parse_line(line); m && !m->name.empty())
                return m->name.data() < line.data() + procmap::name_column_64 ? procmap::name_column_32
                                                                              : procmap::name_column_64;
        return procmap::name_column_64;
    }();
    return column;
}

char name_storage[256 * 1024];  // also for lines of text, which the kernel may make longer than PATH_MAX

/// Writes a mapping, with the address that was asked for where it is the answer to one.
void show(const arguments& a, const record& r, std::optional<std::uint64_t> asked = {}) {
    const procmap::mapping& m = r.mapping;
    if (a.json) {
        put('{' + (asked ? "\"address\":" + json_hex(*asked) + ',' : std::string{}) + json_members(m) + '}');
    } else if (!r.line.empty()) {
        put(r.line);
    } else {
        procmap::print(put, m, name_column(a.how.proc));
    }
    put("\n");
    if (a.build_ids && !a.json && m.build_id_known) put("BuildID:           " + printed(m.build_id) + '\n');
    if (!name_is_missing(m) || !r.line.empty()) return;
    complain(hex(m.start, 8) + '-' + hex(m.end, 8) + ": shown without its name, " +
             (m.name_status == procmap::name_state::too_long ? "which is too long" : "for which the kernel had no memory") +
             "; --backend text has names of up to 256 KiB");
}

std::string in_words(const char* file) {
    return std::strcmp(file, "-") == 0 ? "standard input" : file;
}

/// Recorded text, or the end of the program where it cannot be read, or cannot be any: input that never ends, or binary data, does
/// not fill the memory.
std::string read_recorded(const char* file) {
    constexpr std::size_t most = std::size_t{1} << 30;          // smaps text of more than a million mappings
    constexpr std::size_t longest_line = std::size_t{1} << 20;  // 256 times PATH_MAX
    const auto give_up = [file](const std::string& why) {
        complain("read " + in_words(file) + ": " + why);
        std::exit(failed);
    };
    const bool standard_input = std::strcmp(file, "-") == 0;
    std::FILE* const in = standard_input ? stdin : std::fopen(file, "r");
    std::string text;
    if (in != nullptr) {
        struct stat s;
        const bool regular = ::fstat(::fileno(in), &s) == 0 && S_ISREG(s.st_mode);
        bool too_much = regular && s.st_size > static_cast<off_t>(most);
        std::size_t line = 0;  // size of the line that is being read
        char chunk[1 << 16];
        while (const std::size_t n = too_much ? 0 : std::fread(chunk, 1, sizeof chunk, in)) {
            const std::string_view read(chunk, n);
            const std::size_t first = std::min(read.find('\n'), n);
            if (line + first > longest_line) give_up("a line is longer than 1 MiB; this is no maps, smaps or snapshot text");
            line = first == n ? line + n : n - 1 - read.rfind('\n');
            too_much = n > most - text.size();
            if (!too_much) text.append(read);
        }
        if (too_much) give_up("more than 1 GiB of text");
    }
    if (in == nullptr || std::ferror(in)) give_up(std::strerror(errno));
    if (!standard_input) std::fclose(in);
    return text;
}

/// Says what is wrong in recorded text.
void complain_of_recorded(const std::string& prefix, const procmap::error& wrong) {
    if (wrong == procmap::errc::not_maps)
        complain(prefix + "line " + std::to_string(wrong.line) +
                 ": this is smaps_rollup, one sum over the address space; it lists no mappings");
    else
        complain(prefix + printed(wrong));
}

/// Recorded text and its reader. Malformed lines are left out, after saying so; text that is no recording ends the program.
struct recording {
    explicit recording(const char* file) : text(read_recorded(file)), name(in_words(file)) {}
    recording(const recording&) = delete;
    recording& operator=(const recording&) = delete;

    /// Reads the next mapping's line and the lines after it that say more of it; false at the end.
    bool next() {
        return reader.next([this](const procmap::error& wrong) {
            complain_of_recorded(wrong == procmap::errc::not_maps ? name + ": " : "", wrong);
            if (wrong == procmap::errc::not_maps) std::exit(failed);
            status = failed;
            return true;
        });
    }

    const std::string text;
    const std::string name;
    procmap::recorded_reader reader{text};
    int status = done;
};

/// Opens a TARGET, or ends the program where that is not possible.
procmap::maps open_target(const arguments& a, const char* command, std::string_view target) {
    const std::size_t slash = target.find('/');
    const auto pid = number<pid_t>(target.substr(0, slash), 10);
    const auto tid = slash == target.npos ? pid : number<pid_t>(target.substr(slash + 1), 10);
    if (target != "self" && (pid.value_or(0) <= 0 || tid.value_or(0) <= 0))
        usage_error("no TARGET (self, PID or PID/TID): " + std::string(target), command);
    auto opened = target == "self"       ? procmap::maps::open_self(a.how)
                  : slash == target.npos ? procmap::maps::open(*pid, a.how)
                                         : procmap::maps::open(*pid, *tid, a.how);
    if (!opened) {
        complain(opened.error());
        std::exit(failed);
    }
    return std::move(*opened);
}

/// A copy of a process's mappings, or the end of the program where that cannot be whole.
procmap::snapshot capture(const procmap::maps& process, const procmap::capture_options& options = {}) {
    auto captured = procmap::snapshot::capture(process, options);
    if (captured) return std::move(*captured);
    complain(captured.error());
    std::exit(failed);
}

/// A recorded snapshot, maps or smaps text, or the end of the program where it cannot be read.
procmap::snapshot load(const char* file) {
    auto parsed = procmap::snapshot::parse(read_recorded(file));
    if (parsed) return std::move(*parsed);
    complain_of_recorded(in_words(file) + ": ", parsed.error());
    std::exit(failed);
}

/// How many mappings there are of each kind, and how large they are.
class summary {
public:
    void add(const procmap::mapping& m) {
        of_kind& k = kinds_[static_cast<std::size_t>(procmap::kind_of(m))];
        ++k.count;
        k.size += m.size();
    }

    void show(const arguments& a) {
        of_kind total{.kind = "total"};
        for (std::size_t i = 0; i < std::size(kinds_); ++i) {
            kinds_[i].kind = procmap::to_string(static_cast<procmap::mapping_kind>(i));
            total.count += kinds_[i].count;
            total.size += kinds_[i].size;
        }
        const auto larger = [](const of_kind& x, const of_kind& y) {
            return x.size != y.size ? x.size > y.size : x.kind < y.kind;
        };
        std::sort(std::begin(kinds_), std::end(kinds_), larger);
        if (!a.json) put("kind              mappings        size\n");
        for (const of_kind& k : kinds_) {
            if (k.count == 0) continue;
            if (a.json)
                put("{\"kind\":" + json_string(k.kind) + ",\"mappings\":" + std::to_string(k.count) +
                    ",\"size\":" + std::to_string(k.size) + "}\n");
            else
                put(line(k) + "  " + bar(static_cast<double>(k.size) / static_cast<double>(kinds_[0].size)) + '\n');
        }
        if (!a.json) put(line(total) + '\n');
    }

private:
    struct of_kind {
        std::string_view kind{};
        std::uint64_t count = 0;
        std::uint64_t size = 0;
    };

    static std::string line(const of_kind& k) {
        double size = static_cast<double>(k.size) / 1024;
        const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        const char* const* unit = units;
        for (; size >= 1023.95; ++unit) size /= 1024;  // would be shown as 1024.0
        std::string kind(k.kind);
        std::replace(kind.begin(), kind.end(), '_', ' ');
        char text[80];
        std::snprintf(text, sizeof text, "%-16s%10llu%8.1f %s", kind.c_str(), static_cast<unsigned long long>(k.count), size,
                      *unit);
        return text;
    }

    /// A bar of this part of the width that 80 columns leave. What is not nothing can be seen.
    static std::string bar(double part) {
        constexpr double width = 40;
        static const bool blocks = [] {
            return is_terminal(STDOUT_FILENO) && std::setlocale(LC_CTYPE, "") != nullptr &&
                   std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
        }();
        if (!blocks) return std::string(static_cast<std::size_t>(std::ceil(part * width)), '#');
        const auto eighths = static_cast<std::size_t>(std::ceil(part * width * 8));
        std::string out;
        for (std::size_t i = 0; i < eighths / 8; ++i) out += "\u2588";
        constexpr const char* partial[] = {"", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"};
        return out + partial[eighths % 8];
    }

    of_kind kinds_[static_cast<std::size_t>(procmap::mapping_kind::other) + 1];
};

/// The one TARGET that a command takes, if any.
std::string_view only_target(const arguments& a, const char* command) {
    if (a.from && (a.build_ids || a.page_sizes))
        usage_error("what is recorded is in the recording: no such option with --from", command);
    if (a.positional.size() > (a.from ? 0 : 1))
        usage_error(a.from ? "no TARGET goes with --from" : "more than one TARGET", command);
    return a.positional.empty() ? "self" : a.positional.front();
}

int list(const arguments& a) {
    const std::string_view target = only_target(a, "list");
    if (a.summary && a.build_ids) usage_error("a summary has no build IDs", "list");
    summary kinds;
    const auto take = [&](const record& r) { a.summary ? kinds.add(r.mapping) : show(a, r); };
    int status = done;
    if (a.from) {
        recording recorded(a.from);
        while (recorded.next()) {
            const procmap::recorded_reader& r = recorded.reader;
            if (r.current().passes(a.only) && (r.is_mapping() || !a.summary)) take({r.current(), r.line()});
        }
        status = recorded.status;
    } else {
        const procmap::maps process = open_target(a, "list", target);
        procmap::error broke;
        if (a.build_ids) {
            const auto taken = procmap::snapshot::capture(process, {.build_ids = true});
            for (const procmap::mapping& m : *taken)  // what was seen, also where it broke off
                if (m.passes(a.only)) take({m});
            broke = taken.error();
        } else {
            auto walk = process.walk({.only = a.only, .names = true, .buffer = name_storage});
            for (const procmap::mapping& m : walk) take({m});
            broke = walk.error();
        }
        if (broke.code != procmap::errc::none) {
            complain(broke);
            status = failed;
        }
    }
    if (a.summary) kinds.show(a);
    return status;
}

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

procmap::result<record> look_up(const recorded_answers& recorded, std::uint64_t address, const arguments&) {
    if (const record* const found = recorded.answer(address)) return *found;
    return procmap::error{.code = procmap::errc::not_mapped};
}

procmap::result<record> look_up(const procmap::maps& process, std::uint64_t address, const arguments& a) {
    static procmap::build_id_buffer build_id;
    procmap::find_options ask{.name = name_storage};
    if (a.json) ask.build_id = build_id;
    const auto found = a.next ? process.find_from(address, ask) : process.find(address, ask);
    if (!found) return found.error();
    return record{*found};
}

/// All of `text` as an ADDRESS.
std::optional<std::uint64_t> parse_address(std::string_view text) {
    const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
    return number<std::uint64_t>(text.substr(prefixed ? 2 : 0), 16);
}

constexpr char no_address[] = "no ADDRESS (hexadecimal, 64 bits): ";

bool is_decimal(std::string_view text) {
    return text.find_first_not_of("0123456789") == text.npos;
}

/// Which addresses are asked about, and of whom.
struct question {
    /// Decimal digits are a TARGET where at least so many arguments are given.
    question(const arguments& a, const char* command, std::size_t least_with_pid) {
        const auto is_target = [&](std::string_view text) {
            return text == "self" || text.find('/') != text.npos || (is_decimal(text) && a.positional.size() >= least_with_pid);
        };
        const bool named = !a.from && !a.positional.empty() && is_target(a.positional.front());
        if (named) target = a.positional.front();
        for (std::size_t i = named ? 1 : 0; i < a.positional.size(); ++i) {
            const auto address = parse_address(a.positional[i]);
            if (!address) usage_error(no_address + std::string(a.positional[i]), command);
            addresses.push_back(*address);
        }
    }

    std::string_view target = "self";
    std::vector<std::uint64_t> addresses;
};

int find(const arguments& a) {
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

/// Looks addresses up in a recording, as a normalizer does in a process; there are no ELF addresses.
class recorded_normalizer {
public:
    explicit recorded_normalizer(procmap::snapshot&& recorded) : recorded_(std::move(recorded)) {}

    procmap::result<procmap::normalized> normalize(std::span<const std::uint64_t> addresses) {
        using procmap::mapping_kind;
        locations_.clear();
        files_.clear();
        for (const std::uint64_t address : addresses) {
            procmap::location& at = locations_.emplace_back();
            const auto m = recorded_.find(address);
            const mapping_kind kind = procmap::kind_of(*m);
            if (!m) {
                at.reason = procmap::reason::not_mapped;
            } else if (m->file_backed() || kind == mapping_kind::vdso) {
                at.offset = address - m->start + m->offset;
                at.file = static_cast<std::uint32_t>(files_.size());
                if (m->name.empty()) at.reason = procmap::reason::name_unknown;
                files_.push_back({.path = m->name,
                                  .build_id = procmap::build_id{m->build_id.bytes()},
                                  .device = m->device,
                                  .inode = m->inode,
                                  .build_id_known = m->build_id_known});
            } else {
                const bool kernels_own = kind == mapping_kind::vvar || kind == mapping_kind::other;
                at.reason = kernels_own ? procmap::reason::special : procmap::reason::not_file_backed;
            }
        }
        return procmap::normalized{.locations = locations_, .files = files_, .error = {}};
    }

private:
    procmap::snapshot recorded_;
    std::vector<procmap::location> locations_;
    std::vector<procmap::mapped_file> files_;
};

// As in the enumerations; empty: there is nothing to say.
constexpr std::string_view reasons[] = {"",     "not_mapped", "not_file_backed", "special",
                                        "gone", "denied",     "failed",          "name_unknown"};
constexpr std::string_view reasons_in_words[] = {"",
                                                 "not mapped",
                                                 "no file: anonymous memory",
                                                 "no file: the kernel's own",
                                                 "not looked up: the process is gone",
                                                 "not looked up: permission denied",
                                                 "not looked up: it broke off",
                                                 "(path not known)"};
constexpr std::string_view file_states[] = {"", "linked", "deleted", "replaced", "unreadable"};
constexpr std::string_view build_id_sources[] = {"", "kernel", "map_files", "root_path", "memory", "given"};

template <class Enum>
std::string json_word(const std::string& key, std::span<const std::string_view> words, Enum value) {
    const std::string_view word = words[static_cast<std::size_t>(value)];
    return ",\"" + key + "\":" + (word.empty() ? "null" : json_string(word));
}

/// A location's members, behind the address.
std::string json_members(const procmap::location& at, const procmap::mapped_file& file) {
    return (file.path.empty() ? "\"file\":null" : json_text_or_bytes("file", file.path)) +
           ",\"offset\":" + (at ? json_hex(at.offset) : "null") +
           ",\"elf_address\":" + (at.elf_address_known ? json_hex(at.elf_address) : "null") +
           ",\"build_id\":" + json_build_id(file.build_id) +
           json_word("build_id_source", build_id_sources, file.build_id.source()) +
           json_word("state", file_states, file.state) + json_word("reason", reasons, at.reason);
}

std::string_view in_words(procmap::reason why) {
    return reasons_in_words[static_cast<std::size_t>(why)];
}

/// A path as the kernel writes it in maps, newlines as \012, and the offset.
std::string path_and_offset(const procmap::location& at, const procmap::mapped_file& file) {
    std::string out;
    for (const char c : at.reason == procmap::reason::none ? file.path : in_words(at.reason))
        c == '\n' ? out += procmap::escaped_newline : out += c;
    return out + "+0x" + hex(at.offset);
}

/// Writes where addresses are: JSON, or a table. False: one of them has no location.
bool show(const arguments& a, std::span<const std::uint64_t> addresses, const procmap::normalized& found) {
    std::vector<std::vector<std::string>> table;
    bool all = true;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const procmap::location& at = found.locations[i];
        const procmap::mapped_file file = at ? found.files[at.file] : procmap::mapped_file{};
        all = all && at;
        if (a.json) {
            put("{\"address\":" + json_hex(addresses[i]) + ',' + json_members(at, file) + "}\n");
            continue;
        }
        auto& row = table.emplace_back();
        row.push_back("0x" + hex(addresses[i]));
        if (!at) {
            row.emplace_back(in_words(at.reason));
            continue;
        }
        row.push_back(path_and_offset(at, file));
        row.push_back(at.elf_address_known ? "elf 0x" + hex(at.elf_address) : "elf -");
        row.push_back(file.build_id.empty() ? "-" : printed(file.build_id));
        if (file.state == procmap::file_state::deleted || file.state == procmap::file_state::replaced)
            row.emplace_back(file_states[static_cast<std::size_t>(file.state)]);
    }
    constexpr std::size_t widest = 64;  // one long path does not push all others away
    std::vector<std::size_t> widths;
    for (const auto& row : table)
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i == widths.size()) widths.push_back(0);
            if (i + 1 < row.size() && row[i].size() <= widest) widths[i] = std::max(widths[i], row[i].size());
        }
    for (const auto& row : table) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(std::max(widths[i], row[i].size()) - row[i].size() + 2, ' ');
        }
        put(line + '\n');
    }
    return all;
}

/// Gives `answer` the addresses on standard input as they come, up to 4096 at a time, until it says that it cannot go on. What
/// is no address is left out, after saying so.
int read_addresses(const auto& answer) {
    constexpr std::size_t most = 4096;
    constexpr std::string_view blanks = " \t\n\v\f\r";
    int status = done;
    std::vector<std::uint64_t> addresses;
    const bool silent = is_terminal(STDOUT_FILENO);  // there, the answers show how far it is
    std::uint64_t answered = 0;
    const auto answer_all = [&] {
        const bool goes_on = addresses.empty() || answer(addresses);
        answered += addresses.size();
        addresses.clear();
        if (!silent) progress::show(answered, "addresses");
        flush();
        return goes_on;
    };
    constexpr std::size_t longest = 40;  // an address has 18 characters, and may have more zeros in front
    std::string word;  // that is being read; what it has beyond `longest` and one more is dropped
    // Takes the word. False: no more can be answered.
    const auto take_word = [&] {
        const auto address = word.size() <= longest ? parse_address(word) : std::nullopt;
        if (address) {
            addresses.push_back(*address);
        } else {
            if (!answer_all()) return false;
            complain("standard input: " + (no_address + word.substr(0, longest)) + (word.size() > longest ? "..." : ""));
            status = failed;
        }
        word.clear();
        return addresses.size() < most || answer_all();
    };
    for (bool at_end = false; !at_end;) {
        char chunk[1 << 16];
        const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            complain(std::string("read standard input: ") + std::strerror(errno));
            return failed;
        }
        at_end = n == 0;
        for (const char c : std::string_view(chunk, static_cast<std::size_t>(n))) {
            if (blanks.find(c) == blanks.npos) {
                if (word.size() <= longest) word += c;
            } else if (!word.empty() && !take_word()) {
                return status;
            }
        }
        if (at_end && !word.empty() && !take_word()) return status;
        if (!answer_all()) return status;
    }
    progress::clear();
    return status;
}

int normalize(const arguments& a) {
    const question asked(a, "normalize", 1);
    if (a.from && std::strcmp(a.from, "-") == 0 && asked.addresses.empty())
        usage_error("no ADDRESS given, and standard input is the recording", "normalize");
    const auto answer_by = [&](const auto& normalized_of) {
        int status = done;
        const auto answer = [&](std::span<const std::uint64_t> addresses) {
            const procmap::result<procmap::normalized> found = normalized_of(addresses);
            if (found && !show(a, addresses, *found)) status = std::max(status, not_mapped);
            const procmap::error broke = found ? found->error : found.error();
            if (broke.code == procmap::errc::none) return true;
            complain(broke);
            status = failed;
            return false;
        };
        if (asked.addresses.empty()) {
            const int read = read_addresses(answer);
            return std::max(status, read);
        }
        answer(asked.addresses);
        return status;
    };
    if (a.from) {
        recorded_normalizer recorded(load(a.from));
        return answer_by([&](std::span<const std::uint64_t> addresses) { return recorded.normalize(addresses); });
    }
    const procmap::maps process = open_target(a, "normalize", asked.target);
    procmap::normalizer normalizer({.build_ids = true, .elf_addresses = true, .file_states = true});
    return answer_by([&](std::span<const std::uint64_t> addresses) { return normalizer.normalize(process, addresses); });
}

int snapshot(const arguments& a) {
    const std::string_view target = only_target(a, "snapshot");
    if (a.from) {
        procmap::print(put, load(a.from));
        return done;
    }
    const procmap::maps process = open_target(a, "snapshot", target);
    if (a.page_sizes && process.backend() != procmap::backend::ioctl) {
        complain("no page sizes: the text back-end has none");
        return failed;
    }
    procmap::print(put, capture(process, {.build_ids = a.build_ids, .page_sizes = a.page_sizes}));
    return done;
}

/// A or B of `procmap diff`.
procmap::snapshot operand(const arguments& a, std::string_view text) {
    const auto is_file = [&] {
        struct stat s;
        return ::stat(text.data(), &s) == 0 && !S_ISDIR(s.st_mode);
    };
    const bool like_target = text == "self" || (text.find_first_not_of("0123456789/") == text.npos && !text.starts_with('/'));
    if (is_decimal(text) || (like_target && !is_file())) return capture(open_target(a, "diff", text));
    return load(text.data());
}

/// Writes a change, coloured by its kind where that is wanted.
void show(const arguments& a, const procmap::change& c, bool coloured) {
    if (a.json) {
        put("{\"kind\":" + json_string(procmap::to_string(c.kind)) + ',' + json_members(c.now) + "}\n");
        return;
    }
    constexpr const char* colours[] = {"\033[32m", "\033[31m", "\033[35m", "\033[33m", "\033[36m"};  // in the kinds' order
    if (coloured) put_raw(colours[static_cast<std::size_t>(c.kind)]);
    procmap::print(put, c);
    put_raw(coloured ? "\033[m\n" : "\n");
}

/// Whether standard output is a terminal that shows colours, to someone who wants them (no-color.org).
bool wants_colours() {
    const char* const unwanted = std::getenv("NO_COLOR");
    return (unwanted == nullptr || *unwanted == '\0') && understands_escapes(STDOUT_FILENO);
}

int diff(const arguments& a) {
    if (a.positional.size() != 2) usage_error("diff takes two arguments, A and B", "diff");
    if (a.positional[0] == "-" && a.positional[1] == "-") usage_error("only one of A and B can be standard input", "diff");
    const procmap::snapshot before = operand(a, a.positional[0]);
    const procmap::snapshot after = operand(a, a.positional[1]);
    const bool coloured = wants_colours();
    for (const procmap::change& c : procmap::difference(before, after)) show(a, c, coloured);
    return done;
}

int watch(const arguments& a) {
    const procmap::maps process = open_target(a, "watch", only_target(a, "watch"));
    const bool coloured = wants_colours();
    procmap::watcher watcher(process);
    for (std::uint64_t looks = 0;; ++looks) {
        const auto changes = watcher.look();
        if (!changes) {
            complain(changes.error());
            return changes.error() == procmap::errc::gone ? done : failed;
        }
        if (looks != 0)  // at first everything is new
            for (const procmap::change& c : *changes) show(a, c, coloured);
        flush();
        if (a.count && looks >= *a.count) return done;
        timespec pause{};
        pause.tv_sec = static_cast<time_t>(a.interval);
        pause.tv_nsec = static_cast<long>((a.interval - std::floor(a.interval)) * 1e9);
        ::nanosleep(&pause, nullptr);
    }
}

int probe(const arguments& a) {
    if (!a.positional.empty()) usage_error("no such argument: " + std::string(a.positional.front()), "probe");
    const procmap::capabilities can = procmap::probe(a.how.proc);
    utsname names{};
    const std::string kernel = ::uname(&names) == 0 ? names.release : "unknown";
    const std::string why_not(procmap::errno_name(can.ioctl_errno));
    std::string cves;
    const auto add = [&](procmap::hazard hazard, const char* cve) {
        if (!can.build_id_hazards.has(hazard)) return;
        if (!cves.empty()) cves += a.json ? "," : " ";
        cves += a.json ? json_string(cve) : cve;
    };
    add(procmap::hazard::cve_2026_23002, "CVE-2026-23002");
    add(procmap::hazard::cve_2026_43178, "CVE-2026-43178");
    add(procmap::hazard::cve_2026_23199, "CVE-2026-23199");
    const bool ids = can.ioctl && procmap::safe_to_ask(can.build_id_hazards);
    const bool reads = can.build_id_hazards.has(procmap::hazard::reads_what_is_mapped);
    if (a.json) {
        const auto boolean = [](bool b) { return b ? "true" : "false"; };
        put("{\"kernel\":" + json_string(kernel) + ",\"ioctl\":" + boolean(can.ioctl) +
            ",\"ioctl_errno\":" + (why_not.empty() ? "null" : json_string(why_not)) + ",\"text\":" + boolean(can.text) +
            ",\"live\":" + boolean(can.live) + ",\"struct_size\":" + json_number(can.struct_size) + ",\"build_id_hazards\":[" +
            cves + "],\"reads_what_is_mapped\":" + boolean(reads) + "}\n");
    } else {
        put("kernel   " + kernel + '\n');
        put("ioctl    " + (can.ioctl ? "yes" : why_not.empty() ? "no" : "no: " + why_not) + '\n');
        put("text     " + std::string(can.text ? "yes" : "no") + '\n');
        put("live     " + std::string(can.live ? "yes" : "no") + '\n');
        put("struct   " + (can.ioctl ? std::to_string(can.struct_size) + " bytes" : "none") + '\n');
        put("hazards  " + (cves.empty() ? "none" : cves + " (of asking for build IDs: not done)") + '\n');
        put(std::string("IDs      ") + (!can.ioctl ? "from files: no ioctl" : !ids ? "from files: the kernel is not asked" :
            "from the kernel, of regular files only: it reads whatever is mapped") + '\n');
    }
    if (can.error.code == procmap::errc::none) return done;
    complain(can.error);
    return failed;
}

/// What `procmap compare` has both back-ends do.
struct workload {
    std::vector<std::uint64_t> addresses;  ///< ascending; none: all mappings that are `only`
    procmap::filters only;

    /// Visits the mappings that hold the addresses, or all, ascending and each once; adds to `queries` what the ioctl was called.
    [[nodiscard]] procmap::error run(const procmap::maps& from, std::uint64_t& queries, const auto& visit) const {
        auto at = addresses.begin();
        const auto end = addresses.end();
        const auto visit_if_hit = [&](const procmap::mapping& m) {
            while (at != end && *at < m.start) ++at;
            if (at != end && *at < m.end) visit(m);
            while (at != end && *at < m.end) ++at;
            return at != end;
        };
        const auto count = [&](const procmap::mapping& m) { queries += name_is_missing(m) ? 2 : 1; };  // again, without the name
        if (addresses.empty() || from.backend() == procmap::backend::text) {
            auto walk = from.walk({.only = only, .names = true, .buffer = name_storage});
            for (const procmap::mapping& m : walk) {
                count(m);
                if (addresses.empty())
                    visit(m);
                else if (!visit_if_hit(m))
                    break;
            }
            ++queries;  // that found the end
            return walk.error();
        }
        for (bool more = true; more;) {
            const auto m = from.find_from(*at, {.name = name_storage});
            if (!m) return ++queries, m.error() == procmap::errc::not_mapped ? procmap::error{} : m.error();
            count(*m);
            more = visit_if_hit(*m);
        }
        return {};
    }
};

/// How many calls of read and the like this process made before this one; nothing where the kernel does not count them.
std::optional<std::uint64_t> read_calls(const char* proc) {
    const procmap::unique_fd io{::open((std::string(proc) + "/self/io").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[512];
    const ssize_t n = ::read(io.get(), text, sizeof text);
    const std::string_view fields(text, n < 0 ? 0 : static_cast<std::size_t>(n));
    constexpr std::string_view key = "syscr: ";
    const std::size_t begin = fields.find(key);
    if (begin == fields.npos) return {};
    return number<std::uint64_t>(fields.substr(begin + key.size(), fields.find('\n', begin) - begin - key.size()), 10);
}

/// One back-end's part of `procmap compare`.
class contender {
public:
    contender(const arguments& a, procmap::backend use, std::string_view target, const workload& work)
        : a_(a), target_(target), work_(work) {
        a_.how.use = use;
    }

    [[nodiscard]] procmap::maps open() const { return open_target(a_, "compare", target_); }

    /// The lines of the mappings that it finds, or the end of the program where it cannot.
    void answer(std::vector<std::string>& lines) {
        lines.clear();
        const procmap::maps process = open();
        const auto before = read_calls(a_.how.proc);
        std::uint64_t queries = 0;
        end_if(work_.run(process, queries, [&](const procmap::mapping& m) { lines.push_back(printed(m)); }));
        const auto after = read_calls(a_.how.proc);
        calls_ = queries;
        if (process.backend() != procmap::backend::text) return;
        calls_.reset();
        if (before && after) calls_ = *after - *before - 1;  // that read the first of the two
    }

    void measure() {
        using clock = std::chrono::steady_clock;
        const auto ns = [](clock::duration d) { return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count(); };
        std::uint64_t queries = 0;
        const auto begun = clock::now();
        std::optional<procmap::maps> process = open();
        const auto opened = clock::now();
        const procmap::error broke = work_.run(*process, queries, [this](const procmap::mapping& m) {
            sink_ = sink_ + m.offset + m.name.size();
        });
        const auto looked_up = clock::now();
        process.reset();
        const auto closed = clock::now();
        end_if(broke);
        opens_.push_back(ns(opened - begun) + ns(closed - looked_up));
        lookups_.push_back(ns(looked_up - opened));
    }

    [[nodiscard]] std::optional<std::uint64_t> calls() const { return calls_; }
    [[nodiscard]] long long open_ns() const { return median(opens_); }
    [[nodiscard]] long long lookup_ns() const { return median(lookups_); }
    [[nodiscard]] long long best_ns() const { return *std::min_element(lookups_.begin(), lookups_.end()); }

private:
    static void end_if(const procmap::error& broke) {
        if (broke.code == procmap::errc::none) return;
        complain(broke);
        std::exit(failed);
    }
    static long long median(std::vector<long long> all) {
        const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
        std::nth_element(all.begin(), middle, all.end());
        return *middle;
    }

    arguments a_;
    std::string_view target_;
    const workload& work_;
    std::optional<std::uint64_t> calls_;  // of one lookup
    std::vector<long long> opens_, lookups_;
    volatile std::uint64_t sink_ = 0;
};

/// Says which of `lines` the other back-end has not.
void say_missing(const char* who, std::vector<std::string> lines, std::vector<std::string> others) {
    std::sort(lines.begin(), lines.end());
    std::sort(others.begin(), others.end());
    std::vector<std::string> missing;
    std::set_difference(lines.begin(), lines.end(), others.begin(), others.end(), std::back_inserter(missing));
    for (const std::string& line : missing) complain(who + line);
}

int compare(const arguments& a) {
    const question asked(a, "compare", 1);
    if (a.count && *a.count == 0) usage_error("no runs", "compare");
    if (a.all && !asked.addresses.empty()) usage_error("either --all or ADDRESSes", "compare");
    workload work{.addresses = asked.addresses, .only = {}};
    std::sort(work.addresses.begin(), work.addresses.end());
    if (work.addresses.empty() && !a.all) work.only = procmap::executable | procmap::file_backed;

    contender text(a, procmap::backend::text, asked.target, work);
    contender ioctl(a, procmap::backend::ioctl, asked.target, work);
    std::vector<std::string> by_ioctl, by_text, again;
    // What changes meanwhile is no difference of the back-ends.
    bool changes = false;
    constexpr int most_looks = 10;
    for (int look = 0; look == 0 || (by_text != by_ioctl && look < most_looks); ++look) {
        text.answer(by_text);
        ioctl.answer(by_ioctl);
        text.answer(again);
        changes = changes || by_text != again;
    }
    if (by_text != by_ioctl) {
        if (changes) {
            complain("the process keeps changing, so its answers cannot be compared; stop it meanwhile (kill -STOP), or ask again");
            return failed;
        }
        complain("the answers differ:");
        say_missing("text only:  ", by_text, by_ioctl);
        say_missing("ioctl only: ", by_ioctl, by_text);
        return not_mapped;
    }
    std::size_t present = 0;
    const procmap::maps process = ioctl.open();
    auto everything = process.walk();
    for ([[maybe_unused]] const procmap::mapping& m : everything) ++present;
    if (!everything.complete()) return complain(everything.error()), failed;

    using clock = std::chrono::steady_clock;
    constexpr std::uint64_t least_runs = 10;
    const auto enough = clock::now() + std::chrono::seconds(1);
    std::uint64_t runs = 0;
    for (; a.count ? runs < *a.count : runs < least_runs || clock::now() < enough; ++runs) {
        text.measure();
        ioctl.measure();
        progress::show(runs + 1, "runs", a.count.value_or(0));
    }
    progress::clear();

    if (a.json) {
        for (const contender* c : {&text, &ioctl})
            put("{\"backend\":\"" + std::string(c == &text ? "text" : "ioctl") + "\",\"addresses\":" +
                std::to_string(work.addresses.size()) + ",\"found\":" + std::to_string(by_text.size()) + ",\"mappings\":" +
                std::to_string(present) + ",\"runs\":" + std::to_string(runs) + ",\"open_ns\":" + std::to_string(c->open_ns()) +
                ",\"lookup_ns\":" + std::to_string(c->lookup_ns()) + ",\"best_ns\":" + std::to_string(c->best_ns()) +
                ",\"system_calls\":" + (c->calls() ? std::to_string(*c->calls()) : "null") + "}\n");
        return done;
    }
    const std::string what = a.all ? "all" : !work.addresses.empty() ? "those that hold the addresses" : "executable, of files";
    put("found by both: " + std::to_string(by_text.size()) + " of " + std::to_string(present) + " mappings (" + what +
        "); microseconds, " + std::to_string(runs) + " runs\n\n");
    const auto row = [](const char* name, double open, double lookup, double best, const std::string& calls, int digits) {
        char line[128];
        std::snprintf(line, sizeof line, "%-8s%12.*f%12.*f%12.*f%14s\n", name, digits, open, digits, lookup, digits, best, calls.c_str());
        put(line);
    };
    const auto part = [](auto of, auto in) { return static_cast<double>(of) / static_cast<double>(in); };
    put("                open      lookup        best  system calls\n");
    for (const contender* c : {&text, &ioctl})
        row(c == &text ? "text" : "ioctl", part(c->open_ns(), 1000), part(c->lookup_ns(), 1000), part(c->best_ns(), 1000),
            c->calls() ? std::to_string(*c->calls()) : "-", 2);
    char calls[32] = "-";
    if (text.calls() && ioctl.calls()) std::snprintf(calls, sizeof calls, "%.1f", part(*text.calls(), *ioctl.calls()));
    row("ratio", part(text.open_ns(), ioctl.open_ns()), part(text.lookup_ns(), ioctl.lookup_ns()),
        part(text.best_ns(), ioctl.best_ns()), calls, 1);
    return done;
}

struct command {
    const char* name;
    int (*run)(const arguments&);
    const char* summary;
    const char* help;
    std::string_view options;  // what it takes of `options`, besides the common ones; T: it takes a TARGET
};

constexpr command commands[] = {
    {"list", list, "all mappings of a process", list_help, "TFrwxsfbSjB"},
    {"find", find, "the mapping that holds an address", find_help, "TFnjB"},
    {"normalize", normalize, "the file, offset and build ID of an address", normalize_help, "TFjB"},
    {"snapshot", snapshot, "a copy of the mappings, to be kept", snapshot_help, "TFpbB"},
    {"diff", diff, "what changed between two snapshots", diff_help, "jB"},
    {"watch", watch, "what changes, as it happens", watch_help, "TicjB"},
    {"compare", compare, "text against ioctl: the same answers, and how fast", compare_help, "Tacj"},
    {"probe", probe, "what this kernel and this sandbox can do", probe_help, "jB"},
};

constexpr option options[] = {
    {"backend", required_argument, nullptr, 'B'},  {"proc", required_argument, nullptr, 'P'},
    {"help", no_argument, nullptr, 'H'},           {"version", no_argument, nullptr, 'V'},
    {"from", required_argument, nullptr, 'F'},
    {"readable", no_argument, nullptr, 'r'},       {"writable", no_argument, nullptr, 'w'},
    {"executable", no_argument, nullptr, 'x'},     {"exec", no_argument, nullptr, 'x'},
    {"shared", no_argument, nullptr, 's'},         {"file-backed", no_argument, nullptr, 'f'},
    {"next", no_argument, nullptr, 'n'},           {"build-ids", no_argument, nullptr, 'b'},
    {"page-sizes", no_argument, nullptr, 'p'},     {"summary", no_argument, nullptr, 'S'},
    {"interval", required_argument, nullptr, 'i'}, {"count", required_argument, nullptr, 'c'},
    {"all", no_argument, nullptr, 'a'},            {"json", no_argument, nullptr, 'j'},           {nullptr, 0, nullptr, 0},
};
constexpr std::string_view common_options = "PHV";

procmap::backend parse_backend(std::string_view text, const char* command) {
    if (text == "auto") return procmap::backend::automatic;
    if (text == "ioctl") return procmap::backend::ioctl;
    if (text == "text") return procmap::backend::text;
    usage_error("no such back-end (auto, ioctl or text): " + std::string(text), command);
}

double parse_interval(const char* text, const char* command) {
    char* end = nullptr;
    const double seconds = std::strtod(text, &end);
    constexpr double most = 1e6;  // some days
    if (std::strspn(text, "0123456789.") != std::strlen(text) || end == text || *end != '\0' || !(seconds <= most))
        usage_error("no time in seconds: " + std::string(text), command);
    return seconds;
}

void put_version() {
    put("procmap " + std::to_string(PROCMAP_VERSION_MAJOR) + '.' + std::to_string(PROCMAP_VERSION_MINOR) + '.' +
        std::to_string(PROCMAP_VERSION_PATCH) + '\n');
}

/// Reads what follows the command's name, argv[0]; answers --help and --version.
arguments parse_arguments(const command& c, int argc, char** argv) {
    opterr = 0;  // its messages would repeat arguments to a terminal as they are
    arguments a;
    int index = 0;
    for (int key = 0; (key = ::getopt_long(argc, argv, ":", options, &index)) != -1;) {
        if (key == ':') usage_error("option without its value: " + std::string(argv[optind - 1]), c.name);
        if (key == '?') {
            const std::string_view last = argv[optind - 1];
            if (optopt == 0 || (last.starts_with("--") && last.find('=') != last.npos))
                usage_error((optopt == 0 ? "no such option, or not one alone: " : "option takes no value: ") + std::string(last), c.name);
            usage_error(std::string("no such option: -") + static_cast<char>(optopt), c.name);
        }
        const char letter = static_cast<char>(key);
        if (common_options.find(letter) == common_options.npos && c.options.find(letter) == c.options.npos)
            usage_error(std::string(c.name) + " has no option --" + options[index].name, c.name);
        switch (letter) {
            case 'B': a.how.use = parse_backend(optarg, c.name); break;
            case 'P': a.how.proc = optarg; break;
            case 'H':
                put(c.help);
                put(c.options.find('T') != c.options.npos ? target_help : "");
                if (c.options.find('F') != c.options.npos) put(from_help);
                if (c.options.find('B') != c.options.npos) put(backend_help);
                put(common_help);
                flush();
                std::exit(done);
            case 'V':
                put_version();
                flush();
                std::exit(done);
            case 'F': a.from = optarg; break;
            case 'r': a.only |= procmap::readable; break;
            case 'w': a.only |= procmap::writable; break;
            case 'x': a.only |= procmap::executable; break;
            case 's': a.only |= procmap::shared; break;
            case 'f': a.only |= procmap::file_backed; break;
            case 'n': a.next = true; break;
            case 'b': a.build_ids = true; break;
            case 'p': a.page_sizes = true; break;
            case 'S': a.summary = true; break;
            case 'i': a.interval = parse_interval(optarg, c.name); break;
            case 'c':
                a.count = number<std::uint64_t>(optarg, 10);
                if (!a.count) usage_error("no number: " + std::string(optarg), c.name);
                break;
            case 'a': a.all = true; break;
            case 'j': a.json = true; break;
        }
    }
    a.positional.assign(argv + optind, argv + argc);
    return a;
}

void put_help() {
    put("usage: procmap COMMAND [ARGUMENT...]\n       procmap --help | --version\n\n");
    for (const command& c : commands) put("  " + std::string(c.name).append(11 - std::strlen(c.name), ' ') + c.summary + '\n');
    put("\n'procmap COMMAND --help' says more.\n"
        "Exit status: 0 done; 1 an address is not mapped, or (normalize) has no file, or (compare) the answers differ; 2 usage;\n"
        "3 could not, for the reason on standard error.\n");
}

int run(int argc, char** argv) {
    if (argc < 2) usage_error("no command given");
    const std::string_view name = argv[1];
    for (const command& c : commands)
        if (name == c.name) return c.run(parse_arguments(c, argc - 1, argv + 1));
    if (name == "--help") {
        put_help();
    } else if (name == "--version") {
        put_version();
    } else {
        usage_error("no such command: " + std::string(name));
    }
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    std::set_new_handler(out_of_memory);
    const int status = run(argc, argv);
    flush();
    return status;
}

// procmap: what is mapped where, on the command line. Built with nothing but a compiler:
//   c++ -std=c++20 -O2 -Iinclude cli/procmap.cpp -o procmap
// A command is a function and a row of `commands`.
#include <procmap/maps.hpp>

#include <getopt.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

// Exit status. Where several apply, the highest.
constexpr int done = 0;
constexpr int not_mapped = 1;
constexpr int misused = 2;
constexpr int failed = 3;

constexpr char target_help[] = R"(
TARGET is self (the default), PID or PID/TID.
  --from FILE      recorded maps text instead of a TARGET; - is standard input
)";

constexpr char common_help[] =
    R"(  --backend WHICH  auto (the default: the ioctl where it answers, otherwise text), ioctl or text
  --proc DIR       where procfs is mounted; /proc by default
  --help           this
)";

constexpr char list_help[] = R"(usage: procmap list [TARGET] [OPTION...]

All mappings of a process, byte for byte as in /proc/PID/maps, but without [vsyscall], which is not one. Recorded text is
shown as recorded.

  --executable, --exec, --readable, --writable, --shared, --file-backed
                   only the mappings that are all of this
  --json           one JSON object a line, with page size and build ID (null: not known, or none)
)";

constexpr char find_help[] = R"(usage: procmap find [TARGET] ADDRESS... [OPTION...]

The mapping that holds each address, as `procmap list` shows it.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID, or decimal digits alone
with another argument behind it; otherwise, and always with --from, it is an ADDRESS. One that begins with 0x is never taken
for a TARGET.

  --next           where nothing is mapped, the next mapping above
  --json           one JSON object a line, with the address, page size and build ID (null: not known, or none)
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
    bool next = false;
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

void put(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

void flush() {
    if (std::fflush(stdout) != 0) cannot_write();
}

/// Says something on standard error, after what went to standard output before it.
void complain(const std::string& text) {
    flush();
    std::fprintf(stderr, "procmap: %s\n", text.c_str());
}

void complain(const procmap::error& e) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, e);
    complain(text);
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

/// A JSON string; empty where `text` is not UTF-8.
std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        if (size == 0) return {};
        const char c = text.front();
        if (static_cast<unsigned char>(c) < 0x20) {
            out += "\\u" + hex(static_cast<unsigned char>(c), 4);
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

/// Whether the mapping has a name that could not be had.
bool name_is_missing(const procmap::mapping& m) {
    return m.name_status == procmap::name_state::too_long || m.name_status == procmap::name_state::no_memory;
}

std::string json_name(const procmap::mapping& m) {
    if (name_is_missing(m)) return "\"name\":null";
    if (const std::string text = json_string(m.name); !text.empty()) return "\"name\":" + text;
    std::string bytes;
    for (const char c : m.name) bytes += hex(static_cast<unsigned char>(c), 2);
    return "\"name_bytes\":\"" + bytes + '"';
}

std::string json_build_id(const procmap::mapping& m) {
    if (m.build_id.empty()) return "null";
    std::string out = "\"";
    procmap::print([&out](std::string_view piece) { out += piece; }, m.build_id);
    return out + '"';
}

/// The members of a mapping's object.
std::string json_members(const procmap::mapping& m) {
    using procmap::perm;
    const std::string permissions = {m.permissions.has(perm::read) ? 'r' : '-', m.permissions.has(perm::write) ? 'w' : '-',
                                     m.permissions.has(perm::execute) ? 'x' : '-', m.permissions.has(perm::shared) ? 's' : 'p'};
    return "\"start\":\"0x" + hex(m.start) + "\",\"end\":\"0x" + hex(m.end) + "\",\"permissions\":\"" + permissions +
           "\",\"offset\":\"0x" + hex(m.offset) + "\",\"device\":\"" + hex(m.device.major, 2) + ':' + hex(m.device.minor, 2) +
           "\",\"inode\":" + std::to_string(m.inode) + ",\"page_size\":" + json_number(m.page_size) + ',' + json_name(m) +
           ",\"build_id\":" + json_build_id(m);
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
        put('{' + (asked ? "\"address\":\"0x" + hex(*asked) + "\"," : std::string{}) + json_members(m) + '}');
    } else if (!r.line.empty()) {
        put(r.line);
    } else {
        procmap::print(put, m, name_column(a.how.proc));
    }
    put("\n");
    if (!name_is_missing(m)) return;
    complain(hex(m.start, 8) + '-' + hex(m.end, 8) + ": shown without its name, " +
             (m.name_status == procmap::name_state::too_long ? "which is too long" : "for which the kernel had no memory") +
             "; --backend text has names of up to 256 KiB");
}

/// Recorded maps text, or the end of the program where it cannot be read.
std::string read_recorded(const char* file) {
    const bool standard_input = std::strcmp(file, "-") == 0;
    std::FILE* const in = standard_input ? stdin : std::fopen(file, "r");
    std::string text;
    if (in != nullptr) {
        char chunk[1 << 16];
        while (const std::size_t n = std::fread(chunk, 1, sizeof chunk, in)) text.append(chunk, n);
    }
    if (in == nullptr || std::ferror(in)) {
        complain(std::string("read ") + (standard_input ? "standard input" : file) + ": " + std::strerror(errno));
        std::exit(failed);
    }
    if (!standard_input) std::fclose(in);
    return text;
}

/// Recorded text and its lines, which borrow from it. Malformed lines are left out, after saying so.
struct recording {
    explicit recording(const char* file) : text(read_recorded(file)) {
        std::string_view rest = text;
        for (const auto& parsed : procmap::parse(text)) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
            if (parsed) {
                lines.push_back({*parsed, line});
            } else {
                complain(parsed.error());
                status = failed;
            }
        }
    }
    recording(const recording&) = delete;
    recording& operator=(const recording&) = delete;

    const std::string text;
    std::vector<record> lines;
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

int list(const arguments& a) {
    if (a.positional.size() > (a.from ? 0 : 1))
        usage_error(a.from ? "no TARGET goes with --from" : "more than one TARGET", "list");
    if (a.from) {
        const recording recorded(a.from);
        for (const record& r : recorded.lines)
            if (r.mapping.passes(a.only)) show(a, r);
        return recorded.status;
    }
    const procmap::maps process = open_target(a, "list", a.positional.empty() ? "self" : a.positional.front());
    auto walk = process.walk({.only = a.only, .names = true, .build_ids = a.json, .buffer = name_storage});
    for (const procmap::mapping& m : walk) show(a, {m});
    if (walk.complete()) return done;
    complain(walk.error());
    return failed;
}

procmap::result<record> look_up(const recording& recorded, std::uint64_t address, const arguments& a) {
    const record* above = nullptr;
    for (const record& r : recorded.lines) {
        if (r.mapping.contains(address)) return r;
        if (r.mapping.start > address && (above == nullptr || r.mapping.start < above->mapping.start)) above = &r;
    }
    if (a.next && above != nullptr) return *above;
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

int find(const arguments& a) {
    std::string_view target;  // empty: none is given
    if (!a.from && !a.positional.empty()) {
        const std::string_view first = a.positional.front();
        const bool decimal = first.find_first_not_of("0123456789") == first.npos && a.positional.size() > 1;
        if (first == "self" || first.find('/') != first.npos || decimal) target = first;
    }
    std::vector<std::uint64_t> addresses;
    for (std::size_t i = target.empty() ? 0 : 1; i < a.positional.size(); ++i) {
        const std::string_view text = a.positional[i];
        const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
        const auto address = number<std::uint64_t>(text.substr(prefixed ? 2 : 0), 16);
        if (!address) usage_error("no ADDRESS (hexadecimal, 64 bits): " + std::string(text), "find");
        addresses.push_back(*address);
    }
    if (addresses.empty()) usage_error("no ADDRESS given", "find");

    const auto answer_from = [&](const auto& source) {
        int status = done;
        for (const std::uint64_t address : addresses) {
            const auto answer = look_up(source, address, a);
            if (answer) {
                show(a, *answer, address);
            } else if (answer.error() == procmap::errc::not_mapped) {
                if (a.json) put("{\"address\":\"0x" + hex(address) + "\",\"mapping\":null}\n");
                complain("0x" + hex(address) + ": no mapping there");
                status = not_mapped;
            } else {
                complain(answer.error());
                return failed;
            }
        }
        return status;
    };
    if (!a.from) return answer_from(open_target(a, "find", target.empty() ? "self" : target));
    const recording recorded(a.from);
    return std::max(recorded.status, answer_from(recorded));
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
    if (a.json) {
        const auto boolean = [](bool b) { return b ? "true" : "false"; };
        put("{\"kernel\":" + json_string(kernel) + ",\"ioctl\":" + boolean(can.ioctl) +
            ",\"ioctl_errno\":" + (why_not.empty() ? "null" : json_string(why_not)) + ",\"text\":" + boolean(can.text) +
            ",\"live\":" + boolean(can.live) + ",\"struct_size\":" + json_number(can.struct_size) + ",\"build_id_hazards\":[" +
            cves + "]}\n");
    } else {
        put("kernel   " + kernel + '\n');
        put("ioctl    " + (can.ioctl ? "yes" : why_not.empty() ? "no" : "no: " + why_not) + '\n');
        put("text     " + std::string(can.text ? "yes" : "no") + '\n');
        put("live     " + std::string(can.live ? "yes" : "no") + '\n');
        put("struct   " + (can.ioctl ? std::to_string(can.struct_size) + " bytes" : "none") + '\n');
        put("hazards  " + (cves.empty() ? "none" : cves + " (of asking for build IDs: not done)") + '\n');
    }
    if (can.error.code == procmap::errc::none) return done;
    complain(can.error);
    return failed;
}

struct command {
    const char* name;
    int (*run)(const arguments&);
    const char* summary;
    const char* help;
    std::string_view options;  // what it takes of `options`, besides the common ones
};

constexpr command commands[] = {
    {"list", list, "all mappings of a process", list_help, "Frwxsfj"},
    {"find", find, "the mapping that holds an address", find_help, "Fnj"},
    {"probe", probe, "what this kernel and this sandbox can do", probe_help, "j"},
};

constexpr option options[] = {
    {"backend", required_argument, nullptr, 'B'},
    {"proc", required_argument, nullptr, 'P'},
    {"help", no_argument, nullptr, 'H'},
    {"from", required_argument, nullptr, 'F'},
    {"readable", no_argument, nullptr, 'r'},
    {"writable", no_argument, nullptr, 'w'},
    {"executable", no_argument, nullptr, 'x'},
    {"exec", no_argument, nullptr, 'x'},
    {"shared", no_argument, nullptr, 's'},
    {"file-backed", no_argument, nullptr, 'f'},
    {"next", no_argument, nullptr, 'n'},
    {"json", no_argument, nullptr, 'j'},
    {nullptr, 0, nullptr, 0},
};
constexpr std::string_view common_options = "BPH";

procmap::backend parse_backend(std::string_view text, const char* command) {
    if (text == "auto") return procmap::backend::automatic;
    if (text == "ioctl") return procmap::backend::ioctl;
    if (text == "text") return procmap::backend::text;
    usage_error("no such back-end (auto, ioctl or text): " + std::string(text), command);
}

/// Reads what follows the command's name, argv[0]; answers --help.
arguments parse_arguments(const command& c, int argc, char** argv) {
    static char program[] = "procmap";
    argv[0] = program;  // getopt's messages begin with it
    arguments a;
    int index = 0;
    for (int key = 0; (key = ::getopt_long(argc, argv, "", options, &index)) != -1;) {
        if (key == '?') {
            std::fprintf(stderr, "Try 'procmap %s --help'.\n", c.name);
            std::exit(misused);
        }
        const char letter = static_cast<char>(key);
        if (common_options.find(letter) == common_options.npos && c.options.find(letter) == c.options.npos)
            usage_error(std::string(c.name) + " has no option --" + options[index].name, c.name);
        switch (letter) {
            case 'B': a.how.use = parse_backend(optarg, c.name); break;
            case 'P': a.how.proc = optarg; break;
            case 'H':
                put(c.help);
                if (c.options.find('F') != c.options.npos) put(target_help);
                put(common_help);
                flush();
                std::exit(done);
            case 'F': a.from = optarg; break;
            case 'r': a.only |= procmap::readable; break;
            case 'w': a.only |= procmap::writable; break;
            case 'x': a.only |= procmap::executable; break;
            case 's': a.only |= procmap::shared; break;
            case 'f': a.only |= procmap::file_backed; break;
            case 'n': a.next = true; break;
            case 'j': a.json = true; break;
        }
    }
    a.positional.assign(argv + optind, argv + argc);
    return a;
}

void put_help() {
    put("usage: procmap COMMAND [ARGUMENT...]\n       procmap --help | --version\n\n");
    for (const command& c : commands) put("  " + std::string(c.name).append(10 - std::strlen(c.name), ' ') + c.summary + '\n');
    put("\n'procmap COMMAND --help' says more.\n"
        "Exit status: 0 done; 1 an address is not mapped; 2 usage; 3 could not, for the reason on standard error.\n");
}

int run(int argc, char** argv) {
    if (argc < 2) usage_error("no command given");
    const std::string_view name = argv[1];
    for (const command& c : commands)
        if (name == c.name) return c.run(parse_arguments(c, argc - 1, argv + 1));
    if (name == "--help") {
        put_help();
    } else if (name == "--version") {
        put("procmap " + std::to_string(PROCMAP_VERSION_MAJOR) + '.' + std::to_string(PROCMAP_VERSION_MINOR) + '.' +
            std::to_string(PROCMAP_VERSION_PATCH) + '\n');
    } else {
        usage_error("no such command: " + std::string(name));
    }
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    const int status = run(argc, argv);
    flush();
    return status;
}

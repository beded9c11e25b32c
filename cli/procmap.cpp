// procmap: what is mapped where, on the command line. Built with nothing but a compiler:
//   c++ -std=c++20 -O2 -Iinclude cli/procmap.cpp -o procmap
// A command is a function and a row of `commands`.
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64  // 32-bit programs: also files, and addresses in /proc/PID/mem, above 2 GiB
#endif

#include "arguments.hpp"
#include "compare.hpp"
#include "diff.hpp"
#include "find.hpp"
#include "list.hpp"
#include "normalize.hpp"
#include "output.hpp"
#include "probe.hpp"
#include "snapshot.hpp"
#include "watch.hpp"

#include <procmap/maps.hpp>

#include <getopt.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace cli {

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

}  // namespace cli

int main(int argc, char** argv) {
    std::set_new_handler(cli::out_of_memory);
    const int status = cli::run(argc, argv);
    cli::flush();
    return status;
}

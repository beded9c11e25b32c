// The procmap command: its table of commands, options and help. Each command is a header. One call of a compiler builds it:
//   c++ -std=c++20 -O2 -Iinclude cli/procmap.cpp -o procmap
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64  // 32-bit programs: support files and addresses in /proc/PID/mem above 2 GiB
#endif

#include "compare.hpp"
#include "diff.hpp"
#include "find.hpp"
#include "list.hpp"
#include "normalize.hpp"
#include "probe.hpp"
#include "snapshot.hpp"
#include "watch.hpp"

#include <getopt.h>

namespace cli {

struct command {
    const char* name;
    int (*run)(const arguments&);
    const char* summary;
    const char* help;
    std::string_view options;  // the letters of its own options; T: it takes a TARGET

    [[nodiscard]] bool takes(char letter) const { return (std::string(options) + "PHV").find(letter) != std::string::npos; }
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

void put_help() {
    put("usage: procmap COMMAND [ARGUMENT...]\n       procmap --help | --version\n\n");
    for (const command& c : commands) put("  " + std::string(c.name).append(11 - std::strlen(c.name), ' ') + c.summary + '\n');
    put("\n'procmap COMMAND --help' says more.\n"
        "Exit status: 0 done; 1 an address is not mapped, or (normalize) has no file, or (compare) the answers differ; 2 usage;\n"
        "3 could not, for the reason on standard error.\n");
}

void put_help(const command& c) {
    put(c.help);
    if (c.takes('T')) put("\nTARGET is self (the default), PID or PID/TID.\n");
    if (c.takes('F'))
        put("  --from FILE      recorded text instead of a TARGET: maps, smaps, or what snapshot wrote; - is standard input. At most 1 GiB\n");
    if (c.takes('B')) put("  --backend WHICH  auto (the default: the ioctl where it answers, otherwise text), ioctl or text\n");
    put("  --proc DIR       where procfs is mounted; /proc by default\n"
        "  --help           this\n"
        "  --version        the version\n");
}

void put_version() {
    put("procmap " + std::to_string(PROCMAP_VERSION_MAJOR) + '.' + std::to_string(PROCMAP_VERSION_MINOR) + '.' +
        std::to_string(PROCMAP_VERSION_PATCH) + '\n');
}

procmap::backend parse_backend(std::string_view text) {
    if (text == "auto") return procmap::backend::automatic;
    if (text == "ioctl") return procmap::backend::ioctl;
    if (text == "text") return procmap::backend::text;
    usage_error("no such back-end (auto, ioctl or text): " + std::string(text));
}

double parse_interval(const char* text) {
    char* end = nullptr;
    const double seconds = std::strtod(text, &end);
    constexpr double most = 1e6;  // some days
    if (std::strspn(text, "0123456789.") != std::strlen(text) || end == text || *end != '\0' || !(seconds <= most))
        usage_error("no time in seconds: " + std::string(text));
    return seconds;
}

/// Parses what follows the name of the command, argv[0]. Executes --help and --version.
arguments parse_arguments(const command& c, int argc, char** argv) {
    help_option = std::string(c.name) + " --help";
    opterr = 0;  // getopt's own messages are not safe for terminals
    arguments a;
    int index = 0;
    for (int key = 0; (key = ::getopt_long(argc, argv, ":", options, &index)) != -1;) {
        const std::string last = argv[optind - 1];
        if (key == ':') usage_error("option without its value: " + last);
        if (key == '?' && optopt == 0) usage_error("no such option, or not one alone: " + last);
        if (key == '?' && last.starts_with("--") && last.find('=') != last.npos) usage_error("option takes no value: " + last);
        if (key == '?') usage_error(std::string("no such option: -") + static_cast<char>(optopt));
        const char letter = static_cast<char>(key);
        if (!c.takes(letter)) usage_error(std::string(c.name) + " has no option --" + options[index].name);
        switch (letter) {
            case 'H': put_help(c); flush(); std::exit(done);
            case 'V': put_version(); flush(); std::exit(done);
            case 'B': a.how.use = parse_backend(optarg); break;
            case 'P': a.how.proc = optarg; break;
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
            case 'i': a.interval = parse_interval(optarg); break;
            case 'a': a.all = true; break;
            case 'j': a.json = true; break;
            case 'c':
                a.count = number<std::uint64_t>(optarg, 10);
                if (!a.count) usage_error("no number: " + std::string(optarg));
        }
    }
    a.positional.assign(argv + optind, argv + argc);
    return a;
}

int run(int argc, char** argv) {
    if (argc < 2) usage_error("no command given");
    const std::string_view name = argv[1];
    if (name == "--help") return put_help(), done;
    if (name == "--version") return put_version(), done;
    for (const command& c : commands)
        if (name == c.name) return c.run(parse_arguments(c, argc - 1, argv + 1));
    usage_error("no such command: " + std::string(name));
}

}  // namespace cli

int main(int argc, char** argv) {
    std::set_new_handler(cli::out_of_memory);
    const int status = cli::run(argc, argv);
    cli::flush();
    return status;
}

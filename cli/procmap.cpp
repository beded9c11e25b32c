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
    std::string_view options;  // letters of its own options; T: TARGET, A: ADDRESS

    [[nodiscard]] bool takes(char letter) const { return (std::string(options) + "PhV").find(letter) != std::string::npos; }
};

constexpr command commands[] = {  // list is the first: see run()
    {"list", list, "print all mappings of a process", list_help, "TFrwxsfNblSjB"},
    {"find", find, "print the mapping that contains an address", find_help, "TAFnjB"},
    {"normalize", normalize, "resolve addresses to file, offset and build ID", normalize_help, "TAFjB"},
    {"snapshot", snapshot, "save all mappings of a process as text", snapshot_help, "TFpbB"},
    {"diff", diff, "print the changes between two snapshots", diff_help, "jB"},
    {"watch", watch, "print changes as they happen", watch_help, "TicjB"},
    {"compare", compare, "check the ioctl against the text, and time both", compare_help, "TAacj"},
    {"probe", probe, "print what this kernel and sandbox support", probe_help, "jB"},
};

constexpr option options[] = {
    {"backend", required_argument, nullptr, 'B'},  {"proc", required_argument, nullptr, 'P'},
    {"help", no_argument, nullptr, 'h'},           {"version", no_argument, nullptr, 'V'},
    {"from", required_argument, nullptr, 'F'},
    {"readable", no_argument, nullptr, 'r'},       {"writable", no_argument, nullptr, 'w'},
    {"executable", no_argument, nullptr, 'x'},     {"exec", no_argument, nullptr, 'x'},
    {"shared", no_argument, nullptr, 's'},         {"file-backed", no_argument, nullptr, 'f'},
    {"next", no_argument, nullptr, 'n'},           {"build-ids", no_argument, nullptr, 'b'},
    {"page-sizes", no_argument, nullptr, 'p'},     {"summary", no_argument, nullptr, 'S'},
    {"long", no_argument, nullptr, 'l'},           {"name", required_argument, nullptr, 'N'},
    {"interval", required_argument, nullptr, 'i'}, {"count", required_argument, nullptr, 'c'},
    {"all", no_argument, nullptr, 'a'},            {"json", no_argument, nullptr, 'j'},           {nullptr, 0, nullptr, 0},
};

void put_help() {
    put("usage: procmap COMMAND [ARGUMENT...]\n"
        "       procmap TARGET [OPTION...]    as procmap list TARGET\n"
        "       procmap help [COMMAND] | --help | --version\n\n");
    for (const command& c : commands) put("  " + std::string(c.name).append(11 - std::strlen(c.name), ' ') + c.summary + '\n');
    put("\nTARGET is self, PID or PID/TID. Run 'procmap COMMAND --help' for details.\n"
        "Exit status: 0 success; 1 an address is not mapped (find) or not in a file (normalize), or the results differ (compare);\n"
        "2 usage error; 3 any other error. Errors are reported on standard error.\n");
}

void put_help(const command& c) {
    put(c.help);
    if (c.takes('j')) put("  --json           print one JSON object per line; procmap(1) lists the members\n");
    if (c.takes('F')) put("  --from FILE      read maps, smaps or snapshot text instead of a process; - is standard input\n");
    if (c.takes('B')) put("  --backend WHICH  auto (default: the ioctl if available, otherwise text), ioctl or text\n");
    put("  --proc DIR       where procfs is mounted (default: /proc)\n"
        "  --help, -h       print this help\n"
        "  --version, -V    print the version\n");
    if (c.takes('T')) put("\nTARGET is self (default), PID or PID/TID.\n");
    if (c.takes('A'))
        put("ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID or decimal, and an\n"
            "ADDRESS if it begins with 0x.\n");
}

void put_version() {
    put("procmap " + std::to_string(PROCMAP_VERSION_MAJOR) + '.' + std::to_string(PROCMAP_VERSION_MINOR) + '.' +
        std::to_string(PROCMAP_VERSION_PATCH) + '\n');
}

procmap::backend parse_backend(std::string_view text) {
    if (text == "auto") return procmap::backend::automatic;
    if (text == "ioctl") return procmap::backend::ioctl;
    if (text == "text") return procmap::backend::text;
    usage_error("invalid back-end '" + std::string(text) + "': expected auto, ioctl or text");
}

double parse_interval(const char* text) {
    char* end = nullptr;
    const double seconds = std::strtod(text, &end);
    if (std::strspn(text, "0123456789.") != std::strlen(text) || end == text || *end != '\0' || !(seconds <= 1e6))
        usage_error("invalid interval '" + std::string(text) + "': expected seconds, at most 1000000");
    return seconds;
}

/// Parses what follows the name of the command, argv[0]. Executes --help and --version.
arguments parse_arguments(const command& c, int argc, char** argv) {
    help_option = std::string(c.name) + " --help";
    opterr = 0;  // getopt's own messages are not safe for terminals
    arguments a;
    int index = 0;
    for (int key = 0; (key = ::getopt_long(argc, argv, ":hV", options, &index)) != -1;) {
        const std::string last = argv[optind - 1];
        if (key == ':') usage_error("option '" + last + "' requires a value");
        if (key == '?' && optopt == 0) usage_error("unknown or ambiguous option '" + last + "'");
        const bool with_value = last.starts_with("--") && last.find('=') != last.npos;
        if (key == '?' && with_value) usage_error("invalid option '" + last + "': it takes no value");
        if (key == '?') usage_error(std::string("unknown option '-") + static_cast<char>(optopt) + "'");
        const char letter = static_cast<char>(key);
        if (!c.takes(letter)) usage_error(std::string("option '--") + options[index].name + "' is not valid for " + c.name);
        switch (letter) {
            case 'h': put_help(c); flush(); std::exit(done);
            case 'V': put_version(); flush(); std::exit(done);
            case 'B': a.how.use = parse_backend(optarg); break;
            case 'P': a.how.proc = optarg; break;
            case 'F': a.from = optarg; break;
            case 'N': a.name = optarg; break;
            case 'r': a.only |= procmap::readable; break;
            case 'w': a.only |= procmap::writable; break;
            case 'x': a.only |= procmap::executable; break;
            case 's': a.only |= procmap::shared; break;
            case 'f': a.only |= procmap::file_backed; break;
            case 'n': a.next = true; break;
            case 'b': a.build_ids = true; break;
            case 'p': a.page_sizes = true; break;
            case 'l': a.long_form = true; break;
            case 'S': a.summary = true; break;
            case 'i': a.interval = parse_interval(optarg); break;
            case 'a': a.all = true; break;
            case 'j': a.json = true; break;
            case 'c':
                a.count = number<std::uint64_t>(optarg, 10);
                if (!a.count) usage_error("invalid count '" + std::string(optarg) + "': expected a decimal number");
        }
    }
    a.positional.assign(argv + optind, argv + argc);
    return a;
}

int run(int argc, char** argv) {
    if (argc < 2) usage_error("missing command");
    const std::string_view name = argv[1];
    if (name == "--version" || name == "-V") return put_version(), done;
    if (name == "--help" || name == "-h" || (name == "help" && argc == 2)) return put_help(), done;
    if (name == "help") {  // help COMMAND is COMMAND --help
        if (argc > 3) usage_error("unexpected argument '" + std::string(argv[3]) + "'");
        char help[] = "--help";
        char* same[] = {argv[0], argv[2], help, nullptr};
        return run(3, same);
    }
    for (const command& c : commands)
        if (name == c.name) return c.run(parse_arguments(c, argc - 1, argv + 1));
    const bool is_target = name == "self" || name.find_first_of("0123456789") == 0;
    if (is_target) return list(parse_arguments(commands[0], argc, argv));
    usage_error("unknown command '" + std::string(name) + "'");
}

}  // namespace cli

int main(int argc, char** argv) {
    std::set_new_handler(cli::out_of_memory);
    const int status = cli::run(argc, argv);
    cli::flush();
    return status;
}

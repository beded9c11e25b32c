// The table of `procmap list --summary`.
#pragma once

#include "arguments.hpp"
#include "json.hpp"
#include "output.hpp"
#include "terminal.hpp"

#include <procmap/kind.hpp>

#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

namespace cli {

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

}  // namespace cli

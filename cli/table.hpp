// Text for people: aligned columns and sizes.
#pragma once

#include "output.hpp"

#include <vector>

namespace cli {

/// Returns a size in a unit in which it is less than 1024, 12 characters wide: "   132.0 KiB".
inline std::string size_in_words(std::uint64_t bytes) {
    double size = static_cast<double>(bytes) / 1024;
    const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    const char* const* unit = units;
    for (; size >= 1023.95; ++unit) size /= 1024;  // it would be printed as 1024.0
    char text[32];
    std::snprintf(text, sizeof text, "%8.1f %s", size, *unit);
    return text;
}

/// Writes a table. The last cell of a row is not padded. A cell that is wider than 64 characters does not widen its column.
inline void put_table(const std::vector<std::vector<std::string>>& table) {
    std::vector<std::size_t> widths;
    for (const auto& row : table) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            if (row[i].size() <= 64) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : table) {
        std::string line;
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            line.append(row[i]).append(std::max(widths[i], row[i].size()) - row[i].size() + 2, ' ');
        put(line + row.back() + '\n');
    }
}

}  // namespace cli

// Files to map, replace and link, and their build IDs by readelf.
#pragma once

#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/tools.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace support {

/// The build IDs that readelf prints, of the files that have one.
inline std::map<std::string, std::string> readelf_ids(const std::vector<std::string>& files) {
    std::map<std::string, std::string> ids;
    constexpr std::size_t at_once = 200;
    for (std::size_t i = 0; i < files.size(); i += at_once) {
        std::string command = "readelf -nW /dev/null";  // of more than one file, it prints the names
        for (std::size_t j = i; j < std::min(files.size(), i + at_once); ++j) command += ' ' + quoted(files[j]);
        std::string file;
        for (const std::string& line : lines_of(output_of(command + " 2>/dev/null"))) {
            if (line.starts_with("File: ")) file = line.substr(6);
            if (const auto at = line.find("Build ID: "); at != std::string::npos) ids.try_emplace(file, line.substr(at + 10));
        }
    }
    return ids;
}

/// Writes a new file and gives it the name of an old one.
inline void replace(const temporary_directory& in, const std::string& name, std::string_view text) {
    in.write(name + ".new", text);
    REQUIRE(::rename((in / (name + ".new")).c_str(), (in / name).c_str()) == 0);
}

/// A file that is mapped as long as this lives.
class mapped {
public:
    explicit mapped(const std::string& path) : memory_(map_file(path)) { REQUIRE(memory_ != nullptr); }
    mapped(const mapped&) = delete;
    mapped& operator=(const mapped&) = delete;
    ~mapped() { ::munmap(memory_, file_pages * page); }
    std::uint64_t address() const { return support::address_of(memory_) + 64; }

private:
    char* memory_;
};

/// Makes a shared library with the build ID that the linker's option names. False where there is no compiler.
inline bool link_library(const std::string& path, const std::string& build_id_option) {
    return succeeds("echo 'int answer(void) { return 42; }' | cc -shared -nostdlib -fPIC -Wl,--build-id=" + build_id_option +
                    " -x c -o " + quoted(path) + " -");
}

}  // namespace support

// ELF files that are mapped.
#pragma once

#include "kind.hpp"
#include "own_mounts.hpp"
#include "../support/elf_files.hpp"
#include "../support/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>

#include <procmap/fd.hpp>

namespace support {

using procmap::unique_fd;

inline const std::string an_id = "\x01\x23\x45\x67\x89\xab\xcd\xef twelve more";

/// Writes an ELF file and maps it.
inline std::optional<kind> elf_file(const char* name, named by_name, const std::string& path, std::string_view id) {
    kind k{name, by_name, proof::by_path};
    k.id = id;
    const std::string contents = small_elf(id);
    unique_fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
    if (!file) return cannot_make(name, why()), std::nullopt;
    k.undo.emplace_back([path] { ::unlink(path.c_str()); });
    if (::write(file.get(), contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()))
        return cannot_make(name, why()), std::nullopt;
    if (!k.map(file.get(), file_pages * page, MAP_PRIVATE)) return cannot_make(name, why()), std::nullopt;
    k.watch_file(path);
    return k;
}

}  // namespace support

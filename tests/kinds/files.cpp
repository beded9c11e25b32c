// Regular files: they may be read, and their build IDs are known.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "elf_file.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

TEST_CASE("a regular file is asked about and read, and its build ID known; one without has none") {
    NEEDS_LIVE_MAPS();
    const temporary_directory directory;
    if (const auto k = elf_file("regular file", named::file, directory / "with", an_id)) ask_everyhow(*k);
    if (const auto k = elf_file("regular file, without an ID", named::file, directory / "without", "")) ask_everyhow(*k);
    if (const auto k = elf_file("regular file, deleted", named::file, directory / "deleted", an_id)) {
        ::unlink((directory / "deleted").c_str());
        kind deleted{k->name, named::file, proof::by_map_files};
        deleted.id = an_id;
        deleted.at = k->at;
        ask_everyhow(deleted);
    }
    if (const auto k = elf_file("file in /dev/shm (tmpfs)", named::file, "/dev/shm/" + own_name(), an_id)) ask_everyhow(*k);
    if (is_root())
        if (const auto k = elf_file("regular file in /dev", named::unsure, "/dev/" + own_name(), an_id)) ask_everyhow(*k);
    const unique_fd memory{::memfd_create("kinds", MFD_CLOEXEC)};
    kind k{"memfd", named::file, proof::by_map_files};
    k.id = an_id;
    const std::string contents = small_elf(an_id);
    REQUIRE(::write(memory.get(), contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
    REQUIRE(k.map(memory.get(), file_pages * page));
    k.watch_fd(memory.get());
    ask_everyhow(k);
}

}  // namespace

// Mapped devices.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

std::optional<kind> device(const std::string& path, named by_name, int flags, off_t offset = 0) {
    kind k{path + (flags == MAP_SHARED ? ", shared" : ", private"), by_name};
    const bool writable =
        path == "/dev/zero" && flags == MAP_SHARED;  // opened for reading only, it would be mapped as if private
    const unique_fd file{::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
    if (!file || !k.map(file.get(), page, flags, offset)) return cannot_make(k.name, why()), std::nullopt;
    return k;
}

/// A node of /dev/zero.
std::optional<kind> own_node(const char* name, const std::string& path, named by_name) {
    if (::mknod(path.c_str(), S_IFCHR | 0600, ::makedev(1, 5)) != 0) return cannot_make(name, why()), std::nullopt;
    auto k = device(path, by_name, MAP_PRIVATE);
    if (!k) return ::unlink(path.c_str()), std::nullopt;
    k->name = name;
    k->undo.emplace_back([path] { ::unlink(path.c_str()); });
    k->watch_file(path);
    return k;
}

TEST_CASE("a mapped device is not known, not opened, and not asked about") {
    NEEDS_LIVE_MAPS();
    if (const auto k = device("/dev/zero", named::unsure, MAP_PRIVATE)) ask_everyhow(*k);
    if (auto k = device("/dev/zero", named::unsure, MAP_SHARED)) {
        k->regular = proof::by_map_files;  // shared memory: what is mapped is a file of tmpfs
        ask_everyhow(*k);
    }
#if defined(__i386__) || defined(__x86_64__)
    constexpr off_t bios = 0xf0000;
    if (const auto k = device("/dev/mem", named::unsure, MAP_SHARED, bios)) ask_everyhow(*k);
#endif
    if (const auto k = own_node("device node", "/dev/" + own_name(), named::unsure)) ask_everyhow(*k);
}

TEST_CASE("a device node outside /dev is not opened, and asked about only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    const mounted directory{"tmpfs", "mode=755"};  // that /tmp may have no devices is of no account
    if (const auto k = own_node("device node outside /dev", directory / "node", named::file)) ask_everyhow(*k);
}

}  // namespace

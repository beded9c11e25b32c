// Fuzzes the library with an incorrect kernel, which returns any struct, any errno, and text in chunks of any size. Walks must ascend,
// terminate, and be complete only after an end. Nothing may read outside its buffer. Also runs find, snapshot and normalizer.
#include "fuzz.hpp"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <optional>

#include <procmap/procmap.hpp>

namespace {

std::optional<fuzz::bytes> input;  // set while the simulated kernel is active
bool text = false;
bool ended = false;  // the kernel has reported an end

int lie(procmap::uapi::procmap_query& q) {
    constexpr int failures[] = {ENOENT, ESRCH, EINTR, ENAMETOOLONG, ENOMEM, E2BIG, EINVAL, EFAULT, EPERM, ENOTTY, EIO};
    const auto choice = input->take<std::uint8_t>();
    if (input->empty() || choice < std::size(failures)) {
        errno = input->empty() ? ENOENT : failures[choice];
        ended |= errno == ENOENT;
        return -1;
    }
    q.vma_start = choice < 128 ? q.query_addr + input->take<std::uint16_t>() : input->take<std::uint64_t>();
    q.vma_end = choice < 128 ? q.vma_start + input->take<std::uint16_t>() : input->take<std::uint64_t>();
    q.vma_flags = input->take<std::uint8_t>();
    q.vma_page_size = input->take<std::uint32_t>();
    q.vma_offset = input->take<std::uint64_t>();
    q.inode = input->take<std::uint8_t>();
    q.dev_minor = input->take<std::uint8_t>();
    if (q.vma_name_size != 0) {
        const auto size = input->take<std::uint16_t>();
        const std::uint32_t fits = std::min<std::uint32_t>(size, q.vma_name_size);
        if (fits != 0) std::memset(reinterpret_cast<void*>(q.vma_name_addr), 'n', fits);
        if (fits != 0) reinterpret_cast<char*>(q.vma_name_addr)[fits - 1] = '\0';
        q.vma_name_size = size;  // may be larger than the buffer
    }
    if (q.build_id_size != 0) q.build_id_size = input->take<std::uint8_t>();
    return 0;
}

}  // namespace

extern "C" {
int ioctl(int fd, unsigned long request, ...) noexcept {
    va_list more;
    va_start(more, request);
    void* const argument = va_arg(more, void*);
    va_end(more);
    if (request != procmap::uapi::procmap_query_request) return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
    if (input) return lie(*static_cast<procmap::uapi::procmap_query*>(argument));
    errno = ENOENT;  // the ioctl exists, whatever the kernel
    return -1;
}
ssize_t pread(int fd, void* to, size_t size, off_t position) {
    if (!input || !text) return syscall(SYS_pread64, fd, to, size, position);
    const auto all = input->rest();
    const auto at = static_cast<std::size_t>(position);
    if (at >= all.size()) return 0;
    const std::size_t chunk = 1 + at * 7 % 61;  // irregular, but the same on each run
    const std::size_t n = std::min({chunk, size, all.size() - at});
    std::memcpy(to, all.data() + at, n);
    return static_cast<ssize_t>(n);
}
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto by_ioctl = procmap::maps::open_self({.use = procmap::backend::ioctl, .trust_kernel_build_ids = true});
    static const auto by_text = procmap::maps::open_self({.use = procmap::backend::text});
    fuzz::require(by_ioctl && by_text, "both back-ends can be opened");
    if (size == 0) return 0;
    text = (data[0] & 1) != 0;
    const procmap::maps& maps = text ? *by_text : *by_ioctl;
    char buffer[512];

    const auto lying = [&](auto use) {
        input.emplace(data + 1, size - 1);
        ended = false;
        use();
        input.reset();
    };
    lying([&] {
        auto walk = maps.walk({.names = true, .build_ids = true, .buffer = buffer});
        std::uint64_t last_end = 0;
        for (const procmap::mapping& m : walk) {
            fuzz::require(m.start >= last_end && m.start < m.end, "a walk ascends without overlap");
            fuzz::require(m.name.size() < sizeof buffer && m.build_id.size() <= 20, "nothing is larger than its buffer");
            for (const char c : m.name) fuzz::require(c != '\0' || text, "a name is the kernel's bytes");
            last_end = m.end;
        }
        fuzz::require(walk.complete() == (walk.error().code == procmap::errc::none), "complete, or an error");
        fuzz::require(!walk.complete() || text || ended, "complete only after an end");
    });
    lying([&] {
        procmap::name_buffer name;
        const std::uint64_t address = data[0] * 4096u;
        const auto m = maps.find(address, {.name = name});
        fuzz::require(!m || m->contains(address), "find gives what holds the address");
    });
    lying([&] {
        const auto whole = procmap::snapshot::capture(maps, {.build_ids = true});
        fuzz::require(whole.has_value() || whole.error().code != procmap::errc::none, "whole, or an error");
    });
    lying([&] {
        procmap::normalizer n{{.build_ids = true, .build_ids_from = procmap::build_id_choice::kernel}};
        const std::uint64_t addresses[] = {0x5000, 0, 0x1000, UINT64_MAX, 0x7fff'ffff'f000};
        const auto out = n.normalize(maps, addresses);
        if (!out) return;
        fuzz::require(out->locations.size() == std::size(addresses), "an answer for each address");
        for (const auto& l : out->locations) fuzz::require(!l || l.file < out->files.size(), "a file that is there");
    });
    return 0;
}

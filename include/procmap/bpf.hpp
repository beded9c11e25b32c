// The kernel's build-ID stacks (BPF_F_STACK_BUILD_ID), typed, and what the kernel could not resolve resolved.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <procmap/normalizer.hpp>

/// BPF stacks.
namespace procmap::inline PROCMAP_ABI::bpf {

/// enum bpf_stack_build_id_status, include/uapi/linux/bpf.h.
enum class stack_status : std::int32_t {
    empty = 0,  ///< BPF_STACK_BUILD_ID_EMPTY: behind the end of the trace
    valid = 1,  ///< BPF_STACK_BUILD_ID_VALID: build ID and file offset
    ip = 2,     ///< BPF_STACK_BUILD_ID_IP: a bare address, which the kernel could not resolve
};

/// struct bpf_stack_build_id, field for field.
struct stack_build_id {
    stack_status status;         ///< which of the two below it is
    unsigned char build_id[20];  ///< shorter IDs are filled up with zeros
    union {
        std::uint64_t offset;  ///< valid: in the file, in bytes
        std::uint64_t ip;      ///< ip: the address
    };
};
static_assert(sizeof(stack_build_id) == 32);

/// Writes a location in the kernel's format. False, and `to` untouched, where it has no file, or a build ID of none or more than
/// 20 bytes, which the format cannot hold.
[[nodiscard]] inline bool to_stack(const location& l, std::span<const mapped_file> files, stack_build_id& to) noexcept {
    if (!l) return false;
    const std::span<const std::byte> id = files[l.file].build_id.bytes();
    if (id.empty() || id.size() > sizeof to.build_id) return false;
    for (std::size_t i = 0; i < sizeof to.build_id; ++i) to.build_id[i] = i < id.size() ? std::to_integer<unsigned char>(id[i]) : 0;
    to.offset = l.offset;
    to.status = stack_status::valid;
    return true;
}

/// Resolves, in place, the entries that the kernel left as bare addresses; `n` must have been made with build_ids. Others are
/// left alone, and so is an address that has no build ID. How many became valid, or the error that kept all from it.
[[nodiscard]] inline result<std::size_t> resolve(normalizer& n, const maps& from, std::span<stack_build_id> stack) {
    std::vector<std::uint64_t> addresses;
    for (const stack_build_id& s : stack)
        if (s.status == stack_status::ip) addresses.push_back(s.ip);
    const auto found = n.normalize(from, addresses);
    if (!found) return found.error();
    std::size_t resolved = 0;
    std::size_t next = 0;
    for (stack_build_id& s : stack)
        if (s.status == stack_status::ip && to_stack(found->locations[next++], found->files, s)) ++resolved;
    return resolved;
}

}  // namespace procmap::inline PROCMAP_ABI::bpf

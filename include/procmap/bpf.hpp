// Typed build-ID stacks of the kernel (BPF_F_STACK_BUILD_ID). Resolves the entries that the kernel left as addresses.
//
//   procmap::normalizer n{{.build_ids = true}};
//   if (auto resolved = procmap::bpf::resolve(n, *self, stack)) use(stack, *resolved);
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <procmap/normalizer.hpp>

/// Build-ID stacks of BPF programs.
namespace procmap::inline PROCMAP_ABI::bpf {

/// enum bpf_stack_build_id_status in include/uapi/linux/bpf.h.
enum class stack_status : std::int32_t {
    empty = 0,  ///< BPF_STACK_BUILD_ID_EMPTY: past the end of the trace
    valid = 1,  ///< BPF_STACK_BUILD_ID_VALID: build ID and file offset
    ip = 2,     ///< BPF_STACK_BUILD_ID_IP: an address that the kernel could not resolve
};

/// struct bpf_stack_build_id, field for field.
struct stack_build_id {
    stack_status status;         ///< tells which member of the union is set
    unsigned char build_id[20];  ///< shorter IDs are padded with zeros
    union {
        std::uint64_t offset;  ///< valid: file offset in bytes
        std::uint64_t ip;      ///< ip: the address
    };
};
static_assert(sizeof(stack_build_id) == 32);

/// Writes a location in the kernel's format. Returns false and leaves `to` unchanged if the location has no file, or its build ID is empty
/// or longer than 20 bytes, which the format cannot hold.
[[nodiscard]] inline bool to_stack(const location& l, std::span<const mapped_file> files, stack_build_id& to) noexcept {
    if (!l) return false;
    const std::span<const std::byte> id = files[l.file].build_id.bytes();
    if (id.empty() || id.size() > sizeof to.build_id) return false;
    for (std::size_t i = 0; i < sizeof to.build_id; ++i) to.build_id[i] = i < id.size() ? std::to_integer<unsigned char>(id[i]) : 0;
    to.offset = l.offset;
    to.status = stack_status::valid;
    return true;
}

/// Resolves in place the entries that the kernel left as addresses, and returns how many became valid. Leaves other entries unchanged, and
/// addresses without a build ID. `n` must have been constructed with build_ids. Fails as normalizer::normalize does.
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

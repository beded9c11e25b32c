// Looks up one mapping, by the ioctl or by text: the one that contains an address, or the next above it.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/text_reader.hpp>
#include <poll.h>

#include <procmap/detail/id_rule.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

inline constexpr find_options nothing_asked{};

/// Returns the error code for an errno of the ioctl (do_procmap_query()).
[[nodiscard]] constexpr errc query_failure(int code) noexcept {
    switch (code) {
        case ENOENT: return errc::not_mapped;
        case ESRCH: return errc::gone;
        case EPERM:
        case EACCES: return errc::denied;
        case ENOTTY:
        case ENOSYS:
        case E2BIG: return errc::unsupported;
        case EINTR: return errc::interrupted;
        case EBADF:
        case EFAULT:
        case EINVAL: return errc::invalid;
        default: return errc::failed;
    }
}

/// Returns the error for an answer about another address. A 32-bit kernel truncates the address: nothing is mapped at the queried one.
[[nodiscard, gnu::noinline, gnu::cold]] inline error contradiction(const handle& from, std::uint64_t address, std::uint64_t end) noexcept {
    const bool cut = (address >> 32) != 0 && end <= 0x1'0000'0000;
    return cut ? from.not_mapped(address) : from.failure(errc::malformed, step::query);
}

/// Copies the kernel's answer to `m`, without name and build ID if they were not asked for. Returns false if it contradicts the query.
[[nodiscard, gnu::always_inline]] inline bool to_mapping(const uapi::query<>& q, const find_options& asked, std::uint64_t address, bool next,
                                                         name_state unnamed, mapping& m) noexcept {
    const auto& raw = q.raw();
    const bool right = (next ? raw.vma_start < raw.vma_end : raw.vma_start <= address) && address < raw.vma_end;
    if (!right) [[unlikely]] return false;
    m.start = raw.vma_start;
    m.end = raw.vma_end;
    m.permissions = permission_set::from_bits(static_cast<std::uint32_t>(raw.vma_flags) & 0x0f);
    m.offset = raw.vma_offset;
    m.page_size = raw.vma_page_size;
    m.inode = raw.inode;
    m.device = {raw.dev_major, raw.dev_minor};
    if (!asked.name.empty()) {
        if (raw.vma_name_size > asked.name.size()) [[unlikely]] return false;
        m.name_status = raw.vma_name_addr != 0 ? name_state::exact : unnamed;
        const bool named = raw.vma_name_size != 0 && raw.vma_name_addr != 0;
        m.name = {named ? asked.name.data() : "", named ? raw.vma_name_size - 1 : 0};  // NUL-terminated
    }
    if (!asked.build_id.empty()) {
        if (raw.build_id_size > asked.build_id.size()) [[unlikely]] return false;
        m.build_id_known = raw.build_id_addr != 0;
        m.build_id = m.build_id_known ? build_id_view{asked.build_id.first(raw.build_id_size)} : build_id_view{};
    }
    return true;
}

/// Handles a failed query, whose error is in errno: retries it if possible, otherwise maps errno to an error code.
[[nodiscard, gnu::noinline, gnu::cold]] inline result<mapping> retry_ioctl(const handle& from, uapi::query<>& q, int saved_errno,
                                                                           const find_options& asked, bool next) noexcept {
    int failure = errno;
    errno = saved_errno;
    const std::uint64_t address = q.raw().query_addr;
    name_state unnamed = name_state::not_asked;
    std::size_t sent = static_cast<std::size_t>(uapi::layout::latest);
    if (failure == EINTR || failure == E2BIG) {
        const uapi::reply answer = uapi::send(from.fd.borrow(), q);
        failure = answer.error;
        sent = answer.size;
    }
    if ((failure == ENAMETOOLONG || failure == ENOMEM) && q.raw().vma_name_addr != 0) {
        unnamed = failure == ENOMEM ? name_state::no_memory : name_state::too_long;
        q.name_into({});
        q.build_id_into(q.raw().build_id_addr != 0 ? asked.build_id : std::span<std::byte>{});
        const uapi::reply answer = uapi::send(from.fd.borrow(), q);
        failure = answer.error;
        sent = answer.size;
    }
    if (failure == 0 && sent < static_cast<std::size_t>(uapi::layout::v6_11)) failure = E2BIG;  // the answer has no mapping
    if (failure == ENOENT) return from.not_mapped(address, failure);
    if (failure != 0) return from.failure(query_failure(failure), step::query, failure);
    mapping m;
    if (!to_mapping(q, asked, address, next, unnamed, m)) return contradiction(from, address, q.raw().vma_end);
    return m;
}

/// Copies the result of a cold function, which is returned through memory, so that the caller's own result can stay in registers.
template <class T>
[[nodiscard, gnu::always_inline]] inline T copy_of(const T& value) noexcept {
    return value;
}

/// Looks up a mapping by the ioctl. Inlined, so that unused fields cost nothing. Does not check whether a build ID may be asked for.
[[nodiscard, gnu::always_inline]] inline result<mapping> lookup_ioctl(const handle& from, std::uint64_t address,
                                                                      const find_options& asked, bool next) noexcept {
    uapi::query_flags ask = uapi::to_query_flags(asked.only);
    if (next) ask |= uapi::query_flag::covering_or_next;
    uapi::query<> q{address, ask};
    if (!asked.name.empty()) q.name_into(asked.name);
    if (!asked.build_id.empty()) q.build_id_into(asked.build_id);
    const int saved_errno = errno;
    if (::ioctl(from.fd.get(), ioctl_request, &q.raw()) < 0) [[unlikely]]
        return copy_of(retry_ioctl(from, q, saved_errno, asked, next));
    kernel_wrote(q.raw());
    mapping m;
    if (!to_mapping(q, asked, address, next, name_state::not_asked, m)) [[unlikely]]
        return contradiction(from, address, q.raw().vma_end);
    return m;
}

/// Moves the name from a reader's buffer to the caller's.
inline void hand_over_name(std::span<char> to, mapping& m) noexcept {
    if (m.name_status != name_state::exact && m.name_status != name_state::ambiguous) return;
    const std::string_view name = m.name;
    m.name = "";
    if (name.size() >= to.size()) {
        m.name_status = name_state::too_long;
        return;
    }
    for (std::size_t i = 0; i < name.size(); ++i) to[i] = name[i];  // forwards, because the buffers may overlap
    to[name.size()] = '\0';
    m.name = {to.data(), name.size()};
}

/// Returns true if two answers describe the same mapping. Both must have their names.
[[nodiscard]] inline bool same_mapping(const mapping& a, const mapping& b) noexcept {
    return a.start == b.start && a.end == b.end && a.offset == b.offset && a.inode == b.inode && a.device == b.device &&
           a.name_status == b.name_status && a.name == b.name;
}

/// Looks up a mapping with its build ID, by two queries. The name from the first tells whether the second may ask for a build ID: the
/// kernel reads whatever is mapped, which would consume data of a socket, or block. `scratch`: a buffer for the name, used if the caller's
/// is smaller than PATH_MAX.
[[nodiscard, gnu::noinline]] inline result<mapping> lookup_ioctl_with_id(const handle& from, std::uint64_t address, const find_options& asked,
                                                                         bool next, std::span<char> scratch) noexcept {
    constexpr int most_tries = 16;  // retried if the mapping was unmapped between the two queries
    const bool own = asked.name.size() < sizeof(name_buffer);
    result<mapping> found{mapping{}};
    for (int tries = 0; tries < most_tries; ++tries) {
        found = lookup_ioctl(from, address, {.only = asked.only, .name = own ? scratch : asked.name}, next);
        if (!found) return found;
        const id_rule rule = id_rule_of(*found);
        if (rule == id_rule::ask && from.kernel_build_ids) {
            const std::uint64_t there = address > found->start ? address : found->start;
            auto with_id = lookup_ioctl(from, there, asked, false);
            if (!with_id && with_id.error() == errc::not_mapped) continue;
            if (!with_id) return with_id;
            // An empty ID does not prove that there is none: the kernel returns only IDs of at most 20 bytes.
            with_id->build_id_known = !with_id->build_id.empty();
            return with_id;
        }
        found->build_id_known = rule == id_rule::none;
        break;
    }
    if (own && !asked.name.empty()) {
        hand_over_name(asked.name, *found);
    } else if (own) {
        found->name = {};
        found->name_status = name_state::not_asked;
    }
    return found;
}

/// Looks up a mapping by text, which is read into `buffer`.
[[nodiscard, gnu::noinline]] inline result<mapping> lookup_text(const handle& from, std::uint64_t address, const find_options& asked,
                                                                bool next, std::span<char> buffer) noexcept {
    text_reader reader;
    mapping m;
    while (reader.next(from, buffer, {.above = address, .name_room = asked.name.size()}, m)) {
        if (!next && (m.start > address || !m.passes(asked.only))) return from.not_mapped(address);
        if (!m.passes(asked.only)) continue;
        hand_over_name(asked.name, m);
        return m;
    }
    if (reader.error().code != errc::none) return reader.error();
    return from.not_mapped(address);
}

/// Looks up a mapping by text or with a build ID, in a buffer of at least PATH_MAX bytes.
[[nodiscard]] inline result<mapping> lookup_in(std::span<char> buffer, const handle& from, std::uint64_t address, const find_options& asked,
                                               bool next) noexcept {
    if (from.by_ioctl()) return lookup_ioctl_with_id(from, address, asked, next, buffer);
    return lookup_text(from, address, asked, next, buffer);
}

/// The same in a buffer of its own.
[[nodiscard, gnu::noinline]] inline result<mapping> lookup_in_own(const handle& from, std::uint64_t address, const find_options& asked,
                                                                  bool next) noexcept {
    char buffer[text_buffer_size];
    return lookup_in(buffer, from, address, asked, next);
}

/// Looks up a mapping with a build ID, or by text.
[[nodiscard, gnu::noinline]] inline result<mapping> lookup_rare(const handle& from, std::uint64_t address, const find_options& asked,
                                                                bool next) noexcept {
    if (!asked.build_id.empty() && asked.build_id.size() < uapi::build_id_size_max) return from.failure(errc::invalid, step::query);
    // The caller's buffer serves: a name fits into it once its line's head is removed.
    if (asked.name.size() >= sizeof(name_buffer)) return lookup_in(asked.name, from, address, asked, next);
    return lookup_in_own(from, address, asked, next);
}

/// The same, but a cancellation point on the text back-end, so that a thread that does nothing but lookups can be cancelled.
[[nodiscard, gnu::noinline]] inline result<mapping> lookup_rare_cancellably(const handle& from, std::uint64_t address, const find_options& asked,
                                                                            bool next) {
    const auto found = lookup_rare(from, address, asked, next);
    if (from.by_ioctl()) return found;
    const errno_kept keep;
    (void)::poll(nullptr, 0, 0);
    return found;
}

[[nodiscard, gnu::always_inline]] inline result<mapping> lookup(const handle& from, std::uint64_t address,
                                                                const find_options& asked, bool next) noexcept {
    if (from.by_ioctl() && asked.build_id.empty()) [[likely]]
        return lookup_ioctl(from, address, asked, next);
    return copy_of(lookup_rare(from, address, asked, next));
}

[[nodiscard, gnu::always_inline]] inline result<mapping> lookup_cancellably(const handle& from, std::uint64_t address,
                                                                            const find_options& asked, bool next) {
    if (from.by_ioctl() && asked.build_id.empty()) [[likely]]
        return lookup_ioctl(from, address, asked, next);
    return copy_of(lookup_rare_cancellably(from, address, asked, next));
}

}  // namespace procmap::inline PROCMAP_ABI::detail

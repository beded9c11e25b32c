// Tests what this kernel and this sandbox support.
//
//   const procmap::capabilities here = procmap::probe();
//   if (!here.ioctl) use(here.text, here.ioctl_errno);
#pragma once

#include <procmap/version.hpp>

#include <sys/utsname.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procmap/detail/procfs.hpp>
#include <procmap/query.hpp>

namespace procmap::inline PROCMAP_ABI {

/// A kernel's release, as uname(2) returns it: "6.12.74+deb13-amd64".
struct kernel_release {
    std::uint32_t major = 0;  ///< 0: not known
    std::uint32_t minor = 0;  ///< the second number
    std::uint32_t patch = 0;  ///< the third number, or 0
    bool candidate = false;  ///< may precede the release that it names: an -rc, or a vendor's 7.0.0 that does not tell which it is

    [[nodiscard]] friend constexpr bool operator==(const kernel_release&, const kernel_release&) noexcept = default;  ///< all fields

    /// Parses "M.N" or "M.N.P", whatever follows. A string that does not begin so gives the unknown release.
    [[nodiscard]] static constexpr kernel_release parse(std::string_view text) noexcept {
        kernel_release r;
        std::uint32_t* const parts[] = {&r.major, &r.minor, &r.patch};
        std::size_t at = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            const std::size_t first = at;
            for (; at < text.size() && static_cast<unsigned>(text[at] - '0') < 10; ++at) {
                *parts[i] = *parts[i] * 10 + static_cast<std::uint32_t>(text[at] - '0');
                if (*parts[i] > 0xffff) return {};
            }
            if (at == first) return {};
            const bool dot = at < text.size() && text[at] == '.';
            if (i == 0 && !dot) return {};
            if (!dot) break;
            if (i == 1 && (at + 1 == text.size() || static_cast<unsigned>(text[at + 1] - '0') >= 10)) return {};
            ++at;
        }
        const bool first = r.major == 7 && r.minor == 0 && r.patch == 0;  // the only release for which it matters: the first safe one
        r.candidate = names_candidate(text.substr(at)) || (first && is_vendors(text.substr(at)));
        return r;
    }

private:
    [[nodiscard]] static constexpr bool digit(std::string_view text, std::size_t at) noexcept {
        return at < text.size() && static_cast<unsigned>(text[at] - '0') < 10;
    }
    /// "-rc4", Fedora's "-0.rc1.20260215git...", Ubuntu's "-070000rc3-generic", "-next-20260301".
    [[nodiscard]] static constexpr bool names_candidate(std::string_view rest) noexcept {
        const auto is = [rest](std::size_t at, char lower) { return at < rest.size() && (rest[at] | 0x20) == lower; };
        const auto letter = [rest](std::size_t at) { return static_cast<unsigned>((rest[at] | 0x20) - 'a') < 26; };
        for (std::size_t at = 0; at + 2 < rest.size(); ++at)
            if (is(at, 'r') && is(at + 1, 'c') && digit(rest, at + 2) && (at == 0 || !letter(at - 1))) return true;
        return rest.find("-next-") != std::string_view::npos;
    }
    /// "-3-generic": Ubuntu uses this form for builds of candidates and of releases.
    [[nodiscard]] static constexpr bool is_vendors(std::string_view rest) noexcept {
        if (rest.empty() || rest.front() != '-' || !digit(rest, 1)) return false;
        std::size_t at = 1;
        while (digit(rest, at)) ++at;
        return at + 1 < rest.size() && rest[at] == '-' && !digit(rest, at + 1);
    }
};

/// The hazards of a build-ID request on released kernels: bugs, by CVE, and an effect of all fixed releases.
enum class hazard : std::uint32_t {
    cve_2026_23002 = 0x01,  ///< oops if the file's first page is not cached; fixed in 6.12.69, 6.18.9, 6.19
    cve_2026_43178 = 0x02,  ///< crash if the buffer is smaller than the ID; fixed in 6.12.75, 6.18.16, 6.19.6, 7.0
    cve_2026_23199 = 0x04,  ///< deadlock of the same family; assumed to be fixed with the one above
    /// The kernel reads whatever is mapped: it takes data out of a mapped socket or packet ring, or blocks while that is empty, and it
    /// reads devices. Every kernel with the fix of CVE-2026-23002 does this. The library asks about regular files only: see maps::find.
    reads_what_is_mapped = 0x08,
};
using hazards = flags<hazard>;  ///< a set of hazards
[[nodiscard]] constexpr hazards operator|(hazard a, hazard b) noexcept { return hazards{a} | b; }  ///< the set of both

/// The hazards with which a kernel is not asked, unless open_options::trust_kernel_build_ids is set.
inline constexpr hazards fatal_hazards = hazard::cve_2026_23002 | hazard::cve_2026_43178 | hazard::cve_2026_23199;

/// Returns the hazards of a release. Only what is known to be fixed is left out, so an unknown release has all of them.
[[nodiscard]] constexpr hazards known_hazards(const kernel_release& r) noexcept {
    const auto at_least = [&r](std::uint32_t minor, std::uint32_t patch) {
        return r.major == 6 && r.minor == minor && r.patch >= patch;
    };
    hazards found;
    if (r.candidate || r.major == 0) return fatal_hazards | hazard::reads_what_is_mapped;
    if (r.major >= 7) return hazard::reads_what_is_mapped;
    found |= !at_least(12, 69) && !at_least(18, 9) && !at_least(19, 0) ? hazard::cve_2026_23002 : hazard::reads_what_is_mapped;
    if (!at_least(12, 75) && !at_least(18, 16) && !at_least(19, 6)) found |= hazard::cve_2026_43178 | hazard::cve_2026_23199;
    return found;
}

/// True if a kernel with these hazards may be asked for the build IDs of regular files.
[[nodiscard]] constexpr bool safe_to_ask(hazards known) noexcept { return (known & fatal_hazards).empty(); }

/// Returns the running kernel's release (uname(2)). With personality UNAME26 it is 2.6.N, not known to be safe. One system call.
[[nodiscard]] inline kernel_release running_kernel() noexcept {
    utsname names;
    const detail::errno_kept keep;
    return ::uname(&names) == 0 ? kernel_release::parse(names.release) : kernel_release{};
}

/// What is supported here.
struct capabilities {
    bool ioctl = false;           ///< PROCMAP_QUERY answers
    bool text = false;            ///< the text can be read
    bool live = false;            ///< maps is on a real procfs, not an emulator's frozen copy (qemu-user)
    int ioctl_errno = 0;          ///< why the ioctl is not available: ENOTTY, ENOSYS, EPERM or EACCES from a sandbox, ...
    std::size_t struct_size = 0;  ///< bytes of procmap_query that the kernel knows; 0 without the ioctl
    kernel_release release{};     ///< of the running kernel
    hazards build_id_hazards{};   ///< of asking this kernel for build IDs; none without the ioctl
    procmap::error error{};       ///< why maps could not be opened
};

namespace detail {

/// Returns the size of the kernel's struct, or 0 if it cannot be determined. The kernel answers E2BIG to a non-zero byte past its struct,
/// and to nothing else that fits in a page (copy_struct_from_user()). It returns an unknown *output* field as the zero that was sent,
/// without an error, so only this test tells. Two system calls, and one more for each eight bytes that the struct has grown.
[[nodiscard]] inline std::size_t kernel_struct_size(borrowed_fd fd) noexcept {
    struct probing {
        std::uint64_t words[512];  // one page, the most that the kernel accepts
    } bytes;
    bool answered = true;
    const auto known = [&](std::size_t word) {
        for (auto& w : bytes.words) w = 0;
        bytes.words[0] = (word + 1) * sizeof(std::uint64_t);
        bytes.words[word] = UINT64_MAX;
        int answer = EINTR;
        for (int tries = 0; answer == EINTR && tries <= interrupted_tries; ++tries) answer = ioctl_once(fd.get(), &bytes);
        const bool to_the_struct = answer == EINVAL || answer == EFAULT || answer == ENAMETOOLONG;
        answered &= answer == E2BIG || to_the_struct || !says_absent(answer);
        return answered && answer != E2BIG;
    };
    std::size_t word = sizeof(uapi::procmap_query) / sizeof(std::uint64_t);
    while (word < 512 && known(word)) ++word;
    while (word > 3 && answered && !known(word - 1)) --word;
    return answered ? word * sizeof(std::uint64_t) : 0;
}

}  // namespace detail

/// Tests what is supported here, by this process's own maps file under `proc`. Up to eight system calls, no allocation, errno preserved.
/// Async-signal-safe; 5.5 kB of stack.
[[nodiscard]] inline capabilities probe(const char* proc = "/proc") noexcept {
    const detail::uncancelled whole;
    capabilities c;
    c.release = running_kernel();
    const auto file = detail::open_maps({.proc = proc});
    if (!file) {
        c.error = file.error();
        return c;
    }
    const borrowed_fd fd = file->borrow();
    int unclear = 0;
    c.live = detail::on_procfs(fd, unclear);
    const int answer = detail::any_query(fd);
    c.ioctl = !detail::says_absent(answer);
    if (!c.ioctl) c.ioctl_errno = answer;
    if (c.ioctl) {
        c.struct_size = detail::kernel_struct_size(fd);
        c.build_id_hazards = known_hazards(c.release);
    }
    char first = 0;
    const detail::errno_kept keep;
    c.text = ::pread(fd.get(), &first, 1, 0) == 1;
    return c;
}

}  // namespace procmap::inline PROCMAP_ABI

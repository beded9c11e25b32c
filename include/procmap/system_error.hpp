// errc and error as std::error_code. A header of its own, so that nobody pays for <system_error> who does not ask for it.
#pragma once

#include <procmap/version.hpp>

#include <string>
#include <system_error>

#include <procmap/result.hpp>

template <>
struct std::is_error_code_enum<procmap::errc> : std::true_type {};

namespace procmap::inline PROCMAP_ABI {

/// The category of errc. It compares equal to the generic conditions that mean the same (denied and permission_denied, …).
[[nodiscard]] inline const std::error_category& error_category() noexcept {
    static const struct procmap_category final : std::error_category {
        const char* name() const noexcept override { return "procmap"; }
        std::string message(int code) const override { return std::string{describe(static_cast<errc>(code))}; }
        std::error_condition default_error_condition(int code) const noexcept override {
            switch (static_cast<errc>(code)) {
                case errc::gone: return std::errc::no_such_process;
                case errc::denied: return std::errc::permission_denied;
                case errc::unsupported: return std::errc::not_supported;
                case errc::interrupted: return std::errc::interrupted;
                case errc::invalid: return std::errc::invalid_argument;
                case errc::none:
                case errc::not_mapped:
                case errc::zombie:
                case errc::kernel_thread:
                case errc::task_gone:
                case errc::malformed:
                case errc::contended:
                case errc::not_maps:
                case errc::failed: break;
            }
            return {code, *this};
        }
    } category;
    return category;
}

/// The code as a std::error_code; what `std::error_code e = errc::gone` calls.
[[nodiscard]] inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

/// The code of an error. What the code cannot hold (errno, process, line) stays in the error: print that.
[[nodiscard]] inline std::error_code make_error_code(const error& e) noexcept { return make_error_code(e.code); }

}  // namespace procmap::inline PROCMAP_ABI

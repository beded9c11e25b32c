// Converts errc and error to std::error_code. A separate header, because not every program needs <system_error>.
//
//   std::error_code code = procmap::errc::gone;
//   if (!self) throw std::system_error{make_error_code(self.error())};
#pragma once

#include <procmap/version.hpp>

#include <string>
#include <system_error>

#include <procmap/result.hpp>

template <>
struct std::is_error_code_enum<procmap::errc> : std::true_type {};

namespace procmap::inline PROCMAP_ABI {

/// Returns the category of errc. Its codes equal the generic conditions of the same meaning (denied and permission_denied, ...).
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

/// Converts an error code, as `std::error_code e = errc::gone` does.
[[nodiscard]] inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

/// Converts the code of an error. Its other fields (errno, process, line) are not converted: print the error to show them.
[[nodiscard]] inline std::error_code make_error_code(const error& e) noexcept { return make_error_code(e.code); }

}  // namespace procmap::inline PROCMAP_ABI

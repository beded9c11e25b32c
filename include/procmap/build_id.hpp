// A build ID as a value, with its source.
//
//   auto id = procmap::build_id::parse("0123456789abcdef");
//   if (id && *id == m->build_id) use(id->bytes());
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <procmap/mapping.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Where a build ID comes from.
enum class build_id_source : unsigned char {
    none,       ///< there is no build ID
    kernel,     ///< PROCMAP_QUERY, for the mapping itself
    map_files,  ///< the ELF note of the mapped file, opened through /proc/PID/map_files
    root_path,  ///< the ELF note of the file at the mapping's path below the process's root, verified to be the mapped file
    memory,     ///< the ELF note in the process's memory: of the vDSO, and of images whose file is not proven to be the mapped one
    given,      ///< the caller, or the text that was parsed
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(build_id_source from) noexcept {
    constexpr std::string_view names[] = {"none", "kernel", "map_files", "root_path", "memory", "given"};
    return detail::name_of(names, from);
}

/// A build ID of up to 64 bytes. Two are equal if their bytes are equal, whatever their sources.
class build_id {
public:
    static constexpr std::size_t capacity = 64;  ///< in bytes; linkers write 8, 16 or 20, and a custom ID can have any size

    constexpr build_id() noexcept = default;  ///< empty
    /// Copies `bytes`; empty if there are more than `capacity`.
    constexpr explicit build_id(std::span<const std::byte> bytes, build_id_source from = build_id_source::given) noexcept {
        if (bytes.empty() || bytes.size() > capacity) return;
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes_[i] = bytes[i];
        size_ = static_cast<unsigned char>(bytes.size());
        source_ = from;
    }

    /// Parses hexadecimal digits of either case, two for each byte. Fails with errc::malformed and the offset for anything else.
    [[nodiscard]] static constexpr result<build_id> parse(std::string_view hex) noexcept {
        error wrong{.code = errc::malformed, .at = step::parse};
        build_id id;
        for (std::size_t i = 0; i < hex.size(); ++i) {
            const bool upper = 'A' <= hex[i] && hex[i] <= 'F';
            const unsigned digit = detail::digit_values[static_cast<char>(upper ? hex[i] - 'A' + 'a' : hex[i])];
            wrong.offset = i;
            if (digit == 16 || i / 2 >= capacity) return wrong;
            id.bytes_[i / 2] = static_cast<std::byte>(std::to_integer<unsigned>(id.bytes_[i / 2]) << 4 | digit);
        }
        wrong.offset = hex.size();
        if (hex.empty() || hex.size() % 2 != 0) return wrong;
        id.size_ = static_cast<unsigned char>(hex.size() / 2);
        id.source_ = build_id_source::given;
        return id;
    }

    [[nodiscard]] constexpr std::span<const std::byte> bytes() const noexcept { return {bytes_, size_}; }  ///< valid as long as this object
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }  ///< true if there is no build ID
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }  ///< size in bytes
    [[nodiscard]] constexpr build_id_source source() const noexcept { return source_; }  ///< where it comes from
    constexpr operator build_id_view() const& noexcept { return build_id_view{bytes()}; }  ///< borrows the bytes
    operator build_id_view() const&& = delete;  // it would borrow from a temporary

    /// Compares the bytes.
    ///@{
    [[nodiscard]] friend constexpr bool operator==(const build_id& a, const build_id& b) noexcept {
        return build_id_view{a.bytes()} == build_id_view{b.bytes()};
    }
    [[nodiscard]] friend constexpr bool operator==(const build_id& a, build_id_view b) noexcept {
        return build_id_view{a.bytes()} == b;
    }
    ///@}

private:
    std::byte bytes_[capacity] = {};
    unsigned char size_ = 0;
    build_id_source source_ = build_id_source::none;
};

/// Writes the build ID as lower-case hexadecimal digits.
template <class Sink>
constexpr void print(Sink&& sink, const build_id& id) {
    print(sink, build_id_view{id.bytes()});
}

/// Returns the build ID as lower-case hexadecimal digits.
///@{
[[nodiscard]] inline std::string to_string(build_id_view id) {
    std::string digits;
    digits.reserve(2 * id.size());
    print([&digits](std::string_view more) { digits += more; }, id);
    return digits;
}
[[nodiscard]] inline std::string to_string(const build_id& id) { return to_string(build_id_view{id.bytes()}); }
///@}

}  // namespace procmap::inline PROCMAP_ABI

/// Hashes the bytes by FNV-1a. Not for untrusted IDs, which can be made to collide.
template <>
struct std::hash<procmap::build_id> {
    /// Returns the hash.
    [[nodiscard]] constexpr std::size_t operator()(const procmap::build_id& id) const noexcept {
        std::uint64_t h = 0xcbf29ce484222325;
        for (const std::byte b : id.bytes()) h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3;
        return h & SIZE_MAX;
    }
};

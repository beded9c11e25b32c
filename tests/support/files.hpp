// Temporary directories, and files read by plain system calls.
#pragma once

#include "mounts.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <doctest/doctest.h>

namespace support {

/// The whole of a file, by plain reads; nothing where it cannot be opened.
inline std::optional<std::string> slurp(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    std::string text;
    char piece[65536];
    for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(n));
    ::close(fd);
    return text;
}

/// A directory that is removed, with all that is in it, by the process that made it.
class temporary_directory {
public:
    temporary_directory() {
        path_ = temporary_base() + "/procmap.XXXXXX";
        REQUIRE(::mkdtemp(path_.data()) != nullptr);
        ::chmod(path_.c_str(), 0755);
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + '/' + name; }
    /// Writes a file in it, and the directories that lead there.
    void write(const std::string& name, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path{*this / name}.parent_path());
        const int fd = ::open((*this / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
        ::close(fd);
    }

private:
    std::string path_;
};

}  // namespace support

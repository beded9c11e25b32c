// A hook that runs before the library opens a file; main.cpp defines openat().
#pragma once

#include <functional>
#include <utility>

namespace support {

inline std::function<void(const char* path)> before_open;  // called by the library's openat

/// What is set for as long as this lives.
struct at_open {
    explicit at_open(std::function<void(const char*)> call) { before_open = std::move(call); }
    ~at_open() { before_open = nullptr; }
    at_open(const at_open&) = delete;
    at_open& operator=(const at_open&) = delete;
};

}  // namespace support

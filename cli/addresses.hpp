// Addresses that come on standard input.
#pragma once

#include "arguments.hpp"
#include "output.hpp"
#include "terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// Gives `answer` the addresses on standard input as they come, up to 4096 at a time, until it says that it cannot go on. What
/// is no address is left out, after saying so.
int read_addresses(const auto& answer) {
    constexpr std::size_t most = 4096;
    constexpr std::string_view blanks = " \t\n\v\f\r";
    int status = done;
    std::vector<std::uint64_t> addresses;
    const bool silent = is_terminal(STDOUT_FILENO);  // there, the answers show how far it is
    std::uint64_t answered = 0;
    const auto answer_all = [&] {
        const bool goes_on = addresses.empty() || answer(addresses);
        answered += addresses.size();
        addresses.clear();
        if (!silent) progress::show(answered, "addresses");
        flush();
        return goes_on;
    };
    constexpr std::size_t longest = 40;  // an address has 18 characters, and may have more zeros in front
    std::string word;  // that is being read; what it has beyond `longest` and one more is dropped
    // Takes the word. False: no more can be answered.
    const auto take_word = [&] {
        const auto address = word.size() <= longest ? parse_address(word) : std::nullopt;
        if (address) {
            addresses.push_back(*address);
        } else {
            if (!answer_all()) return false;
            complain("standard input: " + (no_address + word.substr(0, longest)) + (word.size() > longest ? "..." : ""));
            status = failed;
        }
        word.clear();
        return addresses.size() < most || answer_all();
    };
    for (bool at_end = false; !at_end;) {
        char chunk[1 << 16];
        const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            complain(std::string("read standard input: ") + std::strerror(errno));
            return failed;
        }
        at_end = n == 0;
        for (const char c : std::string_view(chunk, static_cast<std::size_t>(n))) {
            if (blanks.find(c) == blanks.npos) {
                if (word.size() <= longest) word += c;
            } else if (!word.empty() && !take_word()) {
                return status;
            }
        }
        if (at_end && !word.empty() && !take_word()) return status;
        if (!answer_all()) return status;
    }
    progress::clear();
    return status;
}

}  // namespace cli

// Checks around a single call.
#pragma once

#include <cerrno>
#include <ostream>  // doctest prints errors
#include <utility>

#include <doctest/doctest.h>

#include <procmap/result.hpp>

namespace support {

/// The value, which must be there.
template <class T>
T need(procmap::result<T> answer) {
    INFO(answer.error());
    REQUIRE(answer.has_value());
    return std::move(*answer);
}

/// Calls, and makes sure that errno is what it was before.
template <class Call>
auto keeping_errno(Call call) {
    errno = 4242;
    auto answer = call();
    const int after = errno;
    CHECK(after == 4242);
    return answer;
}

}  // namespace support

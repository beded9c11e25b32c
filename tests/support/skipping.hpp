// Skips a test case or a part of one, and says so.
#pragma once

#include <cstdio>
#include <string>

#include <doctest/doctest.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCMAP_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PROCMAP_TEST_SANITIZED 1
#endif
#endif

/// Ends the test case, visibly: the machine or the kernel cannot do what it needs.
#define SKIP(reason)            \
    do {                        \
        support::skip(reason);  \
        return;                 \
    } while (false)

namespace support {

inline unsigned skipped = 0;

inline const char* test_name() { return doctest::getContextOptions()->currentTest->m_name; }

inline void skip(const std::string& reason) {
    ++skipped;
    std::printf("SKIPPED: %s: %s\n", test_name(), reason.c_str());
}

/// Says that a part of a test case is left out, because the machine does not have what it is about; the rest still counts.
inline void not_included(const std::string& what) { std::printf("NOT INCLUDED: %s: %s\n", test_name(), what.c_str()); }

}  // namespace support

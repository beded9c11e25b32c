// Every kind of mapping, asked about in every way: nothing is read that is not a regular file, nothing hangs, and each answer
// is the one that the kind deserves.
//
// The test process makes the mapping. Each way runs in a child that looks at the test process and has a deadline. What was read
// shows in three places: the build-ID queries that this executable's own ioctl counts, an inotify watch on the mapped file, and
// what the kind itself can tell (bytes waiting in a socket, READ requests to a FUSE server, ...).
#include "asking.hpp"
#include "own_mounts.hpp"
#include "reports.hpp"
#include "../support/run.hpp"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <type_traits>

#include <procmap/query.hpp>
#include <procmap/uapi.hpp>

using namespace support;

#ifdef __GLIBC__
#define NOEXCEPT noexcept
#else  // musl declares it without
#define NOEXCEPT
#endif

// Counts the queries, and lets the kernel answer them.
extern "C" int ioctl(int fd, std::remove_const_t<decltype(procmap::detail::ioctl_request)> request, ...) NOEXCEPT {
    va_list more;
    va_start(more, request);
    void* const argument = va_arg(more, void*);
    va_end(more);
    using procmap::uapi::procmap_query;
    const auto* const query = static_cast<const procmap_query*>(argument);
    const bool is_query = counted != nullptr && request == procmap::detail::ioctl_request;
    const bool with_id = is_query && query->size >= sizeof(procmap_query) && query->build_id_size != 0;
    const std::uint64_t address = is_query ? query->query_addr : 0;
    if (is_query) ++counted->queries;
    if (with_id) ++counted->id_queries, counted->asking = address;
    const int answer = static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
    if (with_id) {
        const bool inside = counted->start <= address && address < counted->end;
        const bool answered = answer == 0 && counted->end != 0 && query->vma_start == counted->start;
        if (inside || answered) ++counted->id_queries_of_it;
        counted->asking = 0;
    }
    return answer;
}

int main(int argc, char** argv) {
    isolate();
    const int status = support::run(argc, argv);
    print_table();
    return status;
}

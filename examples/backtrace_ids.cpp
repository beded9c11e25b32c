// Converts its own backtrace to build IDs and file offsets. Link with -Wl,--build-id.
#if __has_include(<execinfo.h>)  // glibc has it, musl does not
#include <execinfo.h>
#else
static int backtrace(void**, int) { return 0; }
#endif
#include <procmap/procmap.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

int main() {
    if (!procmap::probe().live) return 77;
    void* frames[64];
    const int depth = backtrace(frames, 64);
    if (depth == 0) return 77;
    std::vector<std::uint64_t> calls;  // a return address is behind its call, which can be the last instruction of the code
    for (int i = 0; i < depth; ++i) calls.push_back(procmap::any_address{frames[i]}.value() - 1);

    const auto self = procmap::maps::open_self();
    if (!self) return std::cerr << self.error() << '\n', 1;
    procmap::normalizer normalizer{{.build_ids = true}};
    const auto found = normalizer.normalize(*self, calls);
    if (!found) return std::cerr << found.error() << '\n', 1;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        const procmap::location& l = found->locations[i];
        const procmap::mapped_file& f = found->file(l);
        std::cout << f.build_id << " +0x" << std::hex << l.offset << ' ' << f.path << '\n';
        std::ifstream file{std::string{f.path}, std::ios::binary};  // to check it: the code in memory is that of the file
        const std::string bytes{std::istreambuf_iterator<char>{file}, {}};
        if (f.build_id.empty() || l.offset + 5 > bytes.size() || std::memcmp(&bytes[0] + l.offset + 1, frames[i], 4) != 0) return 1;
    }
    return 0;
}

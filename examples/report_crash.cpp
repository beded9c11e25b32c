// Reports a crash: the mapping of the address, that of the code, and how far each can be read. All of it is async-signal-safe.
#include <procmap/procmap.hpp>

#include <charconv>
#include <csignal>
#include <cstring>
#include <new>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
static void* const guard = mmap(nullptr, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
static void say(std::string_view text) { (void)!write(STDERR_FILENO, text.data(), text.size()); }
static bool report(procmap::any_address where, procmap::any_address expected, std::string_view readable) {
    static procmap::name_buffer name;                                         // 4 kB that the handler's stack does not need
    const auto self = procmap::maps::open_self().value_or(procmap::maps{});  // opened here: a child of fork needs its own
    const auto hit = self.find(where, {.name = name});
    hit ? print(say, *hit) : print(say, hit.error());
    char digits[24] = {};
    std::to_chars(digits, digits + 20, self.extent(where, 64, procmap::readable).value_or(0));
    say("\nreadable bytes of the next 64: "), say(digits), say("\n");
    return hit && hit->contains(expected) && digits == readable;
}
static void on_crash(int, siginfo_t* info, void* raw) {
    bool right = report(info->si_addr, guard, "0");
#if defined(__x86_64__)  // the program counter is elsewhere on other architectures
    ucontext_t context;
    std::memcpy(&context, raw, sizeof context);
    right &= report(context.uc_mcontext.gregs[REG_RIP], &say, "64");
#endif
    _exit(right ? 0 : 1);
}
int main() {
    if (!procmap::probe().live) return 77;
    const stack_t alternate{.ss_sp = new char[131072], .ss_flags = 0, .ss_size = 131072};
    struct sigaction action {};
    action.sa_sigaction = on_crash, action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaltstack(&alternate, nullptr) == 0 && sigaction(SIGSEGV, &action, nullptr) == 0) *new (guard) volatile char = 1;
    return 1;
}

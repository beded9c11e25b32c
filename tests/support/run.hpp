// The main function of tests of real processes.
#pragma once

#include "descriptors.hpp"
#include "machine.hpp"
#include "mounts.hpp"
#include "skipping.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include <doctest/doctest.h>

namespace support {

/// How many test cases were run.
inline unsigned test_cases = 0;
struct case_counter : doctest::IReporter {
    explicit case_counter(const doctest::ContextOptions&) {}
    void test_case_start(const doctest::TestCaseData&) override { ++test_cases; }
    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};
DOCTEST_REGISTER_LISTENER("test cases", 1, case_counter);

/// After chroot(2), the root is none that a mount namespace begins with: what is mounted cannot be made private, setns(2) leads out
/// of it, and names of files in other namespaces begin with its path outside. As in a container, the root becomes the namespace's.
/// The program begins again there: what it has mapped, it mapped outside.
inline void leave_chroot(char** argv) {
    const int root = ::open("/", O_PATH | O_CLOEXEC), space = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    std::error_code none;
    const auto here = std::filesystem::current_path(none);
    if (root >= 0 && space >= 0 && ::setns(space, CLONE_NEWNS) == 0) {  // from here on, outside
        const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(root), none);
        if (path.empty()) {  // no procfs outside
            if (::fchdir(root) != 0 || ::chroot(".") != 0) std::abort();
        } else if (path != "/") {
            if (!own_namespace() || ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0 ||
                ::chdir(path.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0)
                std::abort();
        }
        std::filesystem::current_path(here, none);
        const auto program = std::filesystem::read_symlink("/proc/self/exe", none).string();
        if (path != "/" && program.starts_with(path.string())) ::execv(program.c_str() + path.string().size(), argv);
    }
    ::close(root);
    ::close(space);
}

/// On overlayfs, as a container's /tmp is, neither the number of a file nor its path tells which file is mapped, and most test cases
/// are about files. In a mount namespace of its own, this process gets a tmpfs for them, if it may.
class off_overlayfs {
public:
    off_overlayfs() {
        if (!on_overlayfs(temporary_base()) || !is_root() || !own_namespace()) return;
        directory_ = temporary_base() + "/procmap.XXXXXX";
        if (::mkdtemp(directory_.data()) == nullptr || ::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "mode=1777") != 0) return;
        ::setenv("TMPDIR", directory_.c_str(), 1);
    }
    off_overlayfs(const off_overlayfs&) = delete;
    off_overlayfs& operator=(const off_overlayfs&) = delete;
    ~off_overlayfs() {
        if (directory_.empty()) return;
        ::umount2(directory_.c_str(), MNT_DETACH);
        ::rmdir(directory_.c_str());
    }

private:
    std::string directory_;
};

/// Runs the test cases. Exit status: doctest's if one failed, 1 if descriptors leaked, 77 if most were skipped, else 0.
inline int run(int argc, char** argv) {
    if (::access("/proc/self/maps", R_OK) != 0) {
        std::printf("SKIPPED: all: no procfs at /proc\n");
        return 77;
    }
    leave_chroot(argv);
    const off_overlayfs elsewhere;
    doctest::Context context(argc, argv);
    const auto before = open_descriptors();
    const int failed = context.run();
    if (context.shouldExit() || failed != 0) return failed;
    if (const auto after = open_descriptors(); after != before) {
        std::printf("FAILED: %d descriptors were open before the tests, %d after them\n", static_cast<int>(before),
                    static_cast<int>(after));
        return 1;
    }
    if (skipped != 0) std::printf("%u of %u test cases skipped\n", skipped, test_cases);
    return 2 * skipped > test_cases ? 77 : 0;
}

}  // namespace support

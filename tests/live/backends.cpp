// Both back-ends and the raw text agree, for every process and for a strange address space.
#include "asking.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::result;

namespace {

TEST_CASE("the ioctl is there from Linux 6.11 on, and probe sees what plain calls see") {
    const procmap::capabilities here = procmap::probe();
    CHECK(here.ioctl == kernel_has_ioctl());
    CHECK(here.live == live_procfs());
    CHECK(here.text);
    CHECK(here.struct_size == (here.ioctl ? 104 : 0));
    CHECK(need(maps::open_self()).backend() == backends().front());
    const char* const sandbox = std::getenv("PROCMAP_EXPECT_NO_IOCTL");
    if (sandbox != nullptr && std::string_view{sandbox} == "1") return;
    if (kernel_at_least(6, 11) && live_procfs()) CHECK(here.ioctl);
}

TEST_CASE("a handle on the ioctl cannot be had where there is none") {
    if (kernel_has_ioctl()) return not_included("this kernel has the ioctl; tests/kernel/ does it with one that has not");
    CHECK(maps::open_self({.use = backend::ioctl}).error() == errc::unsupported);
}

enum class comparison { equal, gone, denied, unstable };

/// Returns the text of a process; if its leader has exited, whose text is empty, that of another thread.
std::optional<std::string> text_of(pid_t pid) {
    auto text = slurp(maps_path(pid));
    if (!text || !text->empty()) return text;
    std::error_code gone;
    for (std::filesystem::directory_iterator task{"/proc/" + std::to_string(pid) + "/task", gone}, end; !gone && task != end; task.increment(gone))
        if (auto of_thread = slurp(task->path().string() + "/maps"); of_thread && !of_thread->empty()) return of_thread;
    return text;
}

/// Compares each back-end with raw text read before and after it. The text may be the same although the mappings changed in between (a file
/// was mapped in the place of another, and the other again). So a difference counts only if all tries have one and the text is the same in all.
comparison compare_with_text(pid_t pid, std::string& different) {
    std::optional<std::string> at_first;
    bool changed = false;
    for (int tries = 0; tries < 6; ++tries) {
        const auto before = text_of(pid);
        std::vector<result<maps>> opened;
        for (const backend use : backends()) opened.push_back(maps::open(pid, {.use = use}));
        for (const auto& handle : opened)
            if (!handle) return handle.error() == errc::denied ? comparison::denied : comparison::gone;
        std::vector<walked> all;
        for (const auto& handle : opened) all.push_back(walk_with_names(*handle));
        const auto after = text_of(pid);
        if (tries == 0) at_first = before;
        changed = changed || !before || before != after || before != at_first;
        if (!before || before != after) continue;
        different.clear();
        for (const walked& one : all) {
            if (before->empty() ? one.error == errc::gone : one.complete) {
                if (different.empty()) different = difference(one.records, raw_lines(*before));
            } else {
                different = "a walk that should have been complete was not, or the reverse";
            }
            for (std::size_t i = 0; different.empty() && i < one.records.size(); ++i) {
                const record& first = all.front().records[i];
                const bool unnamed = first.name_status == name_state::too_long;
                if (!unnamed && as_text(first) != as_text(one.records[i])) different = "differs: " + line_of(first);
            }
        }
        if (different.empty()) return before->empty() ? comparison::gone : comparison::equal;
    }
    if (changed) different.clear();
    return comparison::unstable;
}

TEST_CASE("every process on the machine reads the same on both back-ends and in the raw text") {
    child paused{[](channel& parent) {
        map_alternating(20);
        parent.signal();
        parent.pause();
    }};
    child without_leader{[](channel& parent) {
        std::thread{[&parent] {
            parent.signal();
            for (;;) ::pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    paused->await();
    without_leader->await();
    while (!slurp(maps_path(without_leader.pid())).value_or("").empty()) ::usleep(1000);
    std::array<int, 4> count{};
    for (const pid_t pid : all_pids()) {
        if (pid == ::getpid()) continue;
        std::string different;
        const comparison outcome = compare_with_text(pid, different);
        ++count[static_cast<std::size_t>(outcome)];
        CAPTURE(pid);
        if (outcome == comparison::unstable && !different.empty()) FAIL_CHECK(different);
        if (pid == paused.pid() || pid == without_leader.pid()) CHECK(outcome == comparison::equal);
    }
    CHECK(count[0] >= 2);
    MESSAGE(count[0], " equal, ", count[1], " gone or without memory, ", count[2], " denied, ", count[3], " never at rest");
}

TEST_CASE("a strange address space is the same on both back-ends and in the raw text") {
    const strange_child strange;
    const auto raw = strange.raw();
    REQUIRE(raw.size() > 80);
    std::vector<walked> all;
    for (const backend use : backends()) {
        CAPTURE(use);
        all.push_back(strange.whole(use));
        CHECK(all.back().complete);
        CHECK(difference(all.back().records, raw) == "");
    }
    for (std::size_t i = 0; i < raw.size(); ++i) {
        const record& text = all.back().records.at(i);
        CAPTURE(raw[i].line);
        CHECK(text.name_status == (contains(raw[i].name, "\\012") ? name_state::ambiguous : name_state::exact));
        CHECK(text.start == raw[i].start);
        CHECK(text.end == raw[i].end);
        CHECK(text.page_size == 0);
        CHECK_FALSE(text.build_id_known);
        if (all.size() == 1) continue;
        record ioctl = all.front().records.at(i);
        const bool over_path_max = contains(raw[i].name, "yyyyyyyy");
        CHECK(ioctl.name_status == (over_path_max ? name_state::too_long : name_state::exact));
        if (over_path_max) ioctl.name = text.name, ioctl.name_status = text.name_status;
        CHECK(as_text(ioctl) == text);
        CHECK(ioctl.page_size == (contains(raw[i].name, "/anon_hugepage") ? 2u << 20 : page));
    }
}

TEST_CASE("each mapping prints as the kernel prints it") {
    const strange_child strange;
    const auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        auto walk = opened.walk({.names = true, .buffer = big_buffer});
        auto line = raw.begin();
        for (const mapping& m : walk) {
            std::string printed;
            procmap::print([&](std::string_view piece) { printed += piece; }, m,
                           kernel_is_64_bit() ? procmap::name_column_64 : procmap::name_column_32);
            REQUIRE(line != raw.end());
            if (m.name_status != name_state::too_long) CHECK(printed == line->line);
            ++line;
        }
        CHECK(line == raw.end());
    }
}

}  // namespace

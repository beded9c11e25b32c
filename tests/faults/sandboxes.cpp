// Real sandboxes, which refuse system calls.
#include "interposed.hpp"
#include "answers.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/sandbox.hpp"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/uapi.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::errc;
using procmap::maps;

namespace {

constexpr auto query_request = static_cast<std::uint32_t>(procmap::uapi::procmap_query_request);

/// Whether a walk is complete and equals the raw text, which may have changed in between: a difference has to come back.
bool equals_text(const maps& self) {
    for (int tries = 0; tries < 5; ++tries) {
        const walked all = walk_all(self, {.names = true});
        const auto raw = raw_lines(slurp("/proc/self/maps").value_or(""));
        if (all.complete && difference(all.records, raw).empty()) return true;
    }
    return false;
}

TEST_CASE("in a sandbox that refuses the ioctl the text answers, and equals the raw text") {
    for (const int code : {ENOSYS, EPERM, EACCES, ENOTTY}) {
        CAPTURE(code);
        struct report {
            bool text, equal, insisted, probed, found;
            errc older;
        };
        child sandboxed{[code](channel& parent) {
            const auto before = maps::open_self();
            refuse(SYS_ioctl, query_request, error_action(code));
            const auto self = maps::open_self();
            const auto insisted = maps::open_self({.use = backend::ioctl});
            const auto can = procmap::probe();
            const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
            parent.send(report{.text = self && self->backend() == backend::text,
                               .equal = self && equals_text(*self),
                               .insisted = insisted.error() == errc::unsupported && insisted.error().errno_value == code,
                               .probed = !can.ioctl && can.ioctl_errno == code && can.text,
                               .found = self && self->find(address).has_value() && self->find(8).error() == errc::not_mapped,
                               .older = before ? before->find(address).error().code : errc::none});
        }};
        const auto said = sandboxed->receive<report>();
        CHECK(said.text);
        CHECK(said.equal);
        CHECK(said.insisted);
        CHECK(said.probed);
        CHECK(said.found);
        const bool refused = code == EPERM || code == EACCES;
        if (kernel_has_ioctl()) CHECK(said.older == (refused ? errc::denied : errc::unsupported));
    }
}

TEST_CASE("a sandbox that kills for the ioctl kills what asks for it, and not what asked for text") {
    for (const backend use : {backend::automatic, backend::text}) {
        CAPTURE(use);
        child sandboxed{[use](channel& parent) {
            refuse(SYS_ioctl, query_request, SECCOMP_RET_KILL_PROCESS);
            const auto self = maps::open_self({.use = use});
            const bool good = self && equals_text(*self) && self->find(8).error() == errc::not_mapped &&
                              procmap::snapshot::capture(*self).has_value();
            parent.send(good);
            parent.pause();
        }};
        if (use == backend::text) {
            CHECK(sandboxed->receive<bool>());
            continue;
        }
        siginfo_t ended{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(sandboxed.pid()), &ended, WEXITED | WNOWAIT) == 0);
        CHECK((ended.si_code == CLD_KILLED || ended.si_code == CLD_DUMPED));
        CHECK(ended.si_status == SIGSYS);
    }
}

TEST_CASE("in a sandbox without a system call of its, build IDs of files are unknown or right, and nothing else is lost") {
    constexpr long openat2_number = 437;
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid))};
    const maps here = need(maps::open_self());
    const auto ids_of_files = [&](const maps& from) {
        procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
        return of(n.normalize(from, addresses));
    };
    const answer clean = ids_of_files(here);
    for (const long number : {openat2_number, long{SYS_statx}, long{SYS_readlinkat}, long{SYS_fstatfs}})
        for (const int code : {ENOSYS, EPERM, EACCES}) {
            CAPTURE(number);
            CAPTURE(code);
            child sandboxed{[&](channel& parent) {
                refuse(number, 0, error_action(code));
                faults.no_map_files = true;
                const auto self = maps::open_self();
                if (!self) return parent.send(1);
                const answer got = ids_of_files(*self);
                bool right = got.error == errc::none && got.pieces.size() == clean.pieces.size();
                for (std::size_t i = 0; right && i < got.pieces.size(); ++i)
                    right = got.pieces[i] == "?" || got.pieces[i] == clean.pieces[i];
                parent.send(!right ? 2 : !equals_text(*self) ? 3 : 0);
            }};
            CHECK(sandboxed->receive<int>() == 0);
        }
    child sandboxed{[&](channel& parent) {
        refuse(SYS_pread64, 0, error_action(EPERM));
        const auto text = maps::open_self({.use = backend::text});
        const auto self = maps::open_self();
        const bool right = text.error() == errc::denied && text.error().at == procmap::step::read;
        parent.send(right && text.error().errno_value == EPERM && (!kernel_has_ioctl() || (self && equals_text(*self))));
    }};
    CHECK(sandboxed->receive<bool>());
}

}  // namespace

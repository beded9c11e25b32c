// Anonymous inodes: io_uring, perf, BPF, KVM.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

TEST_CASE("an anonymous inode is never asked about, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    const auto ask = [](kind& k, const unique_fd& fd, std::size_t size, off_t offset = 0) {
        k.anonymous_file = true;
        if (!fd || !k.map(fd.get(), size, MAP_SHARED, offset)) return cannot_make(k.name, why());
        k.watch_fd(fd.get());
        ask_everyhow(k);
    };
    kind io{"io_uring", named::nothing};
    io_uring_params parameters{};
    const unique_fd io_fd{static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters))};
    ask(io, io_fd, page, static_cast<off_t>(IORING_OFF_SQ_RING));

    kind perf{"perf ring", named::nothing};
    perf_event_attr clock{};
    clock.type = PERF_TYPE_SOFTWARE;
    clock.size = sizeof clock;
    clock.config = PERF_COUNT_SW_CPU_CLOCK;
    clock.sample_period = 1'000'000;
    const unique_fd perf_fd{static_cast<int>(::syscall(SYS_perf_event_open, &clock, 0, -1, -1, 0UL))};
    ask(perf, perf_fd, 2 * page);

    kind bpf{"BPF ring buffer", named::nothing};
    bpf_attr ring{};
    ring.map_type = BPF_MAP_TYPE_RINGBUF;
    ring.max_entries = static_cast<std::uint32_t>(page);
    const unique_fd bpf_fd{static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &ring, sizeof ring))};
    ask(bpf, bpf_fd, page);

    const unique_fd hypervisor{::open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    const unique_fd machine{::ioctl(hypervisor.get(), KVM_CREATE_VM, 0)};
    kind processor{"KVM processor", named::nothing};
    const unique_fd processor_fd{::ioctl(machine.get(), KVM_CREATE_VCPU, 0)};
    ask(processor, processor_fd, page);

    kind guest{"KVM guest_memfd", named::nothing};
    struct {
        std::uint64_t size = 16 * page, flags = 1 /* GUEST_MEMFD_FLAG_MMAP, Linux 6.18 */, reserved[6] = {};
    } wanted;
    using request = std::remove_const_t<decltype(procmap::detail::ioctl_request)>;
    constexpr auto create_guest_memfd = static_cast<request>(_IOWR(KVMIO, 0xd4, decltype(wanted)));  // KVM_CREATE_GUEST_MEMFD
    const unique_fd guest_fd{::ioctl(machine.get(), create_guest_memfd, &wanted)};
    ask(guest, guest_fd, wanted.size);
}

}  // namespace

// Churn: memory that changes as fast as it can around mappings that stay, and what walks, captures and lookups of it must hold to.
#pragma once

#include "files.hpp"
#include "memory.hpp"
#include "processes.hpp"
#include "raw_maps.hpp"
#include "records.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

namespace support {

/// Random numbers for one thread.
class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed) {}
    std::size_t below(std::size_t n) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::size_t>(state_ >> 33) % n;
    }

private:
    std::uint64_t state_;
};

/// Stable mappings of a file with room for change around them. It lies where the kernel puts nothing by itself, so that nobody
/// else's memory gets into a hole that the changes make. A child made by fork has the same.
class arena {
public:
    using mapping = procmap::mapping;
    static constexpr std::size_t slot_pages = 10, stable_pages = 2;
    static constexpr std::string_view stable_name = "/memfd:stable (deleted)";

    explicit arena(std::size_t slots = 32) : slots_(slots) {
        for (const std::uintptr_t hint : {std::uintptr_t{0x10}, std::uintptr_t{0x2000}, std::uintptr_t{0}}) {
            const auto wanted = sizeof(void*) == 8 ? hint << 32 : 0;
            base_ = map_pages(slots * slot_pages, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, reinterpret_cast<void*>(wanted));
            if (wanted == 0 || address_of(base_) == wanted) break;
            ::munmap(base_, slots * slot_pages * page);
        }
        REQUIRE(base_ != nullptr);
        for (std::size_t i = 0; i < slots; ++i)
            map(stable_file_, i * slot_pages, stable_pages, i % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE, i * slot_pages);
        top_ = raw_lines(slurp("/proc/self/maps").value()).back().end;
    }
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;
    ~arena() {
        ::munmap(base_, slots_ * slot_pages * page);
        ::close(stable_file_);
        ::close(changing_file_);
    }

    std::size_t slots() const { return slots_; }
    std::uint64_t start() const { return address_of(base_); }
    std::uint64_t end() const { return start() + slots_ * slot_pages * page; }
    /// The end of the last mapping of all, which is no part of this and does not change.
    std::uint64_t top() const { return top_; }

    /// The i-th of the stable mappings: it is there all the time, and like this.
    mapping stable(std::size_t i) const {
        const std::uint64_t at = i * slot_pages * page;
        using procmap::perm;
        const auto permissions = i % 2 == 0 ? procmap::permission_set{perm::read} : perm::read | perm::write;
        return {.start = start() + at, .end = start() + at + stable_pages * page, .permissions = permissions, .offset = at,
                .inode = stable_inode_};
    }
    bool is_stable(const mapping& m, std::size_t i) const {
        const mapping there = stable(i);
        return m.start == there.start && m.end == there.end && m.permissions == there.permissions && m.offset == there.offset &&
               m.inode == there.inode && (m.name_status == procmap::name_state::not_asked || m.name == stable_name);
    }
    /// Whether a mapping can have been like that at any time: what changes is a file's, if it is one's, at the offset in its slot.
    bool is_possible(const mapping& m) const {
        return m.inode != changing_inode_ || m.start < start() || m.end > end() ||
               m.offset == (m.start - start()) % (slot_pages * page);
    }

    /// Maps, unmaps, protects, grows or moves something between the stable mappings; that splits and merges. Any number of threads.
    void change(dice& random) const {
        std::size_t count = 0;
        const std::size_t in_slot = place(random, count);
        const std::size_t at = random.below(slots_) * slot_pages + in_slot;
        char* const where = base_ + at * page;
        const int protection = static_cast<int>(random.below(4));  // none, read, write, both
        switch (random.below(6)) {
            case 0: map_pages(count, protection, MAP_PRIVATE | MAP_FIXED, where); break;
            case 1: map(changing_file_, at, count, protection, in_slot); break;
            case 2: ::munmap(where, count * page); break;
            case 3: ::mprotect(where, count * page, protection); break;
            case 4: ::mremap(where, page, count * page, 0); break;
            default: {
                const std::size_t to = random.below(slots_) * slot_pages + in_slot;
                if (to != at) ::mremap(where, page, count * page, MREMAP_MAYMOVE | MREMAP_FIXED, base_ + to * page);
            }
        }
    }

private:
    int memory_file(const char* name, std::uint64_t& inode) const {
        const int fd = static_cast<int>(::syscall(SYS_memfd_create, name, MFD_CLOEXEC));
        struct stat status {};
        REQUIRE(::ftruncate(fd, static_cast<off_t>(slots_ * slot_pages * page)) == 0);
        REQUIRE(::fstat(fd, &status) == 0);
        inode = status.st_ino;
        return fd;
    }
    static std::size_t place(dice& random, std::size_t& count) {
        const std::size_t first = stable_pages + random.below(slot_pages - stable_pages);
        count = 1 + random.below(slot_pages - first);
        return first;
    }
    void map(int fd, std::size_t at, std::size_t pages, int protection, std::size_t from) const {
        ::mmap(base_ + at * page, pages * page, protection, MAP_PRIVATE | MAP_FIXED, fd, static_cast<off_t>(from * page));
    }

    std::size_t slots_;
    char* base_ = nullptr;
    std::uint64_t top_ = 0;
    std::uint64_t stable_inode_ = 0;
    std::uint64_t changing_inode_ = 0;
    int stable_file_ = memory_file("stable", stable_inode_);
    int changing_file_ = memory_file("changing", changing_inode_);
};

/// What became of some walks, captures or lookups. A plain sum, so that threads can each have one.
struct tally {
    long right = 0, contended = 0, gone = 0;
    // violations:
    long out_of_order = 0;  // not ascending, overlapping, or empty
    long missing = 0;       // something stable is not there, or not as it is
    long wrong_end = 0;     // said to be complete before the end
    long impossible = 0;    // a record that was never true, or that was not asked for
    long failed = 0;        // an error that should not be
    procmap::error failure{};  // one of those
    std::string example{};     // one of the other violations

    tally& operator+=(const tally& other) {
        if (other.failed != 0) failure = other.failure;
        if (!other.example.empty()) example = other.example;
        right += other.right, contended += other.contended, gone += other.gone;
        out_of_order += other.out_of_order, missing += other.missing, wrong_end += other.wrong_end;
        impossible += other.impossible, failed += other.failed;
        return *this;
    }
    long violations() const { return out_of_order + missing + wrong_end + impossible + failed; }
    void check() const {
        CAPTURE(failure);
        CAPTURE(example);
        CHECK(out_of_order == 0);
        CHECK(missing == 0);
        CHECK(wrong_end == 0);
        CHECK(impossible == 0);
        CHECK(failed == 0);
        CHECK(gone == 0);
    }
    /// Counts an answer that is an error.
    void error(const procmap::error& e) {
        if (e == procmap::errc::contended)
            ++contended;
        else if (e == procmap::errc::gone)
            ++gone;
        else
            ++failed, failure = e;
    }
    void violation(long& kind, const procmap::mapping& m) {
        ++kind;
        example = line_of(record{m});
    }
};

/// Judges mappings one after another, of a walk or a capture.
class judge {
public:
    judge(const arena& memory, tally& count, procmap::filters only = {}) : memory_(memory), count_(count), only_(only) {}

    void operator()(const procmap::mapping& m) {
        if (m.start < last_end_ || m.start >= m.end) fault(count_.out_of_order, m);
        if (!m.passes(only_) || !memory_.is_possible(m)) fault(count_.impossible, m);
        last_end_ = m.end;
        skip_what_is_not_asked_for();
        if (next_ < memory_.slots() && memory_.is_stable(m, next_)) ++next_;
    }
    /// The end, which is said to be that of the address space.
    void end() {
        skip_what_is_not_asked_for();
        if (next_ != memory_.slots()) fault(count_.missing, memory_.stable(next_));
        if (only_.empty() && last_end_ < memory_.top()) fault(count_.wrong_end, {.start = last_end_, .end = memory_.top()});
        if (right_) ++count_.right;
    }

private:
    void skip_what_is_not_asked_for() {
        while (next_ < memory_.slots() && !memory_.stable(next_).passes(only_)) ++next_;
    }
    void fault(long& kind, const procmap::mapping& m) {
        count_.violation(kind, m);
        right_ = false;
    }

    const arena& memory_;
    tally& count_;
    procmap::filters only_;
    std::uint64_t last_end_ = 0;
    std::size_t next_ = 0;  // of the stable ones
    bool right_ = true;
};

/// Walks once, and calls `during` at the first mapping.
template <class During>
void walk_once(const procmap::maps& of, const arena& memory, tally& count, const procmap::walk_options& options, During during) {
    auto walk = of.walk(options);
    judge check{memory, count, options.only};
    bool first = true;
    for (const procmap::mapping& m : walk) {
        check(m);
        if (first) during();
        first = false;
    }
    walk.complete() && walk.error() == procmap::errc::none ? check.end() : count.error(walk.error());
}
inline void walk_once(const procmap::maps& of, const arena& memory, tally& count, const procmap::walk_options& options = {}) {
    walk_once(of, memory, count, options, [] {});
}

/// Asks for a stable mapping, for whatever is at an address, and for what is there or above.
inline void find_once(const procmap::maps& of, const arena& memory, std::size_t n, tally& count) {
    const std::size_t i = n % memory.slots();
    const auto hit = of.find(memory.stable(i).start + page);
    if (!hit) return count.error(hit.error());
    if (!memory.is_stable(*hit, i)) return count.violation(count.missing, *hit);
    const std::uint64_t somewhere = memory.stable(i).end + n / memory.slots() % (arena::slot_pages - arena::stable_pages) * page;
    const auto there = of.find(somewhere);
    if (!there && there.error() != procmap::errc::not_mapped) return count.error(there.error());
    if (there && (!there->contains(somewhere) || !memory.is_possible(*there))) return count.violation(count.impossible, *there);
    if (i + 1 == memory.slots()) return void(++count.right);
    const auto next = of.find_from(somewhere);
    if (!next) return count.error(next.error());
    if (next->end <= somewhere || next->start >= next->end || !memory.is_possible(*next))
        return count.violation(count.impossible, *next);
    if (next->start > memory.stable(i + 1).start) return count.violation(count.missing, *next);
    ++count.right;
}

inline void capture_once(const procmap::maps& of, const arena& memory, tally& count) {
    const auto taken = procmap::snapshot::capture(of);
    judge check{memory, count};
    for (const procmap::mapping& m : *taken) check(m);
    taken ? check.end() : count.error(taken.error());
}

/// Threads that each call their own function with a tally until it has been called so often, or the test ends.
class crew {
public:
    using job = std::function<void(std::size_t, tally&)>;
    void add(std::size_t times, job work) { jobs_.emplace_back(times, std::move(work)); }
    /// Adds one that changes `memory` until the test ends.
    void add_change(const arena& memory) {
        add(0, [&memory, random = dice{jobs_.size() + 1}](std::size_t, tally&) mutable { memory.change(random); });
    }
    /// Runs them all; those without an end (0 times) stop when the others have.
    tally run() {
        std::vector<tally> counts(jobs_.size());
        std::vector<std::thread> finite;
        std::vector<std::thread> endless;
        std::atomic<std::size_t> ready = 0;
        std::atomic<bool> stop = false;
        for (std::size_t i = 0; i < jobs_.size(); ++i) {
            auto& threads = jobs_[i].first == 0 ? endless : finite;
            threads.emplace_back([&, i] {
                auto& [times, work] = jobs_[i];
                for (++ready; ready != jobs_.size();) std::this_thread::yield();  // no new thread's stack during the churn
                for (std::size_t n = 0; times == 0 ? !stop : n < times; ++n) work(n, counts[i]);
            });
        }
        for (std::thread& one : finite) one.join();
        stop = true;
        for (std::thread& one : endless) one.join();
        tally sum;
        for (const tally& one : counts) sum += one;
        return sum;
    }

private:
    std::vector<std::pair<std::size_t, job>> jobs_;
};

/// A child that changes its copy of `memory` until it is killed.
inline child changing_child(const arena& memory) {
    return child{[&memory](channel& parent) {
        parent.signal();
        for (dice random{1};;) memory.change(random);
    }};
}

}  // namespace support

// Mapped sockets and rings of packets.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "sockets.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

TEST_CASE("a mapped TCP socket is never read, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    for (const bool with_data : {true, false}) {
        kind k{with_data ? "TCP socket with data" : "TCP socket without data", named::nothing};
        k.anonymous_file = true;
        const auto c = connected();
        if (!c || !k.map(c->here.get(), 4 * page)) {
            cannot_make(k.name, why());
            continue;
        }
        k.watch_fd(c->here.get());
        std::string data;
        for (int i = 0; with_data && i < 1000; ++i) data += static_cast<char>('a' + i % 26);
        k.before = [&] {
            const std::string now = waiting_in(c->here.get());
            if (now == data) return;
            char rest[8192];
            while (::recv(c->here.get(), rest, sizeof rest, MSG_DONTWAIT) > 0) {
            }
            REQUIRE(::send(c->there.get(), data.data(), data.size(), 0) == static_cast<ssize_t>(data.size()));
            for (int tries = 0; waiting_in(c->here.get()) != data && tries < 1000; ++tries) ::usleep(1000);
            REQUIRE(waiting_in(c->here.get()) == data);
        };
        k.disturbed = [&]() -> std::string {
            const std::string now = waiting_in(c->here.get());
            return now == data ? std::string{} : std::to_string(data.size() - now.size()) + " bytes were taken";
        };
        ask_everyhow(k);
    }
}

/// A ring of packets that come through lo.
struct packet_ring {
    static constexpr unsigned block = 65536, frame = 256;
    unique_fd socket{};
    char* memory = nullptr;

    bool make(kind& k, int version) {
        socket.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        if (!socket) return false;
        const int copies = 1;  // a packet that does not fit into its frame is queued in whole, for read()
        tpacket_req3 ring{};
        ring.tp_block_size = block;
        ring.tp_block_nr = 2;
        ring.tp_frame_size = frame;
        ring.tp_frame_nr = 2 * block / frame;
        ring.tp_retire_blk_tov = 1;  // ms
        const auto size = static_cast<socklen_t>(version == TPACKET_V3 ? sizeof ring : sizeof(tpacket_req));
        sockaddr_ll lo{};
        lo.sll_family = AF_PACKET;
        lo.sll_protocol = htons(ETH_P_ALL);
        lo.sll_ifindex = static_cast<int>(::if_nametoindex("lo"));
        const bool made = ::setsockopt(socket.get(), SOL_PACKET, PACKET_VERSION, &version, sizeof version) == 0 &&
                          ::setsockopt(socket.get(), SOL_PACKET, PACKET_COPY_THRESH, &copies, sizeof copies) == 0 &&
                          ::setsockopt(socket.get(), SOL_PACKET, PACKET_RX_RING, &ring, size) == 0 &&
                          k.map(socket.get(), 2 * block, MAP_SHARED, 0, PROT_READ | PROT_WRITE) &&
                          ::bind(socket.get(), reinterpret_cast<sockaddr*>(&lo), sizeof lo) == 0;
        memory = reinterpret_cast<char*>(static_cast<std::uintptr_t>(k.at));
        return made;
    }
    /// Whether the kernel has given the first frame, or the first block, to its reader.
    bool has_packets(int version) const {
        const std::uint32_t* const status = version == TPACKET_V3
                                                ? &reinterpret_cast<const tpacket_block_desc*>(memory)->hdr.bh1.block_status
                                                : &reinterpret_cast<const tpacket2_hdr*>(memory)->tp_status;
        return (__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
    }
    /// What is in the ring, up to where the kernel adds, and in the queue.
    std::string contents() const { return std::string{memory, frame} + waiting_in(socket.get()); }
};

TEST_CASE("a mapped ring of packets is never read, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    for (const int version : {TPACKET_V2, TPACKET_V3}) {
        for (const bool with_packets : {true, false}) {
            kind k{std::string{"packet ring, "} + (version == TPACKET_V3 ? "TPACKET_V3" : "TPACKET_V2") +
                       (with_packets ? ", with packets" : ", without packets"),
                   named::nothing};
            k.anonymous_file = true;
            packet_ring ring;
            if (!ring.make(k, version)) {
                cannot_make(k.name, why());
                continue;
            }
            if (with_packets) {
                const unique_fd sender{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
                sockaddr_in discard{};
                discard.sin_family = AF_INET;
                discard.sin_port = htons(9);
                discard.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                const std::string large(2 * packet_ring::frame, 'p');
                if (::sendto(sender.get(), large.data(), large.size(), 0, reinterpret_cast<sockaddr*>(&discard),
                             sizeof discard) < 0) {
                    cannot_make(k.name, "lo: " + why());
                    continue;
                }
                for (int tries = 0; !ring.has_packets(version) && tries < 5000; ++tries) ::usleep(1000);
                CHECK(ring.has_packets(version));
                if (version == TPACKET_V2) CHECK_FALSE(waiting_in(ring.socket.get()).empty());
            }
            k.watch_fd(ring.socket.get());
            const std::string before = ring.contents();
            k.disturbed = [&]() -> std::string { return ring.contents() == before ? "" : "packets were taken"; };
            ask_everyhow(k);
        }
    }
}

}  // namespace

#pragma once

// A network that lies: a TCP proxy on loopback that now and then changes, cuts, repeats, reorders
// or swaps what it carries, in both directions, from a seed.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "tests/catch.h"

namespace consilium::experiments {

enum class Mischief { kFlip, kTruncate, kReplay, kReorder, kSwap, kStale };
inline constexpr std::array kMischief = {Mischief::kFlip,    Mischief::kTruncate, Mischief::kReplay,
                                         Mischief::kReorder, Mischief::kSwap,     Mischief::kStale};
inline const char* Name(Mischief mischief) {
  constexpr const char* kNames[] = {"flip", "truncate", "replay", "reorder", "swap", "stale"};
  return kNames[static_cast<int>(mischief)];
}

class HostileProxy {
 public:
  // One piece of at most 16 KiB in `one_in` suffers, until `most` have.
  HostileProxy(int upstream_port, std::uint64_t seed, std::uint64_t one_in, int most)
      : upstream_port_(upstream_port), one_in_(one_in), most_(most), random_(seed) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_, 64) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { Accept(); });
  }
  ~HostileProxy() {
    stopping_ = true;
    accepting_.join();
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
  }

  int port() const { return port_; }
  // Lets everything pass unharmed, or no longer does.
  void Behave() { behaving_ = true; }
  void Misbehave() { behaving_ = false; }
  std::map<Mischief, int> done() const {
    std::lock_guard lock(mutex_);
    return done_;
  }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }

  void Accept() {
    while (!stopping_) {
      pollfd ready{listener_, POLLIN, 0};
      if (poll(&ready, 1, 100) <= 0) continue;
      const int site = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (site < 0) continue;
      threads_.emplace_back([this, site] { Carry(site); });
    }
  }

  // One connection, to its end.
  void Carry(int site) {
    const int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(upstream_port_);
    bool open = connect(upstream, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    Bytes held[2];  // a piece that waits for its successor, to come after it
    while (open && !stopping_) {
      pollfd ready[2] = {{site, POLLIN, 0}, {upstream, POLLIN, 0}};
      if (poll(ready, 2, 50) == 0) {
        // Nothing follows that a held piece could come after.
        open = Flush(upstream, held[0]) && Flush(site, held[1]);
        continue;
      }
      for (int from = 0; from < 2 && open; ++from) {
        if (ready[from].revents == 0) continue;
        open = Pass(ready[from].fd, ready[1 - from].fd, from, held[from]);
      }
    }
    close(upstream);
    close(site);
  }

  bool Pass(int from, int to, int direction, Bytes& held) {
    Bytes piece(16 * 1024);
    const ssize_t size = recv(from, piece.data(), piece.size(), 0);
    if (size <= 0) return false;
    piece.resize(static_cast<std::size_t>(size));
    bool open = true;
    if (const auto mischief = Choose()) {
      switch (*mischief) {
        case Mischief::kFlip:
          piece[Below(piece.size())] ^= static_cast<std::uint8_t>(1 + Below(255));
          break;
        case Mischief::kTruncate:
          piece.resize(Below(piece.size()));
          Send(to, piece);
          return false;
        case Mischief::kReplay:
          open = Send(to, piece);
          break;
        case Mischief::kReorder:
          if (held.empty()) {
            held = std::move(piece);
            return true;
          }
          break;
        case Mischief::kSwap:  // what another connection carried in this direction
        case Mischief::kStale: {
          std::lock_guard lock(mutex_);
          std::vector<Bytes>& seen = seen_[direction];
          if (!seen.empty()) {
            std::swap(piece, seen[*mischief == Mischief::kSwap ? seen.size() - 1 : 0]);
          }
          break;
        }
      }
    } else {
      std::lock_guard lock(mutex_);
      if (seen_[direction].size() < 64)
        seen_[direction].push_back(piece);
      else
        seen_[direction][random_.Below(64)] = piece;
    }
    open = open && Send(to, piece);
    return open && Flush(to, held);
  }

  static bool Flush(int to, Bytes& held) {
    const Bytes piece = std::exchange(held, {});
    return piece.empty() || Send(to, piece);
  }

  static bool Send(int to, const Bytes& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = send(to, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<std::size_t>(n);
    }
    return true;
  }

  std::optional<Mischief> Choose() {
    std::lock_guard lock(mutex_);
    if (behaving_ || total_ == most_ || random_.Below(one_in_) != 0) return std::nullopt;
    ++total_;
    const Mischief mischief = kMischief[random_.Below(kMischief.size())];
    ++done_[mischief];
    return mischief;
  }

  std::uint64_t Below(std::uint64_t bound) {
    std::lock_guard lock(mutex_);
    return random_.Below(bound);
  }

  const int upstream_port_;
  const std::uint64_t one_in_;
  const int most_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_ = false, behaving_ = false;
  mutable std::mutex mutex_;
  SeededRandom random_;
  std::map<Mischief, int> done_;
  int total_ = 0;
  std::vector<Bytes> seen_[2];
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

}  // namespace consilium::experiments

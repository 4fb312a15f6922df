#pragma once

// A network link on loopback that can be made worse while it is in use: a TCP proxy between one
// site and its coordinator that delays, falls silent with connections open, resets them, or takes
// no new ones. It never changes a byte (tests/experiments/hostile_proxy.h does).

#include <atomic>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <thread>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/status.h"

namespace consilium::chaos {

class FlakyLink {
 public:
  enum class Mood {
    kPass,
    kSilent,   // connections stay open and are taken, but nothing goes through
    kRefusing  // what there is is reset, and what comes too
  };

  // Listens on a free port of loopback and carries to `upstream_port`.
  static absl::StatusOr<std::unique_ptr<FlakyLink>> Open(int upstream_port);
  ~FlakyLink();
  FlakyLink(const FlakyLink&) = delete;
  FlakyLink& operator=(const FlakyLink&) = delete;

  int port() const { return port_; }
  void Set(Mood mood) { mood_ = mood; }
  void Delay(Duration delay) { delay_us_ = delay.count(); }  // each way, from now on
  void ResetAll() { reset_ = true; }                         // what is open now, with RST
  int connections() const { return connections_; }           // taken so far

 private:
  using Clock = std::chrono::steady_clock;
  struct Piece {
    Clock::time_point due;
    Bytes bytes;
    std::size_t sent = 0;
  };
  struct Direction {
    std::deque<Piece> on_the_way;
    bool ended = false;   // nothing more comes in
    bool closed = false;  // and the other end was told
  };
  struct Connection {
    int ends[2] = {-1, -1};  // site, coordinator
    Direction directions[2];
    bool broken = false;
  };

  FlakyLink(int listener, int port, int upstream_port);
  void Run();
  void Accept();
  void Receive(Connection& connection, int from);
  void Deliver(Connection& connection, int from, Clock::time_point now);
  static void Break(Connection& connection);

  const int listener_, port_, upstream_port_;
  std::atomic<Mood> mood_ = Mood::kPass;
  std::atomic<std::int64_t> delay_us_ = 0;
  std::atomic<bool> reset_ = false, stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::list<Connection> open_;  // of the thread
  std::thread thread_;
};

}  // namespace consilium::chaos

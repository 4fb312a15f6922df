#pragma once

// What a soak test does to a coordinator's network, for as long as it lasts.

#include <atomic>
#include <cstdint>
#include <list>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"

namespace consilium::soak {

// A TCP proxy on loopback that resets one of its connections every now and then. One thread.
class CuttingProxy {
 public:
  CuttingProxy(int upstream_port, std::uint64_t seed, Duration between_cuts);
  ~CuttingProxy();
  // kUnavailable when there is no port.
  absl::Status Start();
  int port() const { return port_; }
  int cuts() const { return cuts_; }

 private:
  struct Link {
    int site = -1, coordinator = -1;
  };
  void Carry();
  void Accept();
  // False: the connection is over.
  static bool Pass(int from, int to);
  static void Reset(const Link& link);

  const int upstream_port_;
  SeededRandom random_;
  const Duration between_cuts_;
  int listener_ = -1, port_ = 0;
  std::list<Link> links_;
  std::atomic<int> cuts_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// Connections to the coordinator that never become calls: some silent, some in the middle of a
// handshake, some that speak another protocol. `at_once` of them, each for some seconds. One
// thread.
class HalfOpenConnections {
 public:
  HalfOpenConnections(int port, std::uint64_t seed, int at_once);
  ~HalfOpenConnections();
  int opened() const { return opened_; }

 private:
  void Trouble();

  const int port_, at_once_;
  SeededRandom random_;
  std::atomic<int> opened_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace consilium::soak

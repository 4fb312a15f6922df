#pragma once

// Where connections come in. gRPC 1.51's own listener stops for good when the process has no file
// left, and takes any number of connections from anybody; this one accepts them itself and hands
// them over.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace consilium::coordinator {

// Claims: at most so many connections are open at once, and of these at most half from one
// address: more are closed as they come. When the process or the system has no file left, what
// waits is turned away and the listener goes on.
class ServiceListener {
 public:
  // "host:port", "[::]:port"; port 0 for any. Begins to listen; nothing is accepted yet.
  // kUnavailable, naming the address, when the port is taken; kInvalidArgument when it is none.
  static absl::StatusOr<std::unique_ptr<ServiceListener>> Open(const std::string& address,
                                                               int most_connections);
  ~ServiceListener();
  int port() const { return port_; }
  // Hands every connection to `take`, which owns the descriptor from then on, from a thread of its
  // own.
  void Start(std::function<void(int listener, int connection)> take);
  void Stop();

 private:
  ServiceListener(int listener, int port, int most);
  void Accept();
  // False: nothing waits any more.
  bool AcceptOne();
  void Admit(int connection);
  bool IsRoomFor(const std::string& address);
  void Count();
  void TurnAwayWithoutFiles();

  const int listener_, port_, most_;
  int wake_ = -1;
  int reserve_ = -1;  // given up for a moment to turn a connection away when no file is left
  std::map<std::string, int> open_;  // by peer's address, as last counted and accepted since
  int total_ = 0;
  std::chrono::steady_clock::time_point counted_{}, warned_{};
  std::function<void(int, int)> take_;
  std::thread accepting_;
};

// Lets this process open as many files as the system allows it (the hard limit). Returns how many.
int RaiseFileLimit();

}  // namespace consilium::coordinator

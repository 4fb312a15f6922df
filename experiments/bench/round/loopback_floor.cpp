#include "experiments/bench/round/loopback_floor.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace consilium::experiments {
namespace {

constexpr std::size_t kBuffer = 256 << 10;

struct Connection {
  int here = -1, there = -1;
};

// Two ends of a TCP connection over loopback.
absl::StatusOr<Connection> Connect() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  Connection connection;
  const bool listening = bind(listener, generic, size) == 0 && listen(listener, 1) == 0 &&
                         getsockname(listener, generic, &size) == 0;
  if (listening) {
    connection.here = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection.here, generic, size) == 0) {
      connection.there = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    }
  }
  close(listener);
  if (connection.there < 0) return absl::UnavailableError("no TCP connection over loopback");
  return connection;
}

bool SendAll(int socket_, std::uint64_t bytes) {
  std::vector<char> buffer(kBuffer, 'x');
  while (bytes > 0) {
    const ssize_t sent =
        send(socket_, buffer.data(), std::min<std::uint64_t>(bytes, kBuffer), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes -= static_cast<std::uint64_t>(sent);
  }
  return true;
}

bool ReceiveAll(int socket_, std::uint64_t bytes) {
  std::vector<char> buffer(kBuffer);
  while (bytes > 0) {
    const ssize_t got = recv(socket_, buffer.data(), std::min<std::uint64_t>(bytes, kBuffer), 0);
    if (got <= 0) return false;
    bytes -= static_cast<std::uint64_t>(got);
  }
  return true;
}

}  // namespace

absl::StatusOr<double> LoopbackFloor(std::uint64_t bytes, int sites) {
  std::vector<Connection> connections;
  for (int i = 0; i < sites; ++i) {
    auto connection = Connect();
    if (!connection.ok()) return connection.status();
    connections.push_back(*connection);
  }
  std::atomic<bool> ok = true;
  const auto began = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (const Connection& c : connections) {
      threads.emplace_back([&ok, c, bytes] {
        if (!SendAll(c.here, bytes) || !ReceiveAll(c.here, bytes)) ok = false;
      });
      threads.emplace_back([&ok, c, bytes] {
        if (!ReceiveAll(c.there, bytes) || !SendAll(c.there, bytes)) ok = false;
      });
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  for (const Connection& c : connections) {
    close(c.here);
    close(c.there);
  }
  if (!ok) return absl::DataLossError("a loopback connection broke");
  return seconds;
}

}  // namespace consilium::experiments

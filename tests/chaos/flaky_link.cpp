#include "tests/chaos/flaky_link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace consilium::chaos {
namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::size_t kMostPieces = 64;  // on the way, in one direction of a connection
constexpr int kTickMs = 5;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

void SendAtOnce(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FlakyLink>> FlakyLink::Open(int upstream_port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 64) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    const absl::Status status =
        absl::UnavailableError(StrCat("no port of loopback to listen on: ", strerror(errno)));
    if (listener >= 0) close(listener);
    return status;
  }
  return std::unique_ptr<FlakyLink>(
      new FlakyLink(listener, ntohs(address.sin_port), upstream_port));
}

FlakyLink::FlakyLink(int listener, int port, int upstream_port)
    : listener_(listener), port_(port), upstream_port_(upstream_port) {
  thread_ = std::thread([this] { Run(); });
}

FlakyLink::~FlakyLink() {
  stopping_ = true;
  thread_.join();
  for (Connection& connection : open_) Break(connection);
  close(listener_);
}

void FlakyLink::Run() {
  while (!stopping_) {
    const Mood mood = mood_;
    if (reset_.exchange(false) || mood == Mood::kRefusing) {
      for (Connection& connection : open_) Break(connection);
      open_.clear();
    }
    std::vector<pollfd> watched = {{listener_, POLLIN, 0}};
    for (Connection& c : open_) {
      for (int from = 0; from < 2; ++from) {
        const Direction& in = c.directions[from];
        const Direction& out = c.directions[1 - from];
        short events = 0;
        if (!in.ended && in.on_the_way.size() < kMostPieces) events |= POLLIN;
        if (!out.on_the_way.empty() && out.on_the_way.front().due <= Clock::now()) {
          events |= POLLOUT;
        }
        watched.push_back({c.ends[from], events, 0});
      }
    }
    if (mood == Mood::kSilent) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kTickMs));
      if (poll(watched.data(), 1, 0) > 0) Accept();
      continue;
    }
    poll(watched.data(), watched.size(), kTickMs);
    std::size_t i = 1;
    for (Connection& c : open_) {
      for (int from = 0; from < 2; ++from, ++i) {
        if (watched[i].revents & (POLLIN | POLLHUP | POLLERR)) Receive(c, from);
      }
      for (int from = 0; from < 2; ++from) Deliver(c, from, Clock::now());
      if (c.broken || (c.directions[0].closed && c.directions[1].closed)) Break(c);
    }
    open_.remove_if([](const Connection& c) { return c.ends[0] < 0; });
    if (watched[0].revents & POLLIN) Accept();
  }
}

void FlakyLink::Accept() {
  const int site = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (site < 0) return;
  Connection connection;
  connection.ends[0] = site;
  connection.ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(upstream_port_);
  // On loopback this ends at once, either way.
  if (mood_ == Mood::kRefusing ||
      connect(connection.ends[1], reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0) {
    return Break(connection);
  }
  SendAtOnce(connection.ends[0]);
  SendAtOnce(connection.ends[1]);
  ++connections_;
  open_.push_back(std::move(connection));
}

void FlakyLink::Receive(Connection& connection, int from) {
  Direction& direction = connection.directions[from];
  if (direction.ended || direction.on_the_way.size() >= kMostPieces) return;
  Bytes bytes(kPieceBytes);
  const ssize_t size = recv(connection.ends[from], bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0) {
    connection.broken |= errno != EAGAIN && errno != EINTR;
    return;
  }
  if (size == 0) {
    direction.ended = true;
    return;
  }
  bytes.resize(static_cast<std::size_t>(size));
  direction.on_the_way.push_back(
      {Clock::now() + std::chrono::microseconds(delay_us_.load()), std::move(bytes)});
}

void FlakyLink::Deliver(Connection& connection, int from, Clock::time_point now) {
  Direction& direction = connection.directions[from];
  const int to = connection.ends[1 - from];
  while (!connection.broken && !direction.on_the_way.empty() &&
         direction.on_the_way.front().due <= now) {
    Piece& piece = direction.on_the_way.front();
    const ssize_t sent = send(to, piece.bytes.data() + piece.sent, piece.bytes.size() - piece.sent,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      connection.broken = errno != EAGAIN && errno != EINTR;
      return;
    }
    piece.sent += static_cast<std::size_t>(sent);
    if (piece.sent == piece.bytes.size()) direction.on_the_way.pop_front();
  }
  if (direction.ended && direction.on_the_way.empty() && !direction.closed) {
    shutdown(to, SHUT_WR);
    direction.closed = true;
  }
}

void FlakyLink::Break(Connection& connection) {
  for (int& end : connection.ends) {
    if (end < 0) continue;
    const linger at_once{1, 0};
    setsockopt(end, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(end);
    end = -1;
  }
}

}  // namespace consilium::chaos

#include "tests/soak/rough_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>

#include "common/base/status.h"

namespace consilium::soak {
namespace {

using std::chrono::steady_clock;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

int Connect(int port) {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (made >= 0 && connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return made;
  if (made >= 0) close(made);
  return -1;
}

void SendAll(int socket, std::string_view bytes) {
  (void)!send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace

CuttingProxy::CuttingProxy(int upstream_port, std::uint64_t seed, Duration between_cuts)
    : upstream_port_(upstream_port), random_(seed), between_cuts_(between_cuts) {}

absl::Status CuttingProxy::Start() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 256) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return absl::UnavailableError("the proxy has no port");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Carry(); });
  return absl::OkStatus();
}

CuttingProxy::~CuttingProxy() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  for (const Link& link : links_) Reset(link);
  if (listener_ >= 0) close(listener_);
}

void CuttingProxy::Carry() {
  auto next_cut = steady_clock::now() + between_cuts_;
  while (!stopping_) {
    std::vector<pollfd> ready = {{listener_, POLLIN, 0}};
    for (const Link& link : links_) {
      ready.push_back({link.site, POLLIN, 0});
      ready.push_back({link.coordinator, POLLIN, 0});
    }
    poll(ready.data(), ready.size(), /*timeout_ms=*/50);
    std::size_t at = 1;
    for (auto link = links_.begin(); link != links_.end(); at += 2) {
      const bool open = (ready[at].revents == 0 || Pass(link->site, link->coordinator)) &&
                        (ready[at + 1].revents == 0 || Pass(link->coordinator, link->site));
      if (!open) Reset(*link);
      link = open ? std::next(link) : links_.erase(link);
    }
    if (steady_clock::now() >= next_cut && !links_.empty()) {
      next_cut = steady_clock::now() + between_cuts_;
      const auto cut = std::next(links_.begin(), static_cast<long>(random_.Below(links_.size())));
      Reset(*cut);
      links_.erase(cut);
      ++cuts_;
    }
    if (ready[0].revents != 0) Accept();
  }
}

void CuttingProxy::Accept() {
  Link link;
  link.site = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (link.site < 0) return;
  link.coordinator = Connect(upstream_port_);
  if (link.coordinator >= 0) {
    links_.push_back(link);
  } else {
    close(link.site);
  }
}

bool CuttingProxy::Pass(int from, int to) {
  std::array<char, 64 << 10> bytes;
  const ssize_t size = recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN;
  for (ssize_t sent = 0; sent < size;) {
    const ssize_t n =
        send(to, bytes.data() + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += n;
  }
  return size > 0;
}

void CuttingProxy::Reset(const Link& link) {
  const linger now{1, 0};
  for (const int side : {link.site, link.coordinator}) {
    setsockopt(side, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(side);
  }
}

HalfOpenConnections::HalfOpenConnections(int port, std::uint64_t seed, int at_once)
    : port_(port), at_once_(at_once), random_(seed) {
  thread_ = std::thread([this] { Trouble(); });
}

HalfOpenConnections::~HalfOpenConnections() {
  stopping_ = true;
  thread_.join();
}

void HalfOpenConnections::Trouble() {
  // The beginning of a ClientHello that announces more than follows; no TLS at all.
  const std::string half("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  std::list<int> open;
  while (!stopping_) {
    const int made = Connect(port_);
    if (made >= 0) {
      open.push_back(made);
      ++opened_;
      const std::uint64_t kind = random_.Below(3);
      if (kind == 1) SendAll(made, half);
      if (kind == 2) SendAll(made, "GET / HTTP/1.1\r\n\r\n");
    }
    if (open.size() > static_cast<std::size_t>(at_once_)) {
      close(open.front());
      open.pop_front();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random_.Below(60)));
  }
  for (const int socket : open) close(socket);
}

}  // namespace consilium::soak

#include "coordinator/service_listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace consilium::coordinator {
namespace {

constexpr int kWaiting = 4096;  // connections that nobody accepted yet
constexpr auto kNoFilePause = std::chrono::milliseconds(20);
constexpr auto kBetweenWarnings = std::chrono::seconds(10);
constexpr rlim_t kFilesWanted = 1 << 20;

// "192.0.2.1", and of IPv6 the network that one customer has: its first 64 bits.
std::string Host(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    in6_addr host = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(&host)) std::memset(host.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &host, text, sizeof text);
  }
  return text;
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return -1;
}

std::optional<std::string> PeerOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return Host(address);
}

// The peer is told at once, and nothing lingers here.
void Refuse(int connection) {
  const linger now{1, 0};
  setsockopt(connection, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(connection);
}

int OpenReserve() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

int Listen(const addrinfo& address) {
  const int listener = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return -1;
  const int yes = 1, no = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address.ai_family == AF_INET6) {
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  }
  if (bind(listener, address.ai_addr, address.ai_addrlen) == 0 && listen(listener, kWaiting) == 0) {
    return listener;
  }
  close(listener);
  return -1;
}

}  // namespace

int RaiseFileLimit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 1024;
  const rlim_t wanted = std::min(files.rlim_max, kFilesWanted);
  if (files.rlim_cur < wanted) {
    files.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) getrlimit(RLIMIT_NOFILE, &files);
  }
  return static_cast<int>(std::min(files.rlim_cur, kFilesWanted));
}

absl::StatusOr<std::unique_ptr<ServiceListener>> ServiceListener::Open(const std::string& address,
                                                                       int most_connections) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        StrCat("cannot listen on \"", address, "\": give host:port, as 0.0.0.0:7443"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int listener = -1;
  if (getaddrinfo(host.empty() ? nullptr : host.c_str(), address.c_str() + colon + 1, &hints,
                  &found) == 0) {
    for (const addrinfo* a = found; a != nullptr && listener < 0; a = a->ai_next) {
      listener = Listen(*a);
    }
    freeaddrinfo(found);
  }
  if (listener < 0) {
    return absl::UnavailableError(
        StrCat("cannot listen on ", address,
               ": the port is in use or the address is not of this "
               "machine; stop the other program (`ss -ltnp` names it) or give --listen another"));
  }
  return std::unique_ptr<ServiceListener>(
      new ServiceListener(listener, PortOf(listener), most_connections));
}

ServiceListener::ServiceListener(int listener, int port, int most)
    : listener_(listener),
      port_(port),
      most_(most),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reserve_(OpenReserve()) {}

ServiceListener::~ServiceListener() {
  Stop();
  close(listener_);
  for (const int descriptor : {wake_, reserve_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

void ServiceListener::Start(std::function<void(int, int)> take) {
  take_ = std::move(take);
  accepting_ = std::thread([this] { Accept(); });
}

void ServiceListener::Stop() {
  if (!accepting_.joinable()) return;
  eventfd_write(wake_, 1);
  accepting_.join();
}

void ServiceListener::Accept() {
  pollfd ready[2] = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
  for (;;) {
    if (poll(ready, 2, /*timeout_ms=*/-1) < 0 && errno != EINTR) {
      std::this_thread::sleep_for(kNoFilePause);
    }
    if (ready[1].revents != 0) return;
    // So many, and then a look at whether to stop.
    for (int i = 0; i < kWaiting && AcceptOne(); ++i) continue;
  }
}

bool ServiceListener::AcceptOne() {
  const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection >= 0) {
    Admit(connection);
    return true;
  }
  switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      TurnAwayWithoutFiles();
      return false;
    case EAGAIN:
      return false;
    default:
      return true;  // it went away while it waited
  }
}

void ServiceListener::Admit(int connection) {
  const std::optional<std::string> peer = PeerOf(connection);
  if (!peer) {
    close(connection);
    return;
  }
  if (!IsRoomFor(*peer)) {
    Refuse(connection);
    return;
  }
  ++open_[*peer];
  ++total_;
  take_(listener_, connection);
}

// What was closed since the last count is not known; so it is counted again before anybody is
// turned away, at most ten times a second.
bool ServiceListener::IsRoomFor(const std::string& address) {
  static constexpr auto kBetweenCounts = std::chrono::milliseconds(100);
  const auto fits = [&] { return total_ < most_ && open_[address] < (most_ + 1) / 2; };
  if (fits()) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now - counted_ >= kBetweenCounts) {
    counted_ = now;
    Count();
    if (fits()) return true;
  }
  if (now - warned_ >= kBetweenWarnings) {
    warned_ = now;
    Log(LogLevel::kWarning, "connections_refused",
        {{"open", total_}, {"most", most_}, {"of_this_address", open_[address]}});
  }
  return false;
}

// The connections are the process's sockets with our port on this side.
void ServiceListener::Count() {
  open_.clear();
  total_ = 0;
  DIR* files = opendir("/proc/self/fd");
  if (files == nullptr) return;
  while (const dirent* file = readdir(files)) {
    const int descriptor = std::atoi(file->d_name);
    if (descriptor <= 2 || descriptor == listener_ || PortOf(descriptor) != port_) continue;
    if (const auto peer = PeerOf(descriptor)) {
      ++open_[*peer];
      ++total_;
    }
  }
  closedir(files);
}

void ServiceListener::TurnAwayWithoutFiles() {
  const auto now = std::chrono::steady_clock::now();
  if (now - warned_ >= kBetweenWarnings) {
    warned_ = now;
    Log(LogLevel::kError, "no_files_left",
        {{"text", "connections are turned away; raise the limit of open files (LimitNOFILE)"}});
  }
  if (reserve_ >= 0) {
    close(reserve_);
    if (const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        connection >= 0) {
      Refuse(connection);
    }
  }
  reserve_ = OpenReserve();
  std::this_thread::sleep_for(kNoFilePause);
}

}  // namespace consilium::coordinator

#include <netdb.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/base/http_proxy.h"
#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/crypto/pem.h"

namespace consilium::crypto {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
constexpr std::size_t kMaxProxyHeadBytes = 16 << 10;

using OwnedAddresses = std::unique_ptr<addrinfo, FreeWith<freeaddrinfo>>;

struct Socket {
  int descriptor = -1;
  Socket() = default;
  explicit Socket(int fd) : descriptor(fd) {}
  Socket(Socket&& other) noexcept : descriptor(std::exchange(other.descriptor, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor, other.descriptor);
    return *this;
  }
  ~Socket() {
    if (descriptor >= 0) close(descriptor);
  }
};

absl::Status TimedOut(const std::string& address) {
  return absl::UnavailableError(
      StrCat(address, " did not answer in time: check the address, the network and the firewall"));
}

// Until the descriptor is ready; false when the deadline passes first.
bool WaitFor(int descriptor, short events, SteadyTime deadline) {
  while (true) {
    const double left_ms =
        std::chrono::duration<double, std::milli>(deadline - std::chrono::steady_clock::now())
            .count();
    if (left_ms <= 0) return false;
    pollfd waiting{descriptor, events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::ceil(std::min(left_ms, 1e6))));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// Zero or an errno value.
int ConnectOne(const addrinfo& target, SteadyTime deadline, Socket& connected) {
  Socket socket(::socket(target.ai_family, target.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                         target.ai_protocol));
  if (socket.descriptor < 0) return errno;
  if (connect(socket.descriptor, target.ai_addr, target.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno;
    if (!WaitFor(socket.descriptor, POLLOUT, deadline)) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    if (error != 0) return error;
  }
  connected = std::move(socket);
  return 0;
}

// Zero or an errno value.
int SendAll(const Socket& socket, std::string_view bytes, SteadyTime deadline) {
  while (!bytes.empty()) {
    const ssize_t n = send(socket.descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EAGAIN && errno != EINTR) {
      return errno;
    } else if (!WaitFor(socket.descriptor, POLLOUT, deadline)) {
      return ETIMEDOUT;
    }
  }
  return 0;
}

// The head of a proxy's answer, up to and with the empty line; empty when none came. Byte by byte,
// because what follows is TLS.
std::string ReceiveHead(const Socket& socket, SteadyTime deadline) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    if (head.size() > kMaxProxyHeadBytes || !WaitFor(socket.descriptor, POLLIN, deadline)) {
      return "";
    }
    char c;
    const ssize_t n = recv(socket.descriptor, &c, 1, 0);
    if (n == 1) head += c;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return "";
  }
  return head;
}

// RFC 9110 section 9.3.6.
absl::Status AskProxy(const Socket& socket, const HttpProxy& proxy, const std::string& address,
                      SteadyTime deadline) {
  const std::string name = StrCat("the proxy ", proxy.address.host, ":", proxy.address.port);
  const std::string authorization =
      proxy.authorization.empty() ? ""
                                  : StrCat("Proxy-Authorization: ", proxy.authorization, "\r\n");
  const std::string request =
      StrCat("CONNECT ", address, " HTTP/1.1\r\nHost: ", address, "\r\n", authorization, "\r\n");
  if (SendAll(socket, request, deadline) != 0) return TimedOut(name);
  const std::string head = ReceiveHead(socket, deadline);
  if (head.empty()) {
    return absl::UnavailableError(StrCat(
        name, " did not answer CONNECT: is it an HTTP proxy, and does it allow ", address, "?"));
  }
  const bool http = head.starts_with("HTTP/1.") && head.size() > 12;
  if (http && head.substr(8, 2) == " 2") return absl::OkStatus();
  return absl::UnavailableError(
      StrCat(name, " does not connect to ", address, ": it answered ",
             http ? head.substr(9, 3) : std::string("something that is not HTTP"),
             "; ask the network's operators to allow it"));
}

absl::StatusOr<OwnedAddresses> Resolve(const HostPort& parts, const std::string& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        StrCat("cannot find the host of ", address, ": ", gai_strerror(error)));
  }
  return OwnedAddresses(found);
}

absl::StatusOr<Socket> ConnectToAny(const addrinfo* targets, const std::string& address,
                                    SteadyTime deadline) {
  int last_error = ETIMEDOUT;
  for (const addrinfo* target = targets; target != nullptr; target = target->ai_next) {
    Socket socket;
    last_error = ConnectOne(*target, deadline, socket);
    if (last_error == 0) return socket;
  }
  if (last_error == ETIMEDOUT) return TimedOut(address);
  return absl::UnavailableError(StrCat("cannot connect to ", address, ": ",
                                       std::strerror(last_error),
                                       "; is the coordinator running there?"));
}

absl::StatusOr<OwnedSslContext> UntrustingContext() {
  OwnedSslContext context(SSL_CTX_new(TLS_client_method()));
  constexpr std::array<unsigned char, 3> kAlpn = {2, 'h', '2'};
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_alpn_protos(context.get(), kAlpn.data(), kAlpn.size()) != 0) {
    return OpenSslError("set up TLS");
  }
  // The chain is compared with the fingerprint of the token instead.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context;
}

bool IsNumericAddress(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const bool numeric = getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0;
  if (numeric) freeaddrinfo(found);
  return numeric;
}

// TLS over memory BIOs: OpenSSL's socket BIO writes without MSG_NOSIGNAL, so that a peer that hangs
// up would end the process with SIGPIPE.
class Handshake {
 public:
  static absl::StatusOr<Handshake> Begin(SSL_CTX* context, const std::string& host) {
    Handshake handshake;
    handshake.ssl_.reset(SSL_new(context));
    BIO* incoming = BIO_new(BIO_s_mem());
    BIO* outgoing = BIO_new(BIO_s_mem());
    if (handshake.ssl_ == nullptr || incoming == nullptr || outgoing == nullptr) {
      BIO_free(incoming);
      BIO_free(outgoing);
      return OpenSslError("set up TLS");
    }
    SSL_set_bio(handshake.ssl_.get(), incoming, outgoing);
    if (!IsNumericAddress(host) &&
        SSL_set_tlsext_host_name(handshake.ssl_.get(), host.c_str()) != 1) {
      return OpenSslError("name the server in TLS");
    }
    handshake.incoming_ = incoming;
    handshake.outgoing_ = outgoing;
    return handshake;
  }

  absl::Status Run(const Socket& socket, const std::string& address, SteadyTime deadline) {
    while (true) {
      ERR_clear_error();
      const int result = SSL_connect(ssl_.get());
      const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
      RETURN_IF_ERROR(SendPending(socket, address, deadline));
      if (result == 1) return absl::OkStatus();
      if (error != SSL_ERROR_WANT_READ) return NotTls(address);
      RETURN_IF_ERROR(Receive(socket, address, deadline));
    }
  }

  SSL* ssl() const { return ssl_.get(); }

 private:
  static absl::Status NotTls(const std::string& address) {
    ERR_clear_error();
    return absl::UnavailableError(
        StrCat(address, " answers, but the TLS handshake failed: is it the coordinator's port?"));
  }

  absl::Status SendPending(const Socket& socket, const std::string& address, SteadyTime deadline) {
    std::array<char, 4096> piece;
    int size = 0;
    while ((size = BIO_read(outgoing_, piece.data(), piece.size())) > 0) {
      const std::string_view text(piece.data(), static_cast<std::size_t>(size));
      if (const int error = SendAll(socket, text, deadline); error != 0) {
        return error == ETIMEDOUT ? TimedOut(address) : NotTls(address);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Receive(const Socket& socket, const std::string& address, SteadyTime deadline) {
    std::array<char, 4096> piece;
    if (!WaitFor(socket.descriptor, POLLIN, deadline)) return TimedOut(address);
    const ssize_t n = recv(socket.descriptor, piece.data(), piece.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return absl::OkStatus();
    if (n <= 0) return NotTls(address);
    const int size = static_cast<int>(n);
    if (BIO_write(incoming_, piece.data(), size) != size) return OpenSslError("take in TLS data");
    return absl::OkStatus();
  }

  OwnedSsl ssl_;
  BIO* incoming_ = nullptr;  // both owned by ssl_
  BIO* outgoing_ = nullptr;
};

bool HasFingerprint(const X509* certificate, const Digest& wanted) {
  Digest digest;
  unsigned size = 0;
  return X509_digest(certificate, EVP_sha256(), digest.bytes.data(), &size) == 1 &&
         size == digest.bytes.size() && digest == wanted;
}

absl::StatusOr<std::string> FindAuthority(const SSL* ssl, const Digest& fingerprint,
                                          const std::string& address) {
  X509* leaf = SSL_get0_peer_certificate(ssl);
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; leaf != nullptr && i < sk_X509_num(chain); ++i) {
    X509* candidate = sk_X509_value(chain, i);
    if (!HasFingerprint(candidate, fingerprint)) continue;
    const bool signed_leaf = X509_check_ca(candidate) == 1 &&
                             X509_check_issued(candidate, leaf) == X509_V_OK &&
                             X509_verify(leaf, X509_get0_pubkey(candidate)) == 1;
    if (signed_leaf) return ToPem(candidate);
    ERR_clear_error();
    return absl::UnauthenticatedError(
        StrCat(address,
               " shows the authority's certificate, which did not sign its own: someone "
               "may stand between; ask the coordinator's operator"));
  }
  return absl::UnauthenticatedError(StrCat(
      address, " shows no certificate with the authority's fingerprint ", fingerprint.Short(),
      "...: the token is of another coordinator, or someone stands between"));
}

}  // namespace

absl::StatusOr<std::string> FetchAuthority(const std::string& address, const Digest& authority,
                                           double timeout_s) {
  if (!(timeout_s > 0 && timeout_s <= 3600)) {
    return absl::InvalidArgumentError(
        StrCat("a timeout is above 0 and at most 3600 seconds, not ", timeout_s));
  }
  ASSIGN_OR_RETURN(const HostPort parts, ParseHostPort(address));
  ASSIGN_OR_RETURN(const OwnedSslContext context, UntrustingContext());
  ASSIGN_OR_RETURN(Handshake handshake, Handshake::Begin(context.get(), parts.host));
  ASSIGN_OR_RETURN(const std::optional<HttpProxy> proxy, ProxyFor(parts.host));
  const HostPort& dialled = proxy.has_value() ? proxy->address : parts;
  const std::string name =
      proxy.has_value() ? StrCat("the proxy ", dialled.host, ":", dialled.port) : address;
  ASSIGN_OR_RETURN(const OwnedAddresses targets, Resolve(dialled, name));
  const SteadyTime deadline = std::chrono::steady_clock::now() + FromSeconds(timeout_s);
  ASSIGN_OR_RETURN(const Socket socket, ConnectToAny(targets.get(), name, deadline));
  if (proxy.has_value()) RETURN_IF_ERROR(AskProxy(socket, *proxy, address, deadline));
  RETURN_IF_ERROR(handshake.Run(socket, address, deadline));
  return FindAuthority(handshake.ssl(), authority, address);
}

}  // namespace consilium::crypto

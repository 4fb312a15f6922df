#include "datasets/pacs/transport.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmtls/tlscond.h"
#include "dcmtk/dcmtls/tlslayer.h"

#include "common/base/status.h"
#include "datasets/dicom/library.h"

namespace consilium::datasets::pacs {
namespace {

constexpr int kPollMs = 100;

// Writing to a peer that closed is an error to return, not a signal that ends the program.
void IgnoreBrokenPipes() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction now {};
    if (sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) {
      signal(SIGPIPE, SIG_IGN);
    }
  });
}

constexpr DcmTLSSecurityProfile kProfile = TSP_Profile_BCP195_ND;

// Since DCMTK 3.6.9 a certificate is judged by the profile as it is read.
template <class Layer>
OFCondition SetCertificate(Layer& layer, const char* file) {
  if constexpr (requires { layer.setCertificateFile(file, DCF_Filetype_PEM, kProfile); }) {
    return layer.setCertificateFile(file, DCF_Filetype_PEM, kProfile);
  } else {
    return layer.setCertificateFile(file, DCF_Filetype_PEM);
  }
}

absl::Status Unusable(std::string_view what, const fs::path& file) {
  return absl::InvalidArgumentError(
      StrCat(what, " cannot be used: ", file.filename().string(),
             " is not there, not readable, or not PEM of the right kind"));
}

class SocketCloser {
 public:
  explicit SocketCloser(int socket) : socket_(socket) {}
  ~SocketCloser() {
    if (socket_ >= 0) close(socket_);
  }
  SocketCloser(const SocketCloser&) = delete;
  SocketCloser& operator=(const SocketCloser&) = delete;
  int get() const { return socket_; }
  int Release() { return std::exchange(socket_, -1); }

 private:
  int socket_;
};

// Blocking, but no call lasts long: deadlines and cancelling are looked at in between.
void SetShortWaits(int socket) {
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK);
  const timeval wait{0, kPollMs * 1000};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(socket, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
}

absl::StatusOr<int> ConnectTo(const addrinfo& address, Deadline deadline,
                              const Cancelled& cancelled) {
  SocketCloser socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0) return absl::UnavailableError(std::strerror(errno));
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0 && errno != EINPROGRESS) {
    return absl::UnavailableError(std::strerror(errno));
  }
  for (;;) {
    pollfd waiting{socket.get(), POLLOUT, 0};
    if (poll(&waiting, 1, kPollMs) > 0) break;
    if (cancelled && cancelled()) return absl::CancelledError("interrupted");
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError("no answer");
    }
  }
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return absl::UnavailableError(std::strerror(error));
  return socket.Release();
}

absl::StatusOr<int> ConnectSocket(const HostPort& address, Deadline deadline,
                                  const Cancelled& cancelled) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (failure != 0) {
    return absl::UnavailableError(
        StrCat("the host ", address.host, " is not known: ", gai_strerror(failure)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  absl::Status last = absl::UnavailableError("no address");
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    absl::StatusOr<int> socket = ConnectTo(*one, deadline, cancelled);
    if (socket.ok()) return socket;
    last = socket.status();
    if (absl::IsCancelled(last)) return last;
  }
  return absl::Status(last.code(), StrCat("cannot reach ", address.host, " port ", address.port,
                                          ": ", last.message(), ". Check host, port and firewall"));
}

}  // namespace

Transport::Transport() = default;
Transport::~Transport() = default;

std::shared_ptr<Transport> Transport::Plain() {
  IgnoreBrokenPipes();
  std::shared_ptr<Transport> transport(new Transport);
  transport->layer_ = std::make_unique<DcmTransportLayer>();
  return transport;
}

absl::StatusOr<std::shared_ptr<Transport>> Transport::Tls(const TlsFiles& files, TlsSide side) {
  IgnoreBrokenPipes();
  dicom::InitialiseLibrary();
  if (files.authority.empty()) {
    return absl::InvalidArgumentError(
        "TLS needs the authority that signed the other side's certificate (--tls-authority)");
  }
  if (files.certificate.empty() != files.private_key.empty()) {
    return absl::InvalidArgumentError(
        "a certificate and its private key go together (--tls-certificate, --tls-key)");
  }
  const bool listens = side == TlsSide::kListens;
  if (listens && files.certificate.empty()) {
    return absl::InvalidArgumentError(
        "a listener with TLS needs a certificate and key of its own (--tls-certificate, "
        "--tls-key)");
  }
  std::shared_ptr<Transport> transport(new Transport);
  transport->secure_ = true;
  auto layer = std::make_unique<DcmTLSTransportLayer>(listens ? NET_ACCEPTOR : NET_REQUESTOR,
                                                      nullptr, OFTrue);
  if (!files.certificate.empty()) {
    if (layer->setPrivateKeyFile(files.private_key.c_str(), DCF_Filetype_PEM).bad()) {
      return Unusable("the private key", files.private_key);
    }
    if (SetCertificate(*layer, files.certificate.c_str()).bad()) {
      return Unusable("the certificate", files.certificate);
    }
    if (!layer->checkPrivateKeyMatchesCertificate()) {
      return absl::InvalidArgumentError("the private key is not that of the certificate");
    }
  }
  if (layer->addTrustedCertificateFile(files.authority.c_str(), DCF_Filetype_PEM).bad()) {
    return Unusable("the authority's certificate", files.authority);
  }
  if (layer->setTLSProfile(kProfile).bad() || layer->activateCipherSuites().bad()) {
    return absl::InternalError("the TLS library does not offer the cipher suites of BCP 195");
  }
  layer->setCertificateVerification(DCV_requireCertificate);
  transport->layer_ = std::move(layer);
  return transport;
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Accepted(
    int socket, const std::shared_ptr<Transport>& transport, Cancelled cancelled) {
  SocketCloser owned(socket);
  std::unique_ptr<Connection> connection(new Connection);
  connection->stream_.reset(
      transport->layer_->createConnection(socket, transport->secure() ? OFTrue : OFFalse));
  if (!connection->stream_) return absl::ResourceExhaustedError("no memory for a connection");
  SetShortWaits(socket);  // after DCMTK has set its own
  connection->socket_ = owned.Release();
  connection->transport_ = transport;
  connection->side_ = TlsSide::kListens;
  connection->cancelled_ = std::move(cancelled);
  return connection;
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Connect(
    const HostPort& address, const std::shared_ptr<Transport>& transport, Duration timeout,
    Cancelled cancelled) {
  const Deadline deadline = After(timeout);
  ASSIGN_OR_RETURN(const int socket, ConnectSocket(address, deadline, cancelled));
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Accepted(socket, transport, std::move(cancelled)));
  connection->side_ = TlsSide::kConnects;
  RETURN_IF_ERROR(connection->Handshake(deadline));
  return connection;
}

Connection::~Connection() {
  {
    const std::lock_guard lock(socket_mutex_);
    socket_ = -1;
  }
  stream_.reset();
}

void Connection::Shutdown() {
  const std::lock_guard lock(socket_mutex_);
  if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
}

absl::Status Connection::CheckGoingOn(Deadline deadline) const {
  if (cancelled_ && cancelled_()) return absl::CancelledError("interrupted");
  if (std::chrono::steady_clock::now() >= deadline) {
    return absl::DeadlineExceededError("the other side did not answer in time");
  }
  return absl::OkStatus();
}

absl::Status Connection::Handshake(Deadline deadline) {
  if (!transport_->secure()) return absl::OkStatus();
  for (;;) {
    const OFCondition made = side_ == TlsSide::kListens ? stream_->serverSideHandshake()
                                                        : stream_->clientSideHandshake();
    if (made.good()) return absl::OkStatus();
    if (made != DCMTLS_EC_TLSReadOperationDidNotComplete &&
        made != DCMTLS_EC_TLSWriteOperationDidNotComplete) {
      return absl::UnauthenticatedError(
          StrCat("no TLS connection: ", made.text(),
                 ". Either the other side speaks no TLS on this port, or its certificate was not "
                 "signed by the authority given (--tls-authority), or it asks for a certificate of "
                 "ours (--tls-certificate, --tls-key)"));
    }
    RETURN_IF_ERROR(CheckGoingOn(deadline));
  }
}

absl::Status Connection::Read(std::span<std::uint8_t> out, Deadline deadline) {
  while (!out.empty()) {
    errno = 0;
    const std::size_t wanted = std::min<std::size_t>(out.size(), 1 << 20);
    const ssize_t count = transport_->secure() ? stream_->read(out.data(), wanted)
                                               : recv(socket_, out.data(), wanted, 0);
    if (count > 0) {
      out = out.subspan(static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      return absl::UnavailableError("the other side closed the connection");
    }
    if (!out.empty()) RETURN_IF_ERROR(CheckGoingOn(deadline));
  }
  return absl::OkStatus();
}

absl::Status Connection::Write(ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    errno = 0;
    const std::size_t wanted = std::min<std::size_t>(bytes.size(), 1 << 20);
    const ssize_t count = transport_->secure()
                              ? stream_->write(const_cast<std::uint8_t*>(bytes.data()), wanted)
                              : send(socket_, bytes.data(), wanted, MSG_NOSIGNAL);
    if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      return absl::UnavailableError("the other side closed the connection");
    }
    if (!bytes.empty()) RETURN_IF_ERROR(CheckGoingOn(deadline));
  }
  return absl::OkStatus();
}

}  // namespace consilium::datasets::pacs

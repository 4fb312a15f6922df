#include "datasets/pacs/storage_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/log.h"
#include "common/base/status.h"
#include "datasets/pacs/storage_scp.h"

namespace consilium::datasets::pacs {
namespace {

constexpr Duration kGrace = std::chrono::seconds(5);

std::int64_t Ticks(Deadline time) { return time.time_since_epoch().count(); }
std::int64_t NowTicks() { return Ticks(std::chrono::steady_clock::now()); }

// "10.1.2.3" also where the socket says "::ffff:10.1.2.3".
std::string AddressOf(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST] = "";
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), nullptr, 0,
              NI_NUMERICHOST);
  const std::string_view text = host;
  return std::string(text.starts_with("::ffff:") ? text.substr(7) : text);
}

// The transfer syntax of a presentation context that we like best; empty: none that we take.
std::string Choose(const PresentationContext& context) {
  for (const std::string& syntax : AcceptedTransferSyntaxes()) {
    if (std::find(context.transfer_syntaxes.begin(), context.transfer_syntaxes.end(), syntax) !=
        context.transfer_syntaxes.end()) {
      return syntax;
    }
  }
  return "";
}

AssociateAccept AnswerTo(const AssociateRequest& request) {
  AssociateAccept accept;
  accept.called = request.called;
  accept.calling = request.calling;
  for (const PresentationContext& context : request.contexts) {
    AcceptedContext answer{context.id, 0, Choose(context)};
    if (answer.transfer_syntax.empty()) {
      answer.result = 4;
      answer.transfer_syntax = kImplicitLittleEndian;
    }
    if (context.abstract_syntax != kVerification && !IsStorageClass(context.abstract_syntax)) {
      answer.result = 3;
    }
    accept.contexts.push_back(std::move(answer));
  }
  return accept;
}

}  // namespace

struct StorageListener::Session {
  std::string peer;
  std::string calling;            // once the association stands
  std::atomic<bool> busy{false};  // between a request and its answer
  std::atomic<bool> done{false};
  std::atomic<std::int64_t> established_by{0};  // 0: the association stands
  std::mutex connection_mutex;
  Connection* connection = nullptr;  // the session's thread owns it
  std::unique_ptr<Connection> pending;
  std::thread thread;
};

StorageListener::StorageListener(ListenerOptions options, InstanceStore& store)
    : options_(std::move(options)), store_(store) {}

absl::StatusOr<std::unique_ptr<StorageListener>> StorageListener::Start(
    const ListenerOptions& options, InstanceStore& store) {
  RETURN_IF_ERROR(CheckAeTitle(options.ae_title));
  if (options.calling_ae_titles.empty()) {
    return absl::InvalidArgumentError(
        "a listener needs to know who may send: name the AE titles (--allow-ae)");
  }
  for (const std::string& title : options.calling_ae_titles) RETURN_IF_ERROR(CheckAeTitle(title));
  std::unique_ptr<StorageListener> listener(new StorageListener(options, store));
  listener->transport_ = Transport::Plain();
  if (options.tls) {
    ASSIGN_OR_RETURN(listener->transport_, Transport::Tls(*options.tls, TlsSide::kListens));
  }
  RETURN_IF_ERROR(listener->Bind());
  listener->accepting_ = std::thread([raw = listener.get()] { raw->AcceptLoop(); });
  return listener;
}

StorageListener::~StorageListener() { Stop(); }

absl::Status StorageListener::Bind() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const std::string port = StrCat(options_.port);
  if (getaddrinfo(options_.bind.c_str(), port.c_str(), &hints, &found) != 0) {
    return absl::InvalidArgumentError(
        StrCat("\"", options_.bind, "\" is not an IP address of this machine (--bind)"));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  socket_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(socket_, found->ai_addr, found->ai_addrlen) != 0 || listen(socket_, 64) != 0) {
    return absl::UnavailableError(StrCat("cannot listen on port ", options_.port, " of ",
                                         options_.bind, ": ", std::strerror(errno),
                                         ". Is another listener running? (--port, --bind)"));
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(socket_, reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                            : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  return absl::OkStatus();
}

void StorageListener::Stop() {
  if (!accepting_.joinable()) {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
    return;
  }
  grace_until_ = Ticks(After(kGrace));
  stopping_ = true;
  accepting_.join();
  for (const auto& session : sessions_) session->thread.join();
  sessions_.clear();
  close(std::exchange(socket_, -1));
}

ListenerCounts StorageListener::counts() const {
  return {associations_.load(), refused_.load(), broken_.load(), failed_.load()};
}

bool StorageListener::PeerMay(const std::string& address) const {
  return options_.peers.empty() ||
         std::find(options_.peers.begin(), options_.peers.end(), address) != options_.peers.end();
}

void StorageListener::AcceptLoop() {
  while (!stopping_) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, 100) > 0) {
      sockaddr_storage address{};
      socklen_t size = sizeof(address);
      const int socket =
          accept4(socket_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC);
      if (socket >= 0) {
        Admit(socket, AddressOf(address, size));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    }
    EndOverdue();
  }
}

// Joins sessions that are done, and ends those whose association does not come to stand: also a
// peer that sends a byte now and then within a TLS handshake.
void StorageListener::EndOverdue() {
  const std::int64_t now = NowTicks();
  std::erase_if(sessions_, [&](const std::unique_ptr<Session>& session) {
    if (session->done) {
      session->thread.join();
      return true;
    }
    const std::int64_t by = session->established_by;
    if (by != 0 && now > by) {
      const std::lock_guard lock(session->connection_mutex);
      if (session->connection != nullptr) session->connection->Shutdown();
    }
    return false;
  });
}

void StorageListener::Admit(int socket, std::string peer) {
  if (!PeerMay(peer)) {
    ++refused_;
    Log(LogLevel::kWarning, "connection_refused", {{"peer", peer}, {"reason", "address"}});
    close(socket);
    return;
  }
  if (sessions_.size() >= options_.max_connections) {
    ++refused_;
    if (!transport_->secure()) {
      const Bytes busy = Encode(AssociateReject{2, 3, 2});  // local limit exceeded
      [[maybe_unused]] const ssize_t sent =
          send(socket, busy.data(), busy.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    Log(LogLevel::kWarning, "connection_refused", {{"peer", peer}, {"reason", "too many"}});
    close(socket);
    return;
  }
  auto session = std::make_unique<Session>();
  session->peer = std::move(peer);
  session->established_by = Ticks(After(options_.handshake));
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Accepted(
      socket, transport_, [this, raw = session.get()] { return ShouldEnd(*raw); });
  if (!connection.ok()) return;
  session->pending = *std::move(connection);
  session->connection = session->pending.get();
  session->thread = std::thread([this, raw = session.get()] { Serve(*raw); });
  sessions_.push_back(std::move(session));
}

bool StorageListener::ShouldEnd(const Session& session) const {
  return stopping_ && (!session.busy || NowTicks() > grace_until_);
}

void StorageListener::Serve(Session& session) {
  const absl::Status ended = ServeAssociation(session);
  if (!ended.ok() && !absl::IsCancelled(ended) && !absl::IsPermissionDenied(ended)) {
    ++broken_;
    Log(LogLevel::kWarning, "association_broken",
        {{"peer", session.peer}, {"reason", ended.message()}});
  }
  session.done = true;
}

// What is answered to a request that is refused; nothing: it may stand.
std::optional<AssociateReject> StorageListener::WhyRefused(const AssociateRequest& request) const {
  const auto& allowed = options_.calling_ae_titles;
  if (request.called != options_.ae_title) return AssociateReject{1, 1, 7};
  if (std::find(allowed.begin(), allowed.end(), request.calling) == allowed.end()) {
    return AssociateReject{1, 1, 3};
  }
  if (open_associations_ >= options_.max_associations) return AssociateReject{2, 3, 2};
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<Association>> StorageListener::Negotiate(Session& session) {
  const Deadline deadline = After(options_.handshake);
  Connection& connection = *session.pending;
  RETURN_IF_ERROR(connection.Handshake(deadline));
  ASSIGN_OR_RETURN(const AssociateRequest request,
                   Association::ReceiveRequest(connection, deadline));
  if (const std::optional<AssociateReject> refused = WhyRefused(request)) {
    ++refused_;
    const bool known = CheckAeTitle(request.calling).ok();
    Log(LogLevel::kWarning, "association_refused",
        {{"peer", session.peer},
         {"calling", known ? request.calling : "?"},
         {"reason", refused->source == 3   ? "too many associations"
                    : refused->reason == 7 ? "called by another AE title"
                                           : "calling AE title not allowed"}});
    RETURN_IF_ERROR(connection.Write(Encode(*refused), deadline));
    std::uint8_t last = 0;  // until the peer has read it and closed
    connection.Read({&last, 1}, After(std::chrono::seconds(1))).IgnoreError();
    return absl::PermissionDeniedError("refused");
  }
  session.calling = request.calling;
  return Association::Accept(std::move(session.pending), request, AnswerTo(request),
                             options_.limits);
}

absl::Status StorageListener::ServeAssociation(Session& session) {
  // Before the connection goes, nobody may reach for it any more.
  struct Withdraw {
    Session& session;
    ~Withdraw() {
      const std::lock_guard lock(session.connection_mutex);
      session.connection = nullptr;
    }
  };
  absl::StatusOr<std::unique_ptr<Association>> association;
  const Withdraw withdraw{session};
  association = Negotiate(session);
  session.established_by = 0;
  RETURN_IF_ERROR(association.status());
  ++associations_;
  ++open_associations_;
  absl::Status served;
  while (served.ok()) {
    absl::StatusOr<std::optional<Message>> message = (*association)->Receive();
    if (!message.ok()) served = message.status();
    if (!message.ok() || !*message) break;
    session.busy = true;
    served = Answer(session, **association, **message);
    session.busy = false;
  }
  --open_associations_;
  return served;
}

absl::Status StorageListener::Answer(Session& session, Association& association,
                                     const Message& message) {
  if (message.Is(CommandField::kEchoRequest)) {
    return association.Send(message.context, ResponseTo(message, CommandField::kEchoResponse, 0));
  }
  if (!message.Is(CommandField::kStoreRequest)) {
    return absl::InvalidArgumentError("a request that is neither C-STORE nor C-ECHO");
  }
  ASSIGN_OR_RETURN(const StoreOutcome outcome,
                   ReceiveStore(association, message, session.calling, store_));
  if (outcome.status != kStored) {
    ++failed_;
    Log(LogLevel::kWarning, "instance_not_stored",
        {{"peer", session.peer}, {"reason", outcome.reason.message()}});
  }
  return absl::OkStatus();
}

}  // namespace consilium::datasets::pacs

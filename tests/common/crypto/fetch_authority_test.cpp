#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <thread>

#include "common/base/text.h"
#include "common/crypto/certificates.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

const Time kNow = SystemClock().Now();

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

// Listens on a free port of 127.0.0.1 or ::1 and gives the first connection to `serve` on a thread
// of its own.
class Listener {
 public:
  explicit Listener(std::function<void(int)> serve, int family = AF_INET)
      : listening_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (listening_ < 0 || !Bind(family) || listen(listening_, 4) != 0) return;
    thread_ = std::thread([this, serve = std::move(serve)] {
      const int connection = accept(listening_, nullptr, nullptr);
      if (connection < 0) return;
      serve(connection);
      close(connection);
    });
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { Stop(); }

  void Stop() {
    if (listening_ >= 0) shutdown(listening_, SHUT_RDWR);  // wakes accept
    if (thread_.joinable()) thread_.join();
    if (listening_ >= 0) close(listening_);
    listening_ = -1;
  }
  bool running() const { return thread_.joinable(); }
  const std::string& address() const { return address_; }

 private:
  bool Bind(int family) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    const bool four = family == AF_INET;
    auto* name = four ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = four ? sizeof v4 : sizeof v6;
    if (bind(listening_, name, size) != 0 || getsockname(listening_, name, &size) != 0) {
      return false;
    }
    address_ = four ? "127.0.0.1:" + std::to_string(ntohs(v4.sin_port))
                    : "[::1]:" + std::to_string(ntohs(v6.sin6_port));
    return true;
  }

  int listening_;
  std::string address_;
  std::thread thread_;
};

Context ServerContext(const PemIdentity& identity, std::string_view chain_authority) {
  Context context(SSL_CTX_new(TLS_server_method()));
  const auto bio = [](std::string_view text) {
    return std::unique_ptr<BIO, FreeBio>(
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  };
  X509* leaf = PEM_read_bio_X509(bio(identity.certificate).get(), nullptr, nullptr, nullptr);
  X509* authority = PEM_read_bio_X509(bio(chain_authority).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio(AsText(identity.private_key.Reveal())).get(), nullptr,
                                          nullptr, nullptr);
  REQUIRE(SSL_CTX_use_certificate(context.get(), leaf) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key) == 1);
  if (authority != nullptr) {
    REQUIRE(SSL_CTX_add1_chain_cert(context.get(), authority) == 1);
  } else {
    SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
    ERR_clear_error();
  }
  X509_free(leaf);
  X509_free(authority);
  EVP_PKEY_free(key);
  return context;
}

struct ServerSaw {
  int handshake = 0;
  int application_bytes = -1;
  std::string alpn, server_name;
  int version = 0;
};

int ChooseH2(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
             unsigned in_size, void*) {
  static const unsigned char kH2[] = {2, 'h', '2'};
  return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kH2, sizeof kH2, in,
                               in_size) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// One TLS handshake, then reads until the client goes.
std::function<void(int)> ServeTls(SSL_CTX* context, ServerSaw* saw) {
  SSL_CTX_set_alpn_select_cb(context, ChooseH2, nullptr);
  return [context, saw](int connection) {
    const std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context));
    SSL_set_fd(ssl.get(), connection);
    // No tickets, so that nothing is written to a client that is gone.
    SSL_set_num_tickets(ssl.get(), 0);
    saw->handshake = SSL_accept(ssl.get());
    if (saw->handshake == 1) {
      char byte;
      saw->application_bytes = std::max(0, SSL_read(ssl.get(), &byte, 1));
      const unsigned char* protocol = nullptr;
      unsigned size = 0;
      SSL_get0_alpn_selected(ssl.get(), &protocol, &size);
      saw->alpn.assign(reinterpret_cast<const char*>(protocol), size);
      const char* name = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name);
      saw->server_name = name != nullptr ? name : "";
      saw->version = SSL_version(ssl.get());
    }
    ERR_clear_error();
  };
}

struct Federation {
  PemIdentity authority, server;
  Digest fingerprint;
};

Federation MakeFederation() {
  auto authority = MakeAuthority("North Federation", kNow, 30);
  REQUIRE(authority.ok());
  auto server = MakeServerIdentity(*authority, {"localhost", "127.0.0.1"}, kNow, 30);
  REQUIRE(server.ok());
  const Digest fingerprint = *CertificateFingerprint(authority->certificate);
  return {*std::move(authority), *std::move(server), fingerprint};
}

TEST_CASE("The authority is fetched by its fingerprint over TLS 1.3 and 1.2, and nothing is sent") {
  const Federation federation = MakeFederation();
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    const Context context = ServerContext(federation.server, federation.authority.certificate);
    SSL_CTX_set_max_proto_version(context.get(), version);
    ServerSaw saw;
    Listener listener(ServeTls(context.get(), &saw));
    REQUIRE(listener.running());
    const auto fetched = FetchAuthority(listener.address(), federation.fingerprint, 10);
    listener.Stop();
    REQUIRE(fetched.ok());
    CHECK(*fetched == federation.authority.certificate);
    CHECK(saw.handshake == 1);
    CHECK(saw.application_bytes == 0);
    CHECK(saw.alpn == "h2");
    CHECK(saw.server_name.empty());  // an address is no server name
    CHECK(saw.version == version);
  }
}

bool KnowsLocalhost() {
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", nullptr, nullptr, &found) != 0) return false;
  freeaddrinfo(found);
  return true;
}

TEST_CASE("A host name is resolved and sent as the server's name") {
  if (!KnowsLocalhost()) {
    WARN("skipped: this machine cannot resolve localhost (no /etc/hosts?)");
    return;
  }
  const Federation federation = MakeFederation();
  const Context context = ServerContext(federation.server, federation.authority.certificate);
  ServerSaw saw;
  Listener listener(ServeTls(context.get(), &saw));
  const std::string port = listener.address().substr(listener.address().rfind(':'));
  const auto fetched = FetchAuthority("localhost" + port, federation.fingerprint, 10);
  listener.Stop();
  REQUIRE(fetched.ok());
  CHECK(saw.server_name == "localhost");
}

TEST_CASE("The authority is fetched over IPv6 where the machine has it") {
  const Federation federation = MakeFederation();
  const Context context = ServerContext(federation.server, federation.authority.certificate);
  ServerSaw saw;
  Listener listener(ServeTls(context.get(), &saw), AF_INET6);
  if (!listener.running()) return;
  CHECK(FetchAuthority(listener.address(), federation.fingerprint, 10).ok());
}

absl::StatusCode FetchCode(const PemIdentity& server, std::string_view chain_authority,
                           const Digest& fingerprint) {
  const Context context = ServerContext(server, chain_authority);
  ServerSaw saw;
  Listener listener(ServeTls(context.get(), &saw));
  return FetchAuthority(listener.address(), fingerprint, 10).status().code();
}

TEST_CASE("Another coordinator, a missing authority and one that did not sign are refused") {
  const Federation federation = MakeFederation(), other = MakeFederation();
  constexpr auto kRefused = absl::StatusCode::kUnauthenticated;
  CHECK(FetchCode(other.server, other.authority.certificate, federation.fingerprint) == kRefused);
  // Someone between shows the right authority, with the same name, beside a certificate of his own.
  CHECK(FetchCode(other.server, federation.authority.certificate, federation.fingerprint) ==
        kRefused);
  CHECK(FetchCode(federation.server, "", federation.fingerprint) == kRefused);
  // The server's own certificate is no authority, even where the fingerprint is its.
  CHECK(FetchCode(federation.server, federation.authority.certificate,
                  *CertificateFingerprint(federation.server.certificate)) == kRefused);
}

TEST_CASE("No listener, a silent one, one without TLS and one that hangs up are unavailable") {
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  Listener gone([](int) {});
  const std::string address = gone.address();
  gone.Stop();
  CHECK(FetchAuthority(address, Digest{}, 5).status().code() == kUnavailable);

  const auto wait_for_end = [](int connection) {
    char bytes[512];
    while (recv(connection, bytes, sizeof bytes, 0) > 0) continue;
  };
  Listener silent(wait_for_end);
  const auto start = std::chrono::steady_clock::now();
  const auto waited = FetchAuthority(silent.address(), Digest{}, 0.2);
  const double took_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(waited.status().code() == kUnavailable);
  CHECK(ToStd(waited.status().message()).find("in time") != std::string_view::npos);
  CHECK(took_s >= 0.19);
  CHECK(took_s < 5);

  Listener plain([&](int connection) {
    const std::string_view text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    wait_for_end(connection);
  });
  CHECK(FetchAuthority(plain.address(), Digest{}, 5).status().code() == kUnavailable);

  Listener rude([](int) {});
  CHECK(FetchAuthority(rude.address(), Digest{}, 5).status().code() == kUnavailable);
}

TEST_CASE("An address that is not host and port, and a timeout that is none, are refused") {
  for (const char* address :
       {"", "localhost", "localhost:", ":443", "localhost:0", "localhost:http", "localhost:65536",
        "::1:443", "[]:443", "localhost:443443"}) {
    CHECK(FetchAuthority(address, Digest{}, 1).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  for (const double timeout_s : {0.0, -1.0, 1e9, std::nan("")}) {
    CHECK(FetchAuthority("localhost:1", Digest{}, timeout_s).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace consilium::crypto

#include "coordinator/server_tls.h"

#include <fcntl.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>

#include "common/base/log.h"
#include "common/base/status.h"

namespace consilium::coordinator {
namespace {

constexpr unsigned kReadAgain_s = 1;
constexpr auto kLookAgain = std::chrono::milliseconds(500);

// gRPC follows certificates in files only, and the private key lies in none that it could read.
absl::StatusOr<int> MemoryFile(const char* name, ByteView content) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) return absl::InternalError("the system gives no memory file for the TLS key");
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written <= 0) {
      close(file);
      return absl::InternalError("the memory file for the TLS key cannot be written");
    }
    content = content.subspan(static_cast<std::size_t>(written));
  }
  return file;
}

std::string PathOf(int file) { return StrCat("/proc/self/fd/", file); }

}  // namespace

absl::StatusOr<std::unique_ptr<ServerTls>> ServerTls::Create(const Authority& authority) {
  std::unique_ptr<ServerTls> tls(new ServerTls(authority));
  tls->shown_ = authority.ServerCertificate();
  ASSIGN_OR_RETURN(tls->key_, MemoryFile("tls-key", authority.server().private_key.Reveal()));
  ASSIGN_OR_RETURN(tls->certificate_, MemoryFile("tls-certificate", AsBytes(tls->shown_)));
  ASSIGN_OR_RETURN(tls->roots_, MemoryFile("tls-roots", AsBytes(authority.authority_pem())));
  tls->following_ = std::thread([t = tls.get()] { t->Follow(); });
  return tls;
}

ServerTls::~ServerTls() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  if (following_.joinable()) following_.join();
  for (const int file : {key_, certificate_, roots_}) {
    if (file >= 0) close(file);
  }
}

// Puts another file in the place of the certificate's: gRPC reads the old one or the new one,
// whole.
void ServerTls::Follow() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kLookAgain, [this] { return stopping_; })) {
    std::string newest = authority_.ServerCertificate();
    if (newest == shown_) continue;
    const absl::StatusOr<int> file = MemoryFile("tls-certificate", AsBytes(newest));
    if (!file.ok() || dup3(*file, certificate_, O_CLOEXEC) < 0) {
      Log(LogLevel::kError, "certificate_not_shown", {{"why", "no memory file"}});
    } else {
      shown_ = std::move(newest);
      Log(LogLevel::kInfo, "certificate_renewed", {});
    }
    if (file.ok()) close(*file);
  }
}

std::shared_ptr<grpc::ServerCredentials> ServerTls::Credentials() const {
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          PathOf(key_), PathOf(certificate_), PathOf(roots_), kReadAgain_s));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace consilium::coordinator

#include "datasets/pacs/http_client.h"

#include <httplib.h>

#include <algorithm>
#include <exception>

#include "common/base/status.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::uint64_t kMaxReplyBytes = 1 << 20;

struct Url {
  bool secure = false;
  std::string host;    // as in the URL, for messages
  std::string origin;  // scheme, host and port
  std::string path;    // without a slash at its end
};

absl::StatusOr<Url> ParseUrl(const std::string& text) {
  Url url;
  url.secure = text.starts_with("https://");
  const std::size_t host = url.secure ? 8 : 7;
  if (!url.secure && !text.starts_with("http://")) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" is no URL of a DICOMweb root: https://HOST[:PORT]/PATH"));
  }
  const std::size_t slash = std::min(text.find('/', host), text.size());
  url.origin = text.substr(0, slash);
  url.host = text.substr(host, slash - host);
  url.path = text.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  if (url.host.empty() || url.host.find('@') != std::string::npos) {
    return absl::InvalidArgumentError(
        "the URL must name a host, and no user or password: those come from a file");
  }
  return url;
}

bool IsThisMachine(std::string_view host) {
  return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
}

// The first line of a file that nobody else may read.
absl::StatusOr<std::string> ReadCredential(const fs::path& path) {
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const FileInfo info, file.Info());
  if ((info.mode & 077) != 0) {
    return absl::PermissionDeniedError(
        StrCat(path.filename().string(), " holds a secret that others may read: chmod 600 it"));
  }
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, 64 << 10));
  text = text.substr(0, text.find_first_of("\r\n"));
  if (text.empty()) {
    return absl::InvalidArgumentError(StrCat(path.filename().string(), " is empty"));
  }
  return text;
}

absl::Status TransportError(httplib::Error error, const std::string& host) {
  switch (error) {
    case httplib::Error::SSLServerVerification:
    case httplib::Error::SSLLoadingCerts:
      return absl::UnauthenticatedError(
          StrCat("the certificate of ", host,
                 " is not one that the authority given (--tls-authority) signed for this name"));
    case httplib::Error::SSLConnection:
      return absl::UnauthenticatedError(
          StrCat("no TLS connection with ", host,
                 ": it speaks plain HTTP on this port, or asks for a certificate of ours"));
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return absl::UnavailableError(
          StrCat("cannot reach ", host, ". Check host, port and firewall"));
    default:
      return absl::UnavailableError(
          StrCat("the connection with ", host, " broke: ", httplib::to_string(error)));
  }
}

}  // namespace

absl::Status HttpError(int status) {
  const std::string text = StrCat("the archive answered with HTTP status ", status);
  if (status == 401) {
    return absl::UnauthenticatedError(
        StrCat(text, ": it does not accept these credentials (--basic-auth, --bearer-token)"));
  }
  if (status == 403) {
    return absl::PermissionDeniedError(
        StrCat(text, ": not allowed. Ask its administrator for the right to query and retrieve"));
  }
  if (status == 404) {
    return absl::NotFoundError(StrCat(text, ": is the URL that of its DICOMweb root?"));
  }
  if (status == 408 || status == 429 || status >= 500) return absl::UnavailableError(text);
  if (status >= 300 && status < 400) {
    return absl::InvalidArgumentError(
        StrCat(text, ", a redirection, which is not followed: give the URL that it leads to"));
  }
  return absl::FailedPreconditionError(text);
}

std::string UrlEncoded(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(static_cast<char>(c));
    } else {
      out += {'%', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  return out;
}

struct HttpClient::Impl {
  Impl(const Url& url_, const TlsFiles& tls)
      : url(url_), client(url.origin, tls.certificate.string(), tls.private_key.string()) {}
  const Url url;
  httplib::Client client;
  Cancelled cancelled;

  bool Stop() const { return cancelled && cancelled(); }
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Open(const DicomwebPeer& peer,
                                                             Cancelled cancelled) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(peer.url));
  const bool secret = !peer.basic_auth.empty() || !peer.bearer_token.empty();
  if (!peer.basic_auth.empty() && !peer.bearer_token.empty()) {
    return absl::InvalidArgumentError("a password and a bearer token do not go together");
  }
  if (secret && !url.secure && !IsThisMachine(url.host)) {
    return absl::InvalidArgumentError(
        "credentials are not sent over plain http to another machine: use https");
  }
  for (const fs::path& file : {peer.tls.authority, peer.tls.certificate, peer.tls.private_key}) {
    if (!file.empty()) RETURN_IF_ERROR(File::OpenForReading(file).status());
  }
  try {
    auto impl = std::make_unique<Impl>(url, peer.tls);
    httplib::Client& client = impl->client;
    if (!client.is_valid()) {
      return absl::InvalidArgumentError("the URL, or the certificate and key, cannot be used");
    }
    client.set_connection_timeout(std::chrono::duration_cast<std::chrono::seconds>(peer.connect));
    client.set_read_timeout(std::chrono::duration_cast<std::chrono::seconds>(peer.idle));
    client.set_write_timeout(std::chrono::duration_cast<std::chrono::seconds>(peer.idle));
    client.set_keep_alive(true);
    client.set_tcp_nodelay(true);
    client.set_follow_location(false);
    client.set_url_encode(false);
    if (!peer.tls.authority.empty()) client.set_ca_cert_path(peer.tls.authority.string());
    client.enable_server_certificate_verification(true);
    if (!peer.basic_auth.empty()) {
      ASSIGN_OR_RETURN(const std::string both, ReadCredential(peer.basic_auth));
      const std::size_t colon = both.find(':');
      if (colon == std::string::npos) {
        return absl::InvalidArgumentError("the file for --basic-auth holds no USER:PASSWORD");
      }
      client.set_basic_auth(both.substr(0, colon), both.substr(colon + 1));
    }
    if (!peer.bearer_token.empty()) {
      ASSIGN_OR_RETURN(const std::string token, ReadCredential(peer.bearer_token));
      client.set_bearer_token_auth(token);
    }
    impl->cancelled = std::move(cancelled);
    return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
  } catch (const std::exception& error) {
    return absl::InternalError(StrCat("HTTP: ", error.what()));
  }
}

absl::Status HttpClient::Get(const std::string& path, const std::string& accept,
                             const std::function<absl::Status(const std::string&)>& head,
                             const std::function<absl::Status(ByteView)>& body) {
  absl::Status taken;
  int status = 0;
  const auto on_head = [&](const httplib::Response& response) {
    status = response.status;
    if (status == 200 || status == 206) {
      taken = head(response.get_header_value("Content-Type"));
    }
    return taken.ok();
  };
  const auto on_body = [&](const char* data, std::size_t size) {
    if (impl_->Stop()) taken = absl::CancelledError("interrupted");
    if (taken.ok() && (status == 200 || status == 206)) {
      taken = body(AsBytes(std::string_view(data, size)));
    }
    return taken.ok();
  };
  if (impl_->Stop()) return absl::CancelledError("interrupted");
  try {
    const httplib::Result result = impl_->client.Get(
        impl_->url.path + path, httplib::Headers{{"Accept", accept}}, on_head, on_body);
    RETURN_IF_ERROR(taken);
    if (!result) return TransportError(result.error(), impl_->url.host);
    status = result->status;
  } catch (const std::exception& error) {
    return absl::UnavailableError(StrCat("HTTP: ", error.what()));
  }
  if (status == 200 || status == 204 || status == 206) return absl::OkStatus();
  return HttpError(status);
}

absl::StatusOr<std::string> HttpClient::GetText(const std::string& path, const std::string& accept,
                                                std::uint64_t limit_bytes) {
  std::string text;
  RETURN_IF_ERROR(Get(
      path, accept, [](const std::string&) { return absl::OkStatus(); },
      [&](ByteView bytes) {
        if (text.size() + bytes.size() > limit_bytes) {
          return absl::OutOfRangeError(
              StrCat("the archive's answer is over ", limit_bytes, " bytes: narrow the query"));
        }
        text.append(AsText(bytes));
        return absl::OkStatus();
      }));
  return text;
}

absl::StatusOr<HttpClient::Reply> HttpClient::Post(
    const std::string& path, const std::string& content_type, const std::string& accept,
    std::uint64_t size, const std::function<absl::Status(std::span<std::uint8_t>)>& read) {
  absl::Status given;
  const auto provider = [&](std::size_t, std::size_t length, httplib::DataSink& sink) {
    Bytes piece(std::min<std::size_t>(length, 256 << 10));
    given = impl_->Stop() ? absl::CancelledError("interrupted") : read(piece);
    return given.ok() && sink.write(reinterpret_cast<const char*>(piece.data()), piece.size());
  };
  if (impl_->Stop()) return absl::CancelledError("interrupted");
  try {
    const httplib::Result result = impl_->client.Post(
        impl_->url.path + path, httplib::Headers{{"Accept", accept}}, size, provider, content_type);
    RETURN_IF_ERROR(given);
    if (!result) return TransportError(result.error(), impl_->url.host);
    return Reply{result->status, result->body.substr(0, kMaxReplyBytes)};
  } catch (const std::exception& error) {
    return absl::UnavailableError(StrCat("HTTP: ", error.what()));
  }
}

}  // namespace consilium::datasets::pacs

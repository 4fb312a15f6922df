#pragma once

// HTTP to one DICOMweb root: cpp-httplib behind absl::Status. Redirections are not followed.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "datasets/pacs/transport.h"

namespace consilium::datasets::pacs {

struct DicomwebPeer {
  std::string url;  // of the DICOMweb root: "https://pacs.example/dicom-web"
  // https: the authority to trust (empty: the system's), and a certificate of ours where asked for.
  TlsFiles tls;
  // Files of mode 0600: "user:password", or a bearer token (RFC 6750). At most one of the two;
  // with plain http to this machine only.
  fs::path basic_auth, bearer_token;
  Duration connect = std::chrono::seconds(20);
  Duration idle = std::chrono::seconds(120);  // without a byte
};

class HttpClient {
 public:
  static absl::StatusOr<std::unique_ptr<HttpClient>> Open(const DicomwebPeer& peer,
                                                          Cancelled cancelled);
  ~HttpClient();

  // `path` below the root, its values encoded. A status other than 200 and 206 is an error (204:
  // the answer is empty): 401 kUnauthenticated, 403 kPermissionDenied, 404 kNotFound, 408, 429 and
  // 5xx kUnavailable. `head` gets the Content-Type, `body` what follows.
  absl::Status Get(const std::string& path, const std::string& accept,
                   const std::function<absl::Status(const std::string&)>& head,
                   const std::function<absl::Status(ByteView)>& body);
  absl::StatusOr<std::string> GetText(const std::string& path, const std::string& accept,
                                      std::uint64_t limit_bytes);

  struct Reply {
    int status = 0;
    std::string body;  // at most 1 MiB
  };
  // `read` fills its argument with what comes next, `size` bytes in all.
  absl::StatusOr<Reply> Post(const std::string& path, const std::string& content_type,
                             const std::string& accept, std::uint64_t size,
                             const std::function<absl::Status(std::span<std::uint8_t>)>& read);

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Of an HTTP status that is none of success.
absl::Status HttpError(int status);

// Percent-encoding of all but unreserved characters (RFC 3986 section 2.3).
std::string UrlEncoded(std::string_view text);

}  // namespace consilium::datasets::pacs

#include "common/crypto/openssl.h"

#include "common/base/text.h"

namespace consilium::crypto {

absl::Status OpenSslError(std::string_view what) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::InternalError(
      StrCat("cannot ", what, ": ", reason != nullptr ? reason : "OpenSSL gives no reason"));
}

}  // namespace consilium::crypto

#pragma once

// What a site has told of a secure session that it answered to its end: kept, sealed, until the
// coordinator has done with the session, so that the very same can be told again.

#include <optional>
#include <set>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"
#include "common/secagg/messages.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

struct GivenAnswers {
  Digest transcript;
  std::set<SiteId> survivors;
  secagg::UnmaskAnswer shares;
  bool operator==(const GivenAnswers&) const = default;
};

//   text := transcript (32) list(survivors) list(seed shares) list(mask key shares)
//   list := u32 little-endian count, then for each: u32 length, name, and the share (32) if any
crypto::Secret WriteGivenAnswers(const GivenAnswers& given);
// kDataLoss: not such a text.
absl::StatusOr<GivenAnswers> ReadGivenAnswers(ByteView text);

// The answer to a notice that comes after the end. The steps before the last need no answer any
// more; what would have led to other shares is refused (kPermissionDenied).
absl::StatusOr<std::optional<wire::SecureAnswer>> AnswerAgain(const wire::SecureNotice& notice,
                                                              const Digest& context,
                                                              const GivenAnswers& given);

}  // namespace consilium::site_agent

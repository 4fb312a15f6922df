#pragma once

// Fields that several messages have. Internal to convert.cpp and convert_secure.cpp.

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/wire/protocol.h"

namespace consilium::v1 {
class AttemptKey;
class LogExtension;
class SecureAnswer;
class SecureNotice;
class SecureSession;
}  // namespace consilium::v1

namespace consilium::wire {

// What a peer may put into one field of text.
inline constexpr std::size_t kLongestText = 2000;
inline constexpr std::size_t kLongestPlan = 256 * 1024;
inline constexpr std::size_t kLongestRoster = 512 * 1024;

absl::Status Malformed(std::string_view field, std::string_view why);
absl::StatusOr<std::string> Text(const std::string& text, std::string_view field,
                                 std::size_t limit = kLongestText);
// And not negative.
absl::StatusOr<double> Finite(double value, std::string_view field);
absl::StatusOr<RunId> RunFromProto(const std::string& run);
absl::StatusOr<SiteId> SiteFromProto(const std::string& site);

template <std::size_t N>
absl::StatusOr<std::array<std::uint8_t, N>> ArrayFromProto(const std::string& bytes,
                                                           std::string_view field) {
  if (bytes.size() != N) return Malformed(field, StrCat("has ", bytes.size(), " bytes, not ", N));
  std::array<std::uint8_t, N> array;
  std::memcpy(array.data(), bytes.data(), N);
  return array;
}

inline std::string ToProtoBytes(ByteView bytes) { return std::string(AsText(bytes)); }

void ToProto(const AttemptKey& key, v1::AttemptKey* proto);
// Attempt 0 stands for the evaluation of a round, which has no attempts.
absl::StatusOr<AttemptKey> TaskKeyFromProto(const v1::AttemptKey& proto);
absl::StatusOr<AttemptKey> FromProto(const v1::AttemptKey& proto);

void ToProto(const secagg::SessionConfig& config, v1::SecureSession* proto);
absl::StatusOr<secagg::SessionConfig> SessionConfigFromProto(const v1::SecureSession& proto);
void ToProto(const SecureAnswer& answer, v1::SecureAnswer* proto);
absl::StatusOr<FromSite> SecureAnswerFromProto(const v1::SecureAnswer& proto);
void ToProto(const SecureNotice& notice, v1::SecureNotice* proto);
absl::StatusOr<ToSite> SecureNoticeFromProto(const v1::SecureNotice& proto);
void ToProto(const LogExtension& extension, v1::LogExtension* proto);
absl::StatusOr<ToSite> LogExtensionFromProto(const v1::LogExtension& proto);
std::string SumsToProto(const std::vector<std::uint64_t>& sums);
absl::StatusOr<std::vector<std::uint64_t>> SumsFromProto(const std::string& bytes);

}  // namespace consilium::wire

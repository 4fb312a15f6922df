#include <algorithm>
#include <vector>

#include "datasets/pacs/multipart.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace consilium;
using datasets::pacs::MultipartParser;

struct Parts {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::vector<std::string> parts;
  std::size_t ended = 0;
  bool operator==(const Parts&) const = default;
};

Parts Parse(ByteView body, std::size_t piece) {
  Parts result;
  MultipartParser parser("b", {.begin =
                                   [&] {
                                     result.parts.emplace_back();
                                     return absl::OkStatus();
                                   },
                               .data =
                                   [&](ByteView bytes) {
                                     FUZZ_EXPECT(result.ended + 1 == result.parts.size());
                                     result.parts.back() += AsText(bytes);
                                     return absl::OkStatus();
                                   },
                               .end =
                                   [&] {
                                     ++result.ended;
                                     return absl::OkStatus();
                                   }});
  absl::Status status;
  for (std::size_t at = 0; at < body.size() && status.ok(); at += piece) {
    status = parser.Feed(body.subspan(at, std::min(piece, body.size() - at)));
  }
  if (status.ok()) status = parser.Finish();
  result.code = status.code();
  return result;
}

}  // namespace

// The size of a piece, then a body with the boundary "b"; and the same bytes as a Content-Type.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::size_t piece = 1 + input.Byte() % 64;
  const ByteView body = input.Rest();
  const auto boundary = datasets::pacs::MultipartBoundary(AsText(body));
  if (boundary.ok()) FUZZ_EXPECT(!boundary->empty() && boundary->size() <= 70);
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(body.size()));
  const Parts whole = Parse(body, std::max<std::size_t>(body.size(), 1));
  const Parts pieces = Parse(body, piece);
  if (whole.code == absl::StatusCode::kOk) FUZZ_EXPECT(whole == pieces);
  FUZZ_EXPECT((whole.code == absl::StatusCode::kOk) == (pieces.code == absl::StatusCode::kOk));
  std::size_t bytes = 0;
  for (const std::string& part : whole.parts) bytes += part.size();
  FUZZ_EXPECT(bytes <= body.size() && whole.ended <= whole.parts.size());
  return 0;
}

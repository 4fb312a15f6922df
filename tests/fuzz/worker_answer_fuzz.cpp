#include <algorithm>

#include "datasets/deidentification/task_message.h"
#include "datasets/volumes/instance_message.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/protocol.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace consilium;
using namespace consilium::datasets;

constexpr std::uint64_t kLargest = 4096;

// The same, in whatever pieces; bounded; details fit for a terminal.
void CheckReplies(ByteView bytes, std::size_t piece) {
  constexpr std::size_t kReplies = 3;
  worker::ReplyParser whole(kReplies, kLargest), pieces(kReplies, kLargest);
  const bool sound = whole.Feed(bytes);
  bool sound_in_pieces = true;
  for (std::size_t at = 0; at < bytes.size() && sound_in_pieces; at += piece) {
    sound_in_pieces = pieces.Feed(bytes.subspan(at, std::min(piece, bytes.size() - at)));
  }
  FUZZ_EXPECT(sound == sound_in_pieces);
  FUZZ_EXPECT(whole.replies().size() == pieces.replies().size());
  FUZZ_EXPECT(whole.replies().size() <= kReplies);
  FUZZ_EXPECT(!sound || whole.Complete() == pieces.Complete());
  Bytes again;
  for (const auto& reply : whole.replies()) {
    if (reply.ok()) FUZZ_EXPECT(reply->size() <= kLargest);
    if (!reply.ok()) {
      FUZZ_EXPECT(reply.refused().reason != Refusal::kNone);
      for (const char c : reply.refused().detail) FUZZ_EXPECT(c >= 0x20 && c < 0x7f);
    }
    worker::AppendReply(reply, &again);
  }
  FUZZ_EXPECT(again.size() <= bytes.size());
}

bool MayNameAFolder(const std::string& name) {
  return name.empty() || name.find('/') != std::string::npos || name.find('.') != std::string::npos;
}

}  // namespace

// Which message, then its bytes: what a worker says that a hostile file has taken over.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint8_t which = input.Byte();
  const ByteView message = input.Rest();
  // A slice is eleven texts and more, of a byte each at least.
  const fuzz::AllocationLimit limit(2 * fuzz::JustifiedBy(message.size()));
  switch (which % 5) {
    case 0:
      CheckReplies(message, 1 + which / 5 % 32);
      break;
    case 1:
      if (const auto header = worker::DecodeHeader(message)) {
        FUZZ_EXPECT(std::uint64_t{header->rows} * header->columns <= dicom::kMaxFrameSamples);
        FUZZ_EXPECT(worker::Encode(*header) == Bytes(message.begin(), message.end()));
      }
      break;
    case 2:
      if (const auto instance = volumes::DecodeInstance(message)) {
        FUZZ_EXPECT(instance->slices.size() <= volumes::kMaxFrames);
        const auto again = volumes::DecodeInstance(volumes::Encode(*instance));
        FUZZ_EXPECT(again && volumes::Encode(*again) == volumes::Encode(*instance));
      }
      break;
    case 3:
      if (const auto examined = deidentification::DecodeExamined(message)) {
        FUZZ_EXPECT(!MayNameAFolder(examined->names.patient));
      }
      break;
    default:
      if (const auto masks = deidentification::DecodeMasks(message, which / 5 % 4)) {
        FUZZ_EXPECT(deidentification::Encode(*masks) == Bytes(message.begin(), message.end()));
      }
  }
  return 0;
}

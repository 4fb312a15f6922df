#include <algorithm>
#include <cstring>

#include "common/base/progress.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "site_agent/model_store.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::site_agent {
namespace {

// A coordinator that sends these bytes in pieces and claims a size.
class Sender final : public CoordinatorChannel {
 public:
  Sender(ByteView bytes, std::size_t piece, std::uint64_t claim)
      : bytes_(bytes), piece_(piece), claim_(claim) {}

  std::string Address() const override { return "coordinator"; }
  absl::StatusOr<std::unique_ptr<Session>> Attend(std::stop_token) override {
    return absl::UnavailableError("not here");
  }
  absl::Status DownloadModel(const ModelId&, std::span<const wire::ByteRange>,
                             std::uint64_t offset, const ModelSink& sink,
                             std::stop_token) override {
    ByteView rest = bytes_.subspan(std::min<std::size_t>(offset, bytes_.size()));
    while (!rest.empty()) {
      const std::size_t count = std::min(piece_, rest.size());
      RETURN_IF_ERROR(sink(rest.first(count), claim_));
      rest = rest.subspan(count);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<UploadOutcome> Upload(const OutboxFile&, std::uint32_t, std::stop_token) override {
    return absl::UnavailableError("not here");
  }

 private:
  const ByteView bytes_;
  const std::size_t piece_;
  const std::uint64_t claim_;
};

}  // namespace
}  // namespace consilium::site_agent

// Claimed size (8 bytes; 0: the true one), bytes a message (1), and what the coordinator sends.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  fuzz::Cursor input(fuzz::Input(data, size));
  std::uint64_t claim = input.Number64();
  const std::size_t piece = 1 + input.Byte();
  const ByteView file = input.Rest();
  if (claim == 0) claim = file.size();
  const ModelId model = crypto::Sha256(file);
  // 64 MiB of room at once for whatever has begun to come; a read buffer for the hash.
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * size) + (64 << 20));
  site_agent::Sender sender(file, piece, claim);
  site_agent::ModelStore store(fuzz::ScratchFolder() / "models", 1);
  NoProgress progress;
  const auto loaded = store.Load(sender, model, progress, {});
  const auto parsed = ParseSafetensors(file);
  FUZZ_EXPECT(!loaded.ok() || parsed.ok());
  if (loaded.ok()) {
    FUZZ_EXPECT(loaded->layout() == parsed->layout());
    FUZZ_EXPECT(std::ranges::equal(loaded->values(), parsed->values()));
  }
  FUZZ_EXPECT(RemoveTree(fuzz::ScratchFolder() / "models").ok());
  return 0;
}

#include "common/wire/consilium.pb.h"
#include "tests/fuzz/proto_round_trip.h"
#include "tests/fuzz/secure_scene.h"

namespace consilium {
namespace {

absl::Status Take(secagg::CoordinatorSession& coordinator, const SiteId& from,
                  const wire::SecureAnswer& answer) {
  if (const auto* own = std::get_if<secagg::Advertisement>(&answer.answer)) {
    return coordinator.Take(*own);
  }
  if (const auto* shares = std::get_if<std::vector<secagg::SealedShare>>(&answer.answer)) {
    return coordinator.Take(from, *shares);
  }
  if (const auto* sums = std::get_if<wire::MaskedSums>(&answer.answer)) {
    return coordinator.Take(from, secagg::UploadProof{.signature = sums->signature});
  }
  if (const auto* signature = std::get_if<crypto::Signature>(&answer.answer)) {
    return coordinator.Take(from, *signature);
  }
  return coordinator.Take(from, std::get<secagg::UnmaskAnswer>(answer.answer));
}

// Whatever one site sent, the others, who are enough with it, end the session or fail it in words.
void PlayOn(const fuzz::SecureScene& scene, secagg::CoordinatorSession& coordinator, int step) {
  for (; step <= 4; ++step) {
    for (const auto& [site, key] : scene.keys) {
      scene.Answer(coordinator, site, step).IgnoreError();
    }
    if (step < 4 && !coordinator.CloseStep().ok()) return;
  }
  const auto masks = coordinator.Open();
  FUZZ_EXPECT(masks.ok() || absl::IsDataLoss(masks.status()) ||
              absl::IsFailedPrecondition(masks.status()));
}

}  // namespace
}  // namespace consilium

// First byte: the step (low bits) and who sends (high bits); then the site's message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const fuzz::SecureScene& scene = fuzz::SecureScene::Played();
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint8_t first = input.Byte();
  const int step = first % 8 % 5;
  const SiteId from = std::vector{fuzz::kAlpha, fuzz::kBeta, fuzz::kGamma}[first / 8 % 3];
  const auto message = fuzz::RoundTripped<v1::FromSite>(input.Rest());
  const auto* answer = message ? std::get_if<wire::SecureAnswer>(&*message) : nullptr;
  if (answer == nullptr) return 0;
  secagg::CoordinatorSession coordinator = scene.CoordinatorAt(step);
  const std::set<SiteId> awaited = coordinator.Awaited();
  const absl::Status taken = Take(coordinator, from, *answer);
  // What is refused changes nothing.
  FUZZ_EXPECT(taken.ok() || coordinator.Awaited() == awaited);
  FUZZ_EXPECT(coordinator.Awaited().size() + 1 >= awaited.size());
  PlayOn(scene, coordinator, step);
  return 0;
}

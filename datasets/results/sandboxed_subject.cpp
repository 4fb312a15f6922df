// The pool's side of subject.h.

#include "datasets/results/source_message.h"
#include "datasets/results/subject.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::results {
namespace {

constexpr std::uint64_t kTexts = 256 << 10;

Refused Nonsense() {
  return Refused{Refusal::kCrashedReader, "it said what cannot be of any image"};
}

}  // namespace

OrRefused<Subject> ReadSubject(worker::WorkerPool& pool, const fs::path& path,
                               const plan::Preprocessing& preprocessing) {
  // Input and backdrop, and texts.
  const std::uint64_t pixels = std::uint64_t{preprocessing.image_size} * preprocessing.image_size +
                               std::uint64_t{kPictureSide} * kPictureSide;
  const auto result = pool.Call(kReadSubject, worker::Encode(preprocessing), {&path, 1},
                                pixels * sizeof(float) + kTexts);
  if (!result.ok()) return result.refused();
  auto subject = DecodeSubject(*result, preprocessing);
  if (!subject) return Nonsense();
  return *std::move(subject);
}

OrRefused<SourceImage> ReadSourceImage(worker::WorkerPool& pool, const fs::path& path) {
  const auto result = pool.Call(kReadSource, {}, {&path, 1}, kTexts);
  if (!result.ok()) return result.refused();
  worker::MessageReader message(*result);
  SourceImage source;
  if (!Read(message, &source) || !message.Done()) return Nonsense();
  return source;
}

}  // namespace consilium::datasets::results

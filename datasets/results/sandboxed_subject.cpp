// The pool's side of subject.h.

#include "datasets/results/subject.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::results {

OrRefused<Subject> ReadSubject(worker::WorkerPool& pool, const fs::path& path,
                               const plan::Preprocessing& preprocessing) {
  // Input and backdrop, and texts.
  constexpr std::uint64_t kTexts = 256 << 10;
  const std::uint64_t pixels = std::uint64_t{preprocessing.image_size} * preprocessing.image_size +
                               std::uint64_t{kPictureSide} * kPictureSide;
  const auto result = pool.Call(kReadSubject, worker::Encode(preprocessing), {&path, 1},
                                pixels * sizeof(float) + kTexts);
  if (!result.ok()) return result.refused();
  auto subject = DecodeSubject(*result, preprocessing);
  if (!subject) {
    return Refused{Refusal::kCrashedReader, "it said what cannot be of any image"};
  }
  return *std::move(subject);
}

}  // namespace consilium::datasets::results

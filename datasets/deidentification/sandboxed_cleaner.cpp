#include "datasets/deidentification/sandboxed_cleaner.h"

#include "datasets/deidentification/head_series.h"
#include "datasets/deidentification/operations.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::uint64_t kLargestExamined = 64 << 10, kLargestInstance = 1ull << 30;

Refused Nonsense() { return {Refusal::kCrashedReader, "it said what cannot be of any instance"}; }

}  // namespace

SandboxedCleaner::SandboxedCleaner(worker::WorkerPool& pool, const crypto::Secret& site_key,
                                   const DeidentificationOptions& options)
    : pool_(pool), task_{crypto::Secret::CopyOf(site_key.Reveal()), options} {}

OrRefused<ExaminedInstance> SandboxedCleaner::Examine(const fs::path& file) {
  worker::MessageWriter arguments;
  Write(task_, &arguments);
  const auto result = pool_.Call(kExamine, arguments.bytes(), {&file, 1}, kLargestExamined);
  if (!result.ok()) return result.refused();
  auto examined = DecodeExamined(*result);
  if (!examined) return Nonsense();
  return *std::move(examined);
}

OrRefused<Bytes> SandboxedCleaner::Clean(const fs::path& file, std::span<const std::uint8_t> face) {
  worker::MessageWriter arguments;
  Write(task_, &arguments);
  arguments.Rest(face);
  return pool_.Call(kClean, arguments.bytes(), {&file, 1}, kLargestInstance);
}

OrRefused<std::vector<Bytes>> SandboxedCleaner::FindFaces(const std::vector<fs::path>& files) {
  const auto result = pool_.Call(kFindFaces, {}, files, kMostVoxels + 8 * files.size());
  if (!result.ok()) return result.refused();
  auto masks = DecodeMasks(*result, files.size());
  if (!masks) return Nonsense();
  return *std::move(masks);
}

}  // namespace consilium::datasets::deidentification

#include "datasets/worker/sandboxed_reader.h"

#include <algorithm>

#include "common/base/status.h"
#include "datasets/audio/recording_message.h"
#include "datasets/pipeline/pipeline.h"
#include "datasets/targets/operations.h"
#include "datasets/targets/sandboxed_targets.h"
#include "datasets/targets/target_message.h"
#include "datasets/targets/volume_mask.h"
#include "datasets/volumes/sandboxed_instances.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/image_operations.h"
#include "datasets/worker/message.h"

namespace consilium::datasets {
namespace {

constexpr std::uint64_t kLargestHeader = 64 << 10, kLargestOutlines = 64 << 20;

// What no honest reader says: a file has taken the worker over.
Refused Nonsense() { return {Refusal::kCrashedReader, "it said what cannot be of any image"}; }

OrRefused<dicom::Header> HeaderOf(const OrRefused<Bytes>& result) {
  if (!result.ok()) return result.refused();
  auto header = worker::DecodeHeader(*result);
  if (!header) return Nonsense();
  return *std::move(header);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SandboxedReader>> SandboxedReader::Create(
    const worker::PoolOptions& options) {
  ASSIGN_OR_RETURN(auto pool, worker::WorkerPool::Create(options));
  return std::unique_ptr<SandboxedReader>(new SandboxedReader(std::move(pool)));
}

std::vector<OrRefused<dicom::Header>> SandboxedReader::ReadHeaders(
    std::span<const fs::path> paths) {
  const auto results = pool_.CallForEach(worker::kReadHeader, {}, paths, kLargestHeader);
  std::vector<OrRefused<dicom::Header>> headers;
  headers.reserve(results.size());
  for (const OrRefused<Bytes>& result : results) headers.push_back(HeaderOf(result));
  return headers;
}

OrRefused<std::vector<float>> SandboxedReader::ReadInput(const fs::path& path,
                                                         const plan::Preprocessing& preprocessing) {
  const std::size_t values = pipeline::InputElements(preprocessing);
  const auto result = pool_.Call(worker::kReadInput, worker::Encode(preprocessing), {&path, 1},
                                 values * sizeof(float) + sizeof(std::uint64_t));
  if (!result.ok()) return result.refused();
  worker::MessageReader reader(*result);
  std::vector<float> input;
  reader.Floats(input, values);
  const bool sound =
      reader.Done() && input.size() == values &&
      std::all_of(input.begin(), input.end(), [](float v) { return v >= 0 && v <= 1; });
  if (!sound) return Nonsense();
  return input;
}

std::vector<OrRefused<OutlinesContent>> SandboxedReader::ReadOutlines(
    std::span<const fs::path> paths) {
  const auto results = pool_.CallForEach(targets::kReadOutlines, {}, paths, kLargestOutlines);
  std::vector<OrRefused<OutlinesContent>> contents;
  for (const OrRefused<Bytes>& result : results) {
    if (!result.ok()) {
      contents.push_back(result.refused());
      continue;
    }
    auto summary = targets::DecodeOutlines(*result);
    if (!summary) {
      contents.push_back(Nonsense());
      continue;
    }
    OutlinesContent content{std::move(summary->referenced_instances), {}};
    for (auto& structure : summary->structures) {
      content.labels.push_back(std::move(structure.label));
    }
    contents.push_back(std::move(content));
  }
  return contents;
}

OrRefused<PlacedMask> SandboxedReader::ReadMask(std::span<const fs::path> files,
                                                const std::vector<std::string>& structures,
                                                const plan::Preprocessing& preprocessing) {
  const targets::PlacedMaskRequest request{structures, preprocessing};
  const std::size_t size = preprocessing.image_size;
  const auto result = pool_.Call(targets::kReadPlacedMask, targets::Encode(request), files,
                                 size * size + sizeof(double));
  if (!result.ok()) return result.refused();
  auto mask = targets::DecodePlacedMask(*result, request);
  if (!mask) return Nonsense();
  return *std::move(mask);
}

OrRefused<std::vector<float>> SandboxedReader::ReadVolume(
    std::span<const fs::path> files, const plan::Preprocessing& preprocessing) {
  volumes::SandboxedInstances reader(pool_);
  const auto placed = volumes::Place(reader, files, preprocessing);
  if (!placed.ok()) return placed.refused();
  return volumes::MakeInput(*placed, preprocessing);
}

OrRefused<PlacedMask> SandboxedReader::ReadVolumeMask(std::span<const fs::path> files,
                                                      std::span<const fs::path> outlines,
                                                      const std::vector<std::string>& structures,
                                                      const plan::Preprocessing& preprocessing) {
  volumes::SandboxedInstances reader(pool_);
  const auto placed = volumes::Place(reader, files, preprocessing);
  if (!placed.ok()) return placed.refused();
  const targets::OutlineReader of_pool = {
      .structures =
          [this](const fs::path& path) -> OrRefused<std::vector<targets::OutlinedStructure>> {
        auto summary = targets::ReadOutlines(pool_, path);
        if (!summary.ok()) return summary.refused();
        return std::move(summary->structures);
      },
      .mask =
          [this](const fs::path& path, std::uint32_t structure, const volumes::Grid& grid,
                 const std::string& frame_of_reference) {
            return targets::ReadOutline(pool_, path, structure, grid, frame_of_reference);
          }};
  return targets::MakeMask(*placed, outlines, structures, of_pool);
}

OrRefused<audio::Recording> SandboxedReader::ReadRecording(
    const fs::path& path, const std::optional<plan::Audio>& audio) {
  const auto result = pool_.Call(audio::kReadRecording, audio::Encode(audio), {&path, 1},
                                 audio::LargestRecording(audio));
  if (!result.ok()) return result.refused();
  auto recording = audio::DecodeRecording(*result, audio);
  if (!recording) return Nonsense();
  return *std::move(recording);
}

}  // namespace consilium::datasets

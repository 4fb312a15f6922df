#include "datasets/targets/sandboxed_targets.h"

#include <algorithm>

#include "datasets/targets/operations.h"
#include "datasets/targets/target_message.h"

namespace consilium::datasets::targets {
namespace {

constexpr std::uint64_t kLargestSummary = 64 << 20;

Refused Nonsense() { return {Refusal::kCrashedReader, "it said what cannot be of any target"}; }

template <class Decode>
auto Summary(worker::WorkerPool& pool, const char* operation, const fs::path& path, Decode decode)
    -> OrRefused<typename decltype(decode(ByteView()))::value_type> {
  const auto result = pool.Call(operation, {}, {&path, 1}, kLargestSummary);
  if (!result.ok()) return result.refused();
  auto decoded = decode(*result);
  if (!decoded) return Nonsense();
  return *std::move(decoded);
}

OrRefused<Mask> ReadMask(worker::WorkerPool& pool, const char* operation, const fs::path& path,
                         const MaskRequest& request) {
  if (!IsSound(request.grid)) {
    return Refused{Refusal::kNoGeometry, "the volume's grid is impossible"};
  }
  const std::size_t voxels = request.grid.VoxelCount();
  auto result = pool.Call(operation, Encode(request), {&path, 1}, voxels);
  if (!result.ok()) return result.refused();
  const bool sound = result->size() == voxels &&
                     std::all_of(result->begin(), result->end(), [](auto v) { return v <= 1; });
  if (!sound) return Nonsense();
  return Mask{request.grid, std::move(*result)};
}

}  // namespace

OrRefused<SegmentationSummary> ReadSegmentation(worker::WorkerPool& pool, const fs::path& path) {
  return Summary(pool, kReadSegmentation, path, DecodeSegmentation);
}

OrRefused<Mask> ReadSegment(worker::WorkerPool& pool, const fs::path& path, std::uint32_t segment,
                            const volumes::Grid& grid, const std::string& frame_of_reference,
                            double threshold) {
  return ReadMask(pool, targets::kReadSegment, path,
                  {segment, grid, frame_of_reference, threshold});
}

OrRefused<StructureSetSummary> ReadStructureSet(worker::WorkerPool& pool, const fs::path& path) {
  return Summary(pool, kReadStructureSet, path, DecodeStructureSet);
}

OrRefused<Mask> ReadRegion(worker::WorkerPool& pool, const fs::path& path, int region,
                           const volumes::Grid& grid, const std::string& frame_of_reference) {
  return ReadMask(pool, targets::kReadRegion, path,
                  {static_cast<std::uint32_t>(region), grid, frame_of_reference, 0});
}

OrRefused<OutlinesSummary> ReadOutlines(worker::WorkerPool& pool, const fs::path& path) {
  return Summary(pool, kReadOutlines, path, DecodeOutlines);
}

OrRefused<Mask> ReadOutline(worker::WorkerPool& pool, const fs::path& path, std::uint32_t structure,
                            const volumes::Grid& grid, const std::string& frame_of_reference) {
  return ReadMask(pool, targets::kReadOutline, path, {structure, grid, frame_of_reference, 0});
}

OrRefused<Report> ReadReport(worker::WorkerPool& pool, const fs::path& path) {
  return Summary(pool, kReadReport, path, DecodeReport);
}

}  // namespace consilium::datasets::targets

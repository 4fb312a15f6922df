#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "datasets/image_reader.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets {

// Reads image files in a pool's workers. Thread-safe.
class SandboxedReader final : public ImageReader {
 public:
  // Errors as WorkerPool::Create.
  static absl::StatusOr<std::unique_ptr<SandboxedReader>> Create(
      const worker::PoolOptions& options = {});
  // A pool that others use too, and that lives longer.
  explicit SandboxedReader(worker::WorkerPool& pool) : pool_(pool) {}

  std::vector<OrRefused<dicom::Header>> ReadHeaders(std::span<const fs::path> paths) override;
  OrRefused<std::vector<float>> ReadInput(const fs::path& path,
                                          const plan::Preprocessing& preprocessing) override;
  std::vector<OrRefused<OutlinesContent>> ReadOutlines(std::span<const fs::path> paths) override;
  OrRefused<PlacedMask> ReadMask(std::span<const fs::path> files,
                                 const std::vector<std::string>& structures,
                                 const plan::Preprocessing& preprocessing) override;
  // The slices' values and the masks are read by workers; volumes are built of them here.
  OrRefused<std::vector<float>> ReadVolume(std::span<const fs::path> files,
                                           const plan::Preprocessing& preprocessing) override;
  OrRefused<PlacedMask> ReadVolumeMask(std::span<const fs::path> files,
                                       std::span<const fs::path> segmentations,
                                       const std::vector<std::string>& structures,
                                       const plan::Preprocessing& preprocessing) override;
  OrRefused<audio::Recording> ReadRecording(const fs::path& path,
                                            const std::optional<plan::Audio>& audio) override;

 private:
  explicit SandboxedReader(std::unique_ptr<worker::WorkerPool> pool)
      : own_pool_(std::move(pool)), pool_(*own_pool_) {}
  const std::unique_ptr<worker::WorkerPool> own_pool_;
  worker::WorkerPool& pool_;
};

}  // namespace consilium::datasets

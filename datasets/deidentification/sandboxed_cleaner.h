#pragma once

#include "common/crypto/secret.h"
#include "datasets/deidentification/instance_cleaner.h"
#include "datasets/deidentification/task_message.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::deidentification {

// A series is in one worker at a time, with five bytes a voxel.
inline constexpr std::uint64_t kCleanerMemoryBytes = 4ull << 30;

// Cleans instances in the workers of a pool, which lives longer. Thread-safe. The workers know the
// site's key: a file that takes one over can hide it in what the worker writes, and send it nowhere
// itself.
class SandboxedCleaner final : public InstanceCleaner {
 public:
  SandboxedCleaner(worker::WorkerPool& pool, const crypto::Secret& site_key,
                   const DeidentificationOptions& options);

  OrRefused<ExaminedInstance> Examine(const fs::path& file) override;
  OrRefused<Bytes> Clean(const fs::path& file, std::span<const std::uint8_t> face) override;
  OrRefused<std::vector<Bytes>> FindFaces(const std::vector<fs::path>& files) override;

 private:
  worker::WorkerPool& pool_;
  const Task task_;
};

}  // namespace consilium::datasets::deidentification

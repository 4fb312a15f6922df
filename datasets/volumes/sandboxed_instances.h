#pragma once

#include "datasets/volumes/series.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::volumes {

// Reads instances, and the frames of their slices, in the workers of a pool, which lives longer
// than this and than the slices. Thread-safe; slices of one file are loaded in one thread at a
// time, as in this process.
class SandboxedInstances final : public InstanceReader {
 public:
  explicit SandboxedInstances(worker::WorkerPool& pool) : pool_(pool) {}
  std::vector<OrRefused<Series>> ReadInstances(std::span<const fs::path> paths) override;

 private:
  worker::WorkerPool& pool_;
};

}  // namespace consilium::datasets::volumes

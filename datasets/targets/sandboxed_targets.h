#pragma once

// Segmentations, structure sets, either of them, and reports, read in the workers of a pool: what
// the functions of segmentation.h, structure_set.h, outlines.h and report.h give in this process,
// with the refusals of worker_pool.h besides. Thread-safe.

#include "datasets/targets/outlines.h"
#include "datasets/targets/report.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::targets {

struct SegmentationSummary {
  Segmentation::Kind kind = Segmentation::Kind::kBinary;
  std::vector<Segment> segments;
  std::vector<std::string> referenced_series;
  std::string frame_of_reference;
  std::vector<std::string> referenced_instances;
};
OrRefused<SegmentationSummary> ReadSegmentation(worker::WorkerPool& pool, const fs::path& path);
OrRefused<Mask> ReadSegment(worker::WorkerPool& pool, const fs::path& path, std::uint32_t segment,
                            const volumes::Grid& grid, const std::string& frame_of_reference,
                            double threshold = 0.5);

struct StructureSetSummary {
  std::vector<Region> regions;
  std::vector<std::string> referenced_series;
};
OrRefused<StructureSetSummary> ReadStructureSet(worker::WorkerPool& pool, const fs::path& path);
OrRefused<Mask> ReadRegion(worker::WorkerPool& pool, const fs::path& path, int region,
                           const volumes::Grid& grid, const std::string& frame_of_reference);

struct OutlinesSummary {
  std::vector<OutlinedStructure> structures;
  std::vector<std::string> referenced_instances;
};
OrRefused<OutlinesSummary> ReadOutlines(worker::WorkerPool& pool, const fs::path& path);
OrRefused<Mask> ReadOutline(worker::WorkerPool& pool, const fs::path& path, std::uint32_t structure,
                            const volumes::Grid& grid, const std::string& frame_of_reference);

OrRefused<Report> ReadReport(worker::WorkerPool& pool, const fs::path& path);

}  // namespace consilium::datasets::targets

#pragma once

// What following a patient needs to know of a file before anything else is read of it: whose it is,
// when it was made, and whether it is an image or a segmentation. Read in a sandboxed worker; after
// a hostile file it is the attacker who answers, so that decoding checks every field. All texts are
// opaque: never shown, logged or sent.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"
#include "datasets/results/source_image.h"

namespace consilium::datasets::worker {
class Operations;
class WorkerPool;
}  // namespace consilium::datasets::worker

namespace consilium::datasets::followup {

struct Instance {
  enum class Kind { kImage, kSegmentation };
  Kind kind = Kind::kImage;
  std::string patient_id;
  // Of an image when it was acquired, else its series or study; of a segmentation when its content
  // was made. "YYYYMMDD", "HHMMSS.FFFFFF"; empty: not said.
  std::string date, time;
  results::SourceImage source;  // without where it lies
};

// kNoPixelData for what is no image, such as a report; other refusals as ReadSourceImage and
// DataSet::Open.
OrRefused<Instance> ReadInstance(const dicom::DataSet& data_set);

Bytes Encode(const Instance& instance);
std::optional<Instance> DecodeInstance(ByteView message);

// Days from the first to the second date; nothing when one is no date ("YYYYMMDD").
std::optional<int> DaysBetween(const std::string& first, const std::string& second);

// In a worker of the pool.
inline constexpr char kReadInstance[] = "followed instance";
void AddInstanceOperation(worker::Operations& operations);
std::vector<OrRefused<Instance>> ReadInstances(worker::WorkerPool& pool,
                                               std::span<const fs::path> paths);

}  // namespace consilium::datasets::followup

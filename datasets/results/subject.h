#pragma once

// All that a prediction needs of one image file, read at once, so that it can be read in a sandbox:
// after a hostile file it is the attacker who answers, so that decoding checks every field.

#include <optional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/dicom/image_file.h"
#include "datasets/pipeline/placement.h"
#include "datasets/refusal.h"
#include "datasets/results/picture.h"
#include "datasets/results/source_image.h"

namespace consilium::datasets::worker {
class Operations;
class WorkerPool;
}  // namespace consilium::datasets::worker

namespace consilium::datasets::results {

struct Subject {
  SourceImage source;
  std::vector<float> input;  // pipeline::MakeInput
  pipeline::Placement placement;
  Backdrop backdrop;
};

// In this process.
OrRefused<Subject> ReadSubject(dicom::ImageFile file, const plan::Preprocessing& preprocessing);

Bytes Encode(const Subject& subject);
std::optional<Subject> DecodeSubject(ByteView message, const plan::Preprocessing& preprocessing);

// The same in a worker of the pool, and its source alone.
inline constexpr char kReadSubject[] = "subject", kReadSource[] = "source";
void AddSubjectOperations(worker::Operations& operations);
OrRefused<Subject> ReadSubject(worker::WorkerPool& pool, const fs::path& path,
                               const plan::Preprocessing& preprocessing);
OrRefused<SourceImage> ReadSourceImage(worker::WorkerPool& pool, const fs::path& path);

}  // namespace consilium::datasets::results

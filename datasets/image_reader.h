#pragma once

// Who reads image files for the catalog and the cache: this process, or better, a sandboxed worker
// (worker/sandboxed_reader.h).

#include <memory>
#include <span>
#include <vector>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/audio/recording.h"
#include "datasets/dicom/header.h"
#include "datasets/placed_mask.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

// What a segmentation or structure set outlines. Identifiers, all of it: never shown, logged or
// sent.
struct OutlinesContent {
  std::vector<std::string> instances;  // SOP instance UIDs that it references
  std::vector<std::string> labels;     // of its structures
};

// Thread-safe.
class ImageReader {
 public:
  virtual ~ImageReader() = default;
  // dicom::ReadHeader of each path, in their order. A few hundred at a time is best.
  virtual std::vector<OrRefused<dicom::Header>> ReadHeaders(std::span<const fs::path> paths) = 0;
  // pipeline::MakeInput of the file.
  virtual OrRefused<std::vector<float>> ReadInput(const fs::path& path,
                                                  const plan::Preprocessing& preprocessing) = 0;
  // Of each path, in their order, what a file there outlines (targets/outlines.h).
  virtual std::vector<OrRefused<OutlinesContent>> ReadOutlines(std::span<const fs::path> paths) = 0;
  // targets::ReadPlacedMask of an image, which is the first of `files`, and what outlines it.
  virtual OrRefused<PlacedMask> ReadMask(std::span<const fs::path> files,
                                         const std::vector<std::string>& structures,
                                         const plan::Preprocessing& preprocessing) = 0;
  // volumes::MakeInput of one series' files, of a plan of volumes.
  virtual OrRefused<std::vector<float>> ReadVolume(std::span<const fs::path> files,
                                                   const plan::Preprocessing& preprocessing) = 0;
  // targets::MakeMask of the same volume by what outlines it.
  virtual OrRefused<PlacedMask> ReadVolumeMask(std::span<const fs::path> files,
                                               std::span<const fs::path> outlines,
                                               const std::vector<std::string>& structures,
                                               const plan::Preprocessing& preprocessing) = 0;
  // audio::ReadRecording of the file.
  virtual OrRefused<audio::Recording> ReadRecording(const fs::path& path,
                                                    const std::optional<plan::Audio>& audio) = 0;
};

// Reads in this process, which a hostile file may crash: for tests and for one's own files.
std::unique_ptr<ImageReader> ReadInThisProcess();

}  // namespace consilium::datasets

#pragma once

// DICOM segmentations (PS3.3 A.51, C.8.20): BINARY, FRACTIONAL and LABELMAP, as masks on the grid
// of the volume that was segmented. Frames go where their geometry says, in whatever order they
// come.

#include <optional>
#include <string>
#include <vector>

#include "datasets/dicom/image_file.h"
#include "datasets/targets/mask.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::targets {

struct Segment {
  std::uint32_t number = 0;
  std::string label;
  Code category, type;    // ("123037004", "SCT", ...), ("10200004", "SCT", "Liver")
  std::string algorithm;  // AUTOMATIC, SEMIAUTOMATIC or MANUAL
  std::string tracking_identifier, tracking_uid;
};

// One thread at a time.
class Segmentation {
 public:
  enum class Kind { kBinary, kFractional, kLabelMap };

  // Reads all but the pixels. kUnsupportedTarget when it is no segmentation, or of a kind not
  // known; kNoGeometry when its frames do not say where they lie.
  static OrRefused<Segmentation> Open(const fs::path& path);
  static OrRefused<Segmentation> Open(File file);

  Kind kind() const { return kind_; }
  const std::vector<Segment>& segments() const { return segments_; }
  // The UIDs of the series that were segmented.
  const std::vector<std::string>& referenced_series() const { return referenced_series_; }
  const std::string& frame_of_reference() const { return frame_of_reference_; }

  // One segment's voxels: of fractional ones, those of at least `threshold` of the maximum. Where
  // no frame is, the segment is not. Frames are parallel to the volume's slices and lie within half
  // a spacing of one, but may have another pixel spacing or order of rows: kOutsideVolume
  // otherwise, and when a part of the segment lies beside the volume. kNoReference for an unknown
  // segment, kOtherFrameOfReference when the volume has another.
  OrRefused<Mask> ReadMask(std::uint32_t segment, const volumes::Grid& grid,
                           const std::string& frame_of_reference, double threshold = 0.5);

 private:
  struct Frame {
    std::uint32_t segment = 0;  // 0: of a label map, any
    volumes::Grid plane;        // one slice
  };

  static OrRefused<Segmentation> Of(OrRefused<dicom::DataSet> data_set);
  explicit Segmentation(dicom::ImageFile file) : file_(std::move(file)) {}
  std::optional<Refused> ReadHeader();
  std::optional<Refused> ReadFrames();
  OrRefused<std::vector<std::uint8_t>> ReadFrame(std::uint32_t frame, std::uint32_t segment,
                                                 double threshold);

  dicom::ImageFile file_;
  Kind kind_ = Kind::kBinary;
  double maximum_ = 1;  // the stored value that stands for all
  std::vector<Segment> segments_;
  std::vector<Frame> frames_;
  std::vector<std::string> referenced_series_;
  std::string frame_of_reference_;
};

}  // namespace consilium::datasets::targets

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
  // known; kNoGeometry when a frame says neither where it lies nor which image it is of.
  static OrRefused<Segmentation> Open(const fs::path& path);
  static OrRefused<Segmentation> Open(File file);
  static OrRefused<Segmentation> Of(OrRefused<dicom::DataSet> data_set);  // of OpenTarget (code.h)

  Kind kind() const { return kind_; }
  const std::vector<Segment>& segments() const { return segments_; }
  // The UIDs of the series that were segmented.
  const std::vector<std::string>& referenced_series() const { return referenced_series_; }
  const std::string& frame_of_reference() const { return frame_of_reference_; }
  // The UIDs of the instances that were segmented, each once: of the common instance reference
  // module (PS3.3 C.12.2), of source images and of what frames were derived from.
  const std::vector<std::string>& referenced_instances() const { return referenced_instances_; }

  // One segment's voxels: of fractional ones, those of at least `threshold` of the maximum. Where
  // no frame is, the segment is not. Frames are parallel to the volume's slices and lie within half
  // a spacing of one, but may have another pixel spacing or order of rows: kOutsideVolume
  // otherwise, and when a part of the segment lies beside the volume. kNoReference for an unknown
  // segment, kOtherFrameOfReference when the volume has another, kNoGeometry when a frame of the
  // segment does not say where it lies.
  OrRefused<Mask> ReadMask(std::uint32_t segment, const volumes::Grid& grid,
                           const std::string& frame_of_reference, double threshold = 0.5);

  // One segment's pixels of an image, rows * columns of 0 and 1; none where no frame of it is of
  // that image (image_mask.h says which are). kOutsideVolume when they cannot be laid on it,
  // kNoReference for an unknown segment.
  OrRefused<std::vector<std::uint8_t>> ReadPlane(std::uint32_t segment, const ImagePlane& image,
                                                 double threshold = 0.5);

 private:
  struct Source {
    std::string instance;
    std::vector<std::uint32_t> frames;  // from 1; empty: all
  };
  struct Frame {
    std::uint32_t segment = 0;           // 0: of a label map, any
    std::optional<volumes::Grid> plane;  // one slice
    std::vector<Source> sources;         // what it was made from
  };

  explicit Segmentation(dicom::ImageFile file) : file_(std::move(file)) {}
  std::optional<Refused> ReadHeader();
  std::optional<Refused> ReadReferences();
  std::optional<Refused> ReadFrames();
  bool IsOf(const Frame& frame, const ImagePlane& image) const;
  OrRefused<std::vector<std::uint8_t>> ReadFrame(std::uint32_t frame, std::uint32_t segment,
                                                 double threshold);

  dicom::ImageFile file_;
  Kind kind_ = Kind::kBinary;
  double maximum_ = 1;  // the stored value that stands for all
  std::vector<Segment> segments_;
  std::vector<Frame> frames_;
  std::vector<std::string> referenced_series_, referenced_instances_;
  std::string frame_of_reference_;
};

}  // namespace consilium::datasets::targets

#pragma once

// Small DICOM objects with geometry, written with DCMTK: series, enhanced multi-frame images,
// segmentations and structure sets.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "datasets/volumes/volume.h"

class DcmItem;

namespace consilium::datasets {

// Sizes, spacings and directions all differ: oblique, and stacked `tilt_degrees` off its normal.
volumes::Grid AsymmetricGrid(double tilt_degrees = 0);

// A value that is another one at each voxel: column + 20 * row + 400 * slice.
float ValueAt(std::uint32_t column, std::uint32_t row, std::uint32_t slice);
volumes::Volume VolumeOf(const volumes::Grid& grid);

inline constexpr const char* kFrameOfReference = "1.2.826.1";
using Change = std::function<void(DcmItem&)>;

// One CT slice of VolumeOf(grid), in a file that `change` may alter before it is written. Stored as
// value + 1000 with a rescale intercept of -1000.
void WriteSlice(const fs::path& path, const volumes::Grid& grid, std::uint32_t slice,
                int instance_number, const Change& change = {});
void WriteSeries(const fs::path& folder, const volumes::Grid& grid, bool descending);

// The slices in the order of `frames` as an enhanced MR image, each frame with its `b_values`' one.
void WriteEnhanced(const fs::path& path, const volumes::Grid& grid,
                   const std::vector<std::uint32_t>& frames, const std::vector<double>& b_values);

struct SegFrame {
  std::uint32_t slice = 0;
  int segment = 1;
  std::vector<std::uint8_t> pixels;  // of the grid's plane
};
// `type` is BINARY (pixels 0 and 1), FRACTIONAL (0 to 200) or LABELMAP (segment numbers).
void WriteSegmentation(const fs::path& path, const volumes::Grid& grid, const std::string& type,
                       const std::vector<SegFrame>& frames, int segments,
                       const Change& change = {});

struct DrawnContour {
  int region = 1;
  std::vector<volumes::Vec3> points;
  std::string type = "CLOSED_PLANAR";
};
void WriteStructureSet(const fs::path& path, const std::vector<DrawnContour>& contours,
                       const Change& change = {});

// A report of TID 1500 with one measurement group about segment 2 of an image.
void WriteReport(const fs::path& path, const std::string& volume_ml, const Change& change = {});

// Inserts texts and numbers as text, of a tag "0018,1120".
void Put(DcmItem& item, unsigned group, unsigned element, const std::string& value);
DcmItem& NewItem(DcmItem& item, unsigned group, unsigned element);

}  // namespace consilium::datasets

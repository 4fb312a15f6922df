#pragma once

// Radiotherapy structure sets (PS3.3 A.19, C.8.8.5 and C.8.8.6): regions of interest drawn as
// closed planar contours.

#include <optional>
#include <string>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/targets/contour_fill.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::targets {

// At most so many points in one region.
inline constexpr std::size_t kMaxContourPoints = 8u << 20;

struct Region {
  int number = 0;                  // (3006,0022)
  std::string name;                // (3006,0026)
  std::string interpreted_type;    // (3006,00A4): ORGAN, GTV, PTV ...; empty when not said
  std::string frame_of_reference;  // (3006,0024)
  bool drawn = false;              // it has contours
};

// One thread at a time.
class StructureSet {
 public:
  // Reads all but the contours. kUnsupportedTarget when it is no structure set.
  static OrRefused<StructureSet> Open(const fs::path& path);
  static OrRefused<StructureSet> Open(File file);
  static OrRefused<StructureSet> Of(OrRefused<dicom::DataSet> data_set);  // of OpenTarget (code.h)
  static bool Is(const dicom::DataSet& data_set);                         // it has regions

  const std::vector<Region>& regions() const { return regions_; }
  const std::vector<std::string>& referenced_series() const { return referenced_series_; }
  // The UIDs of the instances on which the regions were drawn or could have been, each once: of the
  // referenced series (C.8.8.5.4) and of single contours.
  const std::vector<std::string>& referenced_instances() const { return referenced_instances_; }

  // The contours of a region. kNoReference when it is not there; kUnsupportedTarget when it has
  // none or some of another kind than closed and planar (points, open lines); kTooLarge.
  OrRefused<std::vector<Contour>> ReadContours(int region) const;
  // See FillContours. kOtherFrameOfReference when the region has another than the volume.
  OrRefused<Mask> ReadMask(int region, const volumes::Grid& grid,
                           const std::string& frame_of_reference) const;
  // A region's pixels of an image, rows * columns of 0 and 1: of the contours that are drawn on its
  // plane. Refuses what ReadMask does, and kNoGeometry when the image does not say where it lies.
  OrRefused<std::vector<std::uint8_t>> ReadPlane(int region, const ImagePlane& image) const;

 private:
  explicit StructureSet(dicom::DataSet data_set) : data_set_(std::move(data_set)) {}
  std::optional<Refused> ReadRegions();
  std::optional<Refused> ReadReferences();
  OrRefused<std::vector<dicom::DataSet>> ContourItems(int region) const;
  OrRefused<std::vector<Contour>> ContoursIn(int region,
                                             const std::string& frame_of_reference) const;

  dicom::DataSet data_set_;
  std::vector<Region> regions_;
  std::vector<std::string> referenced_series_, referenced_instances_;
};

}  // namespace consilium::datasets::targets

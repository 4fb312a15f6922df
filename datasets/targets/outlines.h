#pragma once

// Structures outlined in images, in either form that DICOM has for it: a segmentation or a
// radiotherapy structure set.

#include <string>
#include <variant>
#include <vector>

#include "datasets/targets/segmentation.h"
#include "datasets/targets/structure_set.h"

namespace consilium::datasets::targets {

// A segment, or a region of interest for which something is drawn.
struct OutlinedStructure {
  std::uint32_t number = 0;  // of the segment, or the region
  std::string label;
};

// One thread at a time.
class Outlines {
 public:
  // kUnsupportedTarget when it is neither; else as Segmentation::Open and StructureSet::Open.
  static OrRefused<Outlines> Open(const fs::path& path);
  static OrRefused<Outlines> Open(File file);

  const std::vector<OutlinedStructure>& structures() const { return structures_; }
  // Each once: the UIDs of the instances that were outlined, of which some may show no structure.
  const std::vector<std::string>& referenced_instances() const;

  // ReadMask and ReadPlane of the segment, or the region.
  OrRefused<Mask> ReadMask(std::uint32_t number, const volumes::Grid& grid,
                           const std::string& frame_of_reference);
  OrRefused<std::vector<std::uint8_t>> ReadPlane(std::uint32_t number, const ImagePlane& image);

 private:
  using Form = std::variant<Segmentation, StructureSet>;

  static OrRefused<Outlines> Of(OrRefused<dicom::DataSet> data_set);
  explicit Outlines(Form form);

  Form form_;
  std::vector<OutlinedStructure> structures_;
};

}  // namespace consilium::datasets::targets

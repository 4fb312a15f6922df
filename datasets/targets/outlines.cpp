#include "datasets/targets/outlines.h"

#include "datasets/targets/code.h"

namespace consilium::datasets::targets {
namespace {

std::vector<OutlinedStructure> StructuresOf(const Segmentation& segmentation) {
  std::vector<OutlinedStructure> structures;
  for (const Segment& segment : segmentation.segments()) {
    structures.push_back({segment.number, segment.label});
  }
  return structures;
}

// Templates leave regions that nobody drew: they say nothing, not that the structure is absent.
std::vector<OutlinedStructure> StructuresOf(const StructureSet& set) {
  std::vector<OutlinedStructure> structures;
  for (const Region& region : set.regions()) {
    if (region.drawn && region.number >= 0) {
      structures.push_back({static_cast<std::uint32_t>(region.number), region.name});
    }
  }
  return structures;
}

}  // namespace

Outlines::Outlines(Form form) : form_(std::move(form)) {
  structures_ = std::visit([](const auto& file) { return StructuresOf(file); }, form_);
}

OrRefused<Outlines> Outlines::Open(const fs::path& path) { return Of(OpenTarget(path)); }

OrRefused<Outlines> Outlines::Open(File file) { return Of(OpenTarget(std::move(file))); }

OrRefused<Outlines> Outlines::Of(OrRefused<dicom::DataSet> data_set) {
  if (data_set.ok() && StructureSet::Is(*data_set)) {
    auto set = StructureSet::Of(std::move(data_set));
    if (!set.ok()) return set.refused();
    return Outlines(*std::move(set));
  }
  auto segmentation = Segmentation::Of(std::move(data_set));
  if (!segmentation.ok()) return segmentation.refused();
  return Outlines(*std::move(segmentation));
}

const std::vector<std::string>& Outlines::referenced_instances() const {
  return std::visit(
      [](const auto& file) -> const auto& { return file.referenced_instances(); }, form_);
}

OrRefused<Mask> Outlines::ReadMask(std::uint32_t number, const volumes::Grid& grid,
                                   const std::string& frame_of_reference) {
  if (auto* set = std::get_if<StructureSet>(&form_)) {
    return set->ReadMask(static_cast<int>(number), grid, frame_of_reference);
  }
  return std::get<Segmentation>(form_).ReadMask(number, grid, frame_of_reference);
}

OrRefused<std::vector<std::uint8_t>> Outlines::ReadPlane(std::uint32_t number,
                                                         const ImagePlane& image) {
  if (auto* set = std::get_if<StructureSet>(&form_)) {
    return set->ReadPlane(static_cast<int>(number), image);
  }
  return std::get<Segmentation>(form_).ReadPlane(number, image);
}

}  // namespace consilium::datasets::targets

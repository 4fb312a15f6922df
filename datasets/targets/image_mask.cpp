#include "datasets/targets/image_mask.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/pipeline/pipeline.h"

namespace consilium::datasets::targets {
namespace {

using volumes::Grid;
using volumes::Vec3;

constexpr std::uint32_t kFrameOfReference = dicom::Tag(0x0020, 0x0052);
constexpr std::uint32_t kSopInstanceUid = dicom::Tag(0x0008, 0x0018);

// Where the frame lies in the patient, if the file says it.
std::optional<Grid> PlaneOf(dicom::ImageFile& image, std::uint32_t frame) {
  const auto said = image.Describe(frame);
  if (!said.ok() || !said->position || !said->orientation || !(said->row_spacing_mm > 0) ||
      !(said->column_spacing_mm > 0)) {
    return std::nullopt;
  }
  const auto& o = *said->orientation;
  const Vec3 row = {o[0], o[1], o[2]}, column = {o[3], o[4], o[5]};
  if (!(std::abs(Norm(row) - 1) < 1e-2) || !(std::abs(Norm(column) - 1) < 1e-2) ||
      !(std::abs(Dot(row, column)) < 1e-2)) {
    return std::nullopt;
  }
  Grid plane;
  plane.size = {image.header().columns, image.header().rows, 1};
  // Half as thick: a frame that lies between two overlapping slices is on neither of them.
  plane.spacing_mm = {said->column_spacing_mm, said->row_spacing_mm,
                      said->slice_thickness_mm > 0 ? said->slice_thickness_mm / 2 : 1};
  const auto& p = *said->position;
  plane.origin = {p[0], p[1], p[2]};
  plane.directions[0] = row * (1 / Norm(row));
  const Vec3 across = column - plane.directions[0] * Dot(plane.directions[0], column);
  plane.directions[1] = across * (1 / Norm(across));
  plane.directions[2] = Cross(plane.directions[0], plane.directions[1]);
  if (!IsSound(plane)) return std::nullopt;
  return plane;
}

float InputSpacing(dicom::ImageFile& image, const pipeline::Placement& placement,
                   const plan::Preprocessing& preprocessing) {
  if (preprocessing.spacing_mm > 0) return static_cast<float>(preprocessing.spacing_mm);
  const auto said = image.Describe(placement.frame);
  if (!said.ok() || !(said->row_spacing_mm > 0)) return 0;
  const double spacing = said->row_spacing_mm * placement.rows_a_pixel;
  return std::isfinite(spacing) ? static_cast<float>(spacing) : 0;
}

}  // namespace

std::string FoldedLabel(std::string_view label) {
  while (!label.empty() && label.front() == ' ') label.remove_prefix(1);
  while (!label.empty() && label.back() == ' ') label.remove_suffix(1);
  std::string folded(label);
  std::transform(folded.begin(), folded.end(), folded.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return folded;
}

OrRefused<Bytes> ReadImageMask(dicom::ImageFile& image, std::uint32_t frame,
                               std::span<Outlines> outlines,
                               const std::vector<std::string>& structures) {
  CONSILIUM_CHECK(structures.size() <= kMostStructures);
  ImagePlane plane;
  plane.sop_instance_uid = image.data_set().Text(kSopInstanceUid);
  plane.frame = frame;
  plane.rows = image.header().rows;
  plane.columns = image.header().columns;
  plane.grid = PlaneOf(image, frame);
  plane.frame_of_reference = image.data_set().Text(kFrameOfReference);
  Bytes mask(std::size_t{plane.rows} * plane.columns);
  for (std::size_t i = 0; i < structures.size(); ++i) {
    const std::string wanted = FoldedLabel(structures[i]);
    for (Outlines& file : outlines) {
      for (const OutlinedStructure& structure : file.structures()) {
        if (FoldedLabel(structure.label) != wanted) continue;
        const auto pixels = file.ReadPlane(structure.number, plane);
        if (!pixels.ok()) return pixels.refused();
        for (std::size_t at = 0; at < mask.size(); ++at) {
          if ((*pixels)[at] != 0) mask[at] = static_cast<std::uint8_t>(i + 1);
        }
      }
    }
  }
  return mask;
}

Bytes Placed(ByteView mask, const pipeline::Placement& placement) {
  CONSILIUM_CHECK(mask.size() == std::size_t{placement.rows} * placement.columns);
  Bytes out(std::size_t{placement.size} * placement.size);
  for (std::uint32_t y = 0; y < placement.size; ++y) {
    const double row = placement.ImageRow(y + 0.5);
    for (std::uint32_t x = 0; x < placement.size; ++x) {
      const double column = placement.ImageColumn(x + 0.5);
      if (!placement.Shows(column, row) || column < 0 || row < 0) continue;
      const auto i = static_cast<std::size_t>(row), j = static_cast<std::size_t>(column);
      if (i >= placement.rows || j >= placement.columns) continue;
      out[std::size_t{y} * placement.size + x] = mask[i * placement.columns + j];
    }
  }
  return out;
}

OrRefused<PlacedMask> ReadPlacedMask(dicom::ImageFile& image, std::span<Outlines> outlines,
                                     const std::vector<std::string>& structures,
                                     const plan::Preprocessing& preprocessing) {
  pipeline::Placement placement;
  const auto input = pipeline::MakeInput(image, preprocessing, nullptr, &placement);
  if (!input.ok()) return input.refused();
  const auto mask = ReadImageMask(image, placement.frame, outlines, structures);
  if (!mask.ok()) return mask.refused();
  return PlacedMask{Placed(*mask, placement), InputSpacing(image, placement, preprocessing)};
}

}  // namespace consilium::datasets::targets

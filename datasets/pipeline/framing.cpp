#include "datasets/pipeline/framing.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace consilium::datasets::pipeline {
namespace {

constexpr double kClear = 0.05;  // from a half

std::string Words(const Box& box, const Image& image) {
  return absl::StrFormat("columns %d to %d of %d, rows %d to %d of %d", box.left + 1, box.right,
                         image.columns, box.top + 1, box.bottom, image.rows);
}

void Keep(const Box& box, Framing* framing) {
  framing->box = box;
  framing->columns = box.columns();
  framing->rows = box.rows();
  framing->centre_column = (double{1} * box.left + box.right) / 2;
  framing->centre_row = (double{1} * box.top + box.bottom) / 2;
}

void FrameForeground(const Image& image, const std::optional<Foreground>& foreground,
                     Framing* framing) {
  if (!foreground) {
    framing->crop_words = "no bright object stands out, so the whole image stays";
    return;
  }
  Keep(foreground->box, framing);
  framing->crop_words =
      absl::StrFormat("the largest bright object (%s %.5g, %.0f %% of the image): %s",
                      image.larger_is_darker ? "below" : "above", foreground->threshold,
                      100 * foreground->share, Words(foreground->box, image));
}

// A disc cut off by the image's upper or lower edge is still as wide as high.
void FrameDisc(const Image& image, const std::optional<Foreground>& foreground, Framing* framing) {
  FrameForeground(image, foreground, framing);
  if (!foreground) return;
  const Box& box = foreground->box;
  const double row = image.row_spacing_mm > 0 ? image.row_spacing_mm : 1;
  const double column = image.column_spacing_mm > 0 ? image.column_spacing_mm : 1;
  const double full = box.columns() * column / row;  // the disc's height if it is round
  const bool cut_above = box.top == 0, cut_below = box.bottom == image.rows;
  if (full <= framing->rows || (!cut_above && !cut_below)) return;
  framing->rows = full;
  if (cut_above && !cut_below) framing->centre_row = box.bottom - full / 2;
  if (cut_below && !cut_above) framing->centre_row = box.top + full / 2;
  framing->crop_words += ", of which the image's edge cuts off a part";
}

void FrameScanRegion(const Image& image, const Hints& hints, Framing* framing) {
  if (!hints.scan_region) {
    framing->crop_words = "the file declares no region of tissue, so the whole image stays";
    return;
  }
  Keep(*hints.scan_region, framing);
  framing->crop_words =
      StrCat("the first region of tissue that the file declares: ", Words(framing->box, image));
}

std::string_view Side(Facing facing) { return facing == Facing::kLeft ? "left" : "right"; }

// Where the tissue lies, if it is seen clearly.
std::optional<Facing> SeenFacing(const Foreground& foreground, std::string* words) {
  double right = foreground.right_of_image;
  std::string_view of = "image";
  if (std::abs(right - 0.5) < kClear) {
    right = foreground.right_of_box;
    of = "object's box";
  }
  const double most = std::max(right, 1 - right);
  *words = absl::StrFormat("%.0f %% of the tissue is in the %s half of the %s", 100 * most,
                           right > 0.5 ? "right" : "left", std::string(of));
  if (most - 0.5 < kClear) return std::nullopt;
  return right > 0.5 ? Facing::kRight : Facing::kLeft;
}

void DecideMirroring(const std::optional<Foreground>& foreground, const Hints& hints,
                     Framing* framing) {
  std::string words = "no tissue stands out";
  std::optional<Facing> facing;
  if (foreground) facing = SeenFacing(*foreground, &words);
  if (!facing && hints.facing) {
    facing = hints.facing;
    StrAppend(&words, ", which is not clear; by ", hints.facing_source, " it lies on the ",
              Side(*facing));
  } else if (facing && hints.facing) {
    StrAppend(&words, *facing == *hints.facing ? "; so says " : "; that counts, though by ",
              hints.facing_source, *facing == *hints.facing ? "" : " it should be the other");
  }
  framing->mirrored = facing == Facing::kRight;
  framing->mirror_words = StrCat(words, framing->mirrored ? ": mirrored" : ": left as it is");
}

}  // namespace

Framing Frame(const Image& image, const plan::Preprocessing& preprocessing, const Hints& hints) {
  Framing framing;
  Keep({0, 0, image.columns, image.rows}, &framing);
  std::optional<Foreground> foreground;
  const bool by_object =
      preprocessing.crop == plan::Crop::kForeground || preprocessing.crop == plan::Crop::kDisc;
  if (by_object || preprocessing.face_left) foreground = FindForeground(image);
  switch (preprocessing.crop) {
    case plan::Crop::kNone:
      break;
    case plan::Crop::kForeground:
      FrameForeground(image, foreground, &framing);
      break;
    case plan::Crop::kScanRegion:
      FrameScanRegion(image, hints, &framing);
      break;
    case plan::Crop::kDisc:
      FrameDisc(image, foreground, &framing);
      break;
  }
  if (preprocessing.face_left) DecideMirroring(foreground, hints, &framing);
  return framing;
}

Image Cut(const Image& image, const Box& box, bool mirrored) {
  Image out;
  out.rows = box.rows();
  out.columns = box.columns();
  out.larger_is_darker = image.larger_is_darker;
  out.window = image.window;
  out.voi_lut = image.voi_lut;
  out.row_spacing_mm = image.row_spacing_mm;
  out.column_spacing_mm = image.column_spacing_mm;
  const auto copy_rows = [&](const auto& from, auto& to) {
    to.resize(std::size_t{out.rows} * out.columns);
    for (std::uint32_t row = 0; row < out.rows; ++row) {
      const auto first = from.begin() + static_cast<std::ptrdiff_t>(
                                            std::size_t{box.top + row} * image.columns + box.left);
      const auto last = first + out.columns;
      const auto at = to.begin() + static_cast<std::ptrdiff_t>(std::size_t{row} * out.columns);
      mirrored ? std::reverse_copy(first, last, at) : std::copy(first, last, at);
    }
  };
  copy_rows(image.pixels, out.pixels);
  if (!image.padding.empty()) copy_rows(image.padding, out.padding);
  return out;
}

}  // namespace consilium::datasets::pipeline

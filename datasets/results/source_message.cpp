#include "datasets/results/source_message.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace consilium::datasets::results {
namespace {

constexpr std::uint32_t kMostCopied = 64;

// Each of these reads or writes, by the kind of message; to a writer the structs are const.
template <class Message, class G>
void GridFields(Message& message, G& grid) {
  for (auto& size : grid.size) message.U32(size);
  for (auto& spacing : grid.spacing_mm) message.F64(spacing);
  for (auto& direction : grid.directions) {
    for (auto& part : direction) message.F64(part);
  }
  for (auto& part : grid.origin) message.F64(part);
}

template <class Message, class S>
void SourceFields(Message& message, S& source) {
  for (auto* text : {&source.sop_class_uid, &source.sop_instance_uid, &source.series_instance_uid,
                     &source.study_instance_uid, &source.modality, &source.lossy_ratio,
                     &source.lossy_method, &source.patient_orientation, &source.frame_of_reference,
                     &source.position_reference_indicator}) {
    message.Text(*text);
  }
  for (auto* number : {&source.rows, &source.columns, &source.frames}) message.U32(*number);
  message.Int(source.instance_number, 0, 2'000'000'000);
  message.Bool(source.lossy);
  message.F64(source.slice_thickness_mm);
}

bool IsSide(std::uint32_t pixels) { return pixels >= 1 && pixels <= 65535; }

bool IsSound(const SourceImage& source) {
  const bool named = !source.sop_class_uid.empty() && !source.sop_instance_uid.empty() &&
                     !source.series_instance_uid.empty() && !source.study_instance_uid.empty();
  const std::array size = {source.columns, source.rows, 1u};
  return named && IsSide(source.rows) && IsSide(source.columns) && source.frames >= 1 &&
         std::isfinite(source.slice_thickness_mm) && source.slice_thickness_mm >= 0 &&
         (!source.plane || (IsSound(*source.plane) && source.plane->size == size)) &&
         std::all_of(source.patient_and_study.begin(), source.patient_and_study.end(),
                     [](const CopiedElement& e) { return IsTakenOver(e.tag); });
}

}  // namespace

void Write(worker::MessageWriter& message, const SourceImage& source) {
  SourceFields(message, source);
  message.Bool(source.plane.has_value());
  if (source.plane) GridFields(message, *source.plane);
  message.U32(static_cast<std::uint32_t>(source.patient_and_study.size()));
  for (const CopiedElement& element : source.patient_and_study) {
    message.U32(element.tag);
    message.Text(element.value);
  }
}

bool Read(worker::MessageReader& message, SourceImage* source) {
  SourceFields(message, *source);
  bool has_plane = false;
  message.Bool(has_plane);
  if (has_plane) GridFields(message, source->plane.emplace());
  std::uint32_t copied = 0;
  message.U32(copied);
  if (copied > kMostCopied) return false;
  for (std::uint32_t i = 0; i < copied; ++i) {
    CopiedElement& element = source->patient_and_study.emplace_back();
    message.U32(element.tag);
    message.Text(element.value);
  }
  return !message.failed() && IsSound(*source);
}

}  // namespace consilium::datasets::results

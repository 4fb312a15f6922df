#include "datasets/results/subject.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "datasets/pipeline/pipeline.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::results {
namespace {

using pipeline::Placement;

constexpr std::size_t kMostPicture = std::size_t{kPictureSide} * kPictureSide;
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

template <class Message, class P>
void PlacementFields(Message& message, P& placement) {
  for (auto* number : {&placement.frame, &placement.rows, &placement.columns, &placement.size}) {
    message.U32(*number);
  }
  for (auto* number : {&placement.left, &placement.top, &placement.right, &placement.bottom,
                       &placement.columns_a_pixel, &placement.rows_a_pixel,
                       &placement.centre_column, &placement.centre_row}) {
    message.F64(*number);
  }
  message.Bool(placement.mirrored);
}

template <class Message, class B>
void BackdropFields(Message& message, B& backdrop) {
  for (auto* number :
       {&backdrop.rows, &backdrop.columns, &backdrop.image_rows, &backdrop.image_columns}) {
    message.U32(*number);
  }
  message.Floats(backdrop.brightness, kMostPicture);
}

bool IsSide(std::uint32_t pixels) { return pixels >= 1 && pixels <= 65535; }

bool AllWithin01(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v >= 0 && v <= 1; });
}

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

bool IsSound(const Placement& p, const SourceImage& source, std::uint32_t image_size) {
  for (const double number : {p.left, p.top, p.right, p.bottom, p.columns_a_pixel, p.rows_a_pixel,
                              p.centre_column, p.centre_row}) {
    if (!std::isfinite(number)) return false;
  }
  return p.rows == source.rows && p.columns == source.columns && p.frame < source.frames &&
         p.size == image_size && p.columns_a_pixel > 0 && p.rows_a_pixel > 0;
}

bool IsSound(const Backdrop& b, const SourceImage& source) {
  return b.rows >= 1 && b.columns >= 1 && b.rows <= kPictureSide && b.columns <= kPictureSide &&
         b.image_rows == source.rows && b.image_columns == source.columns &&
         b.brightness.size() == std::size_t{b.rows} * b.columns && AllWithin01(b.brightness);
}

}  // namespace

OrRefused<Subject> ReadSubject(dicom::ImageFile file, const plan::Preprocessing& preprocessing) {
  Subject subject;
  auto input = pipeline::MakeInput(file, preprocessing, nullptr, &subject.placement);
  if (!input.ok()) return input.refused();
  subject.input = std::move(*input);
  auto source = ReadSourceImage(file.data_set());
  if (!source.ok()) return source.refused();
  subject.source = std::move(*source);
  const auto shown = file.ReadModality(subject.placement.frame);
  if (!shown.ok()) return shown.refused();
  subject.backdrop = MakeBackdrop(*shown);
  return subject;
}

Bytes Encode(const Subject& subject) {
  worker::MessageWriter message;
  SourceFields(message, subject.source);
  message.Bool(subject.source.plane.has_value());
  if (subject.source.plane) GridFields(message, *subject.source.plane);
  message.U32(static_cast<std::uint32_t>(subject.source.patient_and_study.size()));
  for (const CopiedElement& element : subject.source.patient_and_study) {
    message.U32(element.tag);
    message.Text(element.value);
  }
  message.Floats(subject.input, subject.input.size());
  PlacementFields(message, subject.placement);
  BackdropFields(message, subject.backdrop);
  return std::move(message).Take();
}

std::optional<Subject> DecodeSubject(ByteView bytes, const plan::Preprocessing& preprocessing) {
  worker::MessageReader message(bytes);
  Subject subject;
  SourceFields(message, subject.source);
  bool has_plane = false;
  message.Bool(has_plane);
  if (has_plane) GridFields(message, subject.source.plane.emplace());
  std::uint32_t copied = 0;
  message.U32(copied);
  if (copied > kMostCopied) return std::nullopt;
  for (std::uint32_t i = 0; i < copied; ++i) {
    CopiedElement& element = subject.source.patient_and_study.emplace_back();
    message.U32(element.tag);
    message.Text(element.value);
  }
  const std::size_t values = std::size_t{preprocessing.image_size} * preprocessing.image_size;
  message.Floats(subject.input, values);
  PlacementFields(message, subject.placement);
  BackdropFields(message, subject.backdrop);
  const bool sound = message.Done() && IsSound(subject.source) && subject.input.size() == values &&
                     AllWithin01(subject.input) &&
                     IsSound(subject.placement, subject.source, preprocessing.image_size) &&
                     IsSound(subject.backdrop, subject.source);
  if (!sound) return std::nullopt;
  return subject;
}

}  // namespace consilium::datasets::results

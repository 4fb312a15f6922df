#include "datasets/results/subject.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "datasets/pipeline/pipeline.h"
#include "datasets/results/source_message.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::results {
namespace {

using pipeline::Placement;

constexpr std::size_t kMostPicture = std::size_t{kPictureSide} * kPictureSide;

// Each of these reads or writes, by the kind of message; to a writer the structs are const.
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

bool AllWithin01(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v >= 0 && v <= 1; });
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
  Write(message, subject.source);
  message.Floats(subject.input, subject.input.size());
  PlacementFields(message, subject.placement);
  BackdropFields(message, subject.backdrop);
  return std::move(message).Take();
}

std::optional<Subject> DecodeSubject(ByteView bytes, const plan::Preprocessing& preprocessing) {
  worker::MessageReader message(bytes);
  Subject subject;
  if (!Read(message, &subject.source)) return std::nullopt;
  const std::size_t values = std::size_t{preprocessing.image_size} * preprocessing.image_size;
  message.Floats(subject.input, values);
  PlacementFields(message, subject.placement);
  BackdropFields(message, subject.backdrop);
  const bool sound = message.Done() && subject.input.size() == values &&
                     AllWithin01(subject.input) &&
                     IsSound(subject.placement, subject.source, preprocessing.image_size) &&
                     IsSound(subject.backdrop, subject.source);
  if (!sound) return std::nullopt;
  return subject;
}

}  // namespace consilium::datasets::results

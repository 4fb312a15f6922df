#include "datasets/volumes/instance_message.h"

#include "datasets/worker/message.h"

namespace consilium::datasets::volumes {
namespace {

// Image types and the like, with their backslashes; beyond it a file is not taken seriously.
constexpr std::size_t kLongestKey = 64 << 10;
constexpr std::uint32_t kMostClasses = 1;

// As in worker/header_message.cpp: the names list every field, `S` and `P` are const to a writer.
template <class Message, class V>
void VectorFields(Message& message, V& vector) {
  for (auto& number : vector) message.F64(number);
}

template <class Message, class S>
void SliceFields(Message& message, S& slice) {
  auto& [position, row_direction, column_direction, row_spacing_mm, column_spacing_mm, rows,
         columns, gantry_tilt_degrees, localiser, keys, frame_of_reference, instance, frame, load] =
      slice;
  (void)load;
  VectorFields(message, position);
  VectorFields(message, row_direction);
  VectorFields(message, column_direction);
  message.F64(row_spacing_mm);
  message.F64(column_spacing_mm);
  message.U32(rows);
  message.U32(columns);
  message.Optional(gantry_tilt_degrees);
  message.Bool(localiser);
  for (auto& key : keys) message.Text(key, kLongestKey);
  message.Text(frame_of_reference);
  message.Text(instance);
  message.U32(frame);
}

template <class Message, class P>
void PetFields(Message& message, P& pet) {
  auto& [units, suv_type, corrected_image, decay_correction, weight_kg, injected_dose_bq,
         half_life_s, injection_time, injection_date_time, series_date, series_time,
         acquisition_date, acquisition_time, frame_reference_time_ms, frame_duration_ms,
         philips_suv_factor, philips_activity_factor] = pet;
  for (auto* text :
       {&units, &suv_type, &corrected_image, &decay_correction, &injection_time,
        &injection_date_time, &series_date, &series_time, &acquisition_date, &acquisition_time}) {
    message.Text(*text, kLongestKey);
  }
  for (auto* number : {&weight_kg, &injected_dose_bq, &half_life_s, &frame_reference_time_ms,
                       &frame_duration_ms, &philips_suv_factor, &philips_activity_factor}) {
    message.Optional(*number);
  }
}

template <class Message, class S>
void TextFields(Message& message, S& series) {
  message.Text(series.uid);
  message.Text(series.study_uid);
  message.Text(series.modality);
}

bool Plausible(const Slice& slice) {
  return slice.rows > 0 && slice.rows <= 65535 && slice.columns > 0 && slice.columns <= 65535 &&
         slice.frame >= 1 && slice.frame <= kMaxFrames;
}

}  // namespace

Bytes Encode(const Series& instance) {
  worker::MessageWriter writer;
  TextFields(writer, instance);
  writer.U32(static_cast<std::uint32_t>(instance.sop_class_uids.size()));
  for (const std::string& uid : instance.sop_class_uids) writer.Text(uid);
  writer.U32(static_cast<std::uint32_t>(instance.slices.size()));
  for (const Slice& slice : instance.slices) SliceFields(writer, slice);
  writer.Bool(instance.pet.has_value());
  if (instance.pet) PetFields(writer, *instance.pet);
  writer.Enum(instance.refused ? instance.refused->reason : Refusal::kNone, Refusal::kUnwantedAge);
  writer.Text(instance.refused ? instance.refused->detail.substr(0, worker::kLongestText) : "");
  return std::move(writer).Take();
}

std::optional<Series> DecodeInstance(ByteView message) {
  worker::MessageReader reader(message);
  Series instance;
  TextFields(reader, instance);
  std::uint32_t classes = 0, slices = 0;
  reader.U32(classes);
  if (classes > kMostClasses) return std::nullopt;
  instance.sop_class_uids.resize(classes);
  for (std::string& uid : instance.sop_class_uids) reader.Text(uid);
  reader.U32(slices);
  if (slices > kMaxFrames) return std::nullopt;
  for (std::uint32_t i = 0; i < slices && !reader.failed(); ++i) {
    SliceFields(reader, instance.slices.emplace_back());
    if (!Plausible(instance.slices.back())) return std::nullopt;
  }
  bool pet = false;
  reader.Bool(pet);
  if (pet) PetFields(reader, instance.pet.emplace());
  Refused refused;
  reader.Enum(refused.reason, Refusal::kUnwantedAge);
  reader.Text(refused.detail);
  if (refused.reason != Refusal::kNone) instance.refused = std::move(refused);
  if (!reader.Done()) return std::nullopt;
  return instance;
}

}  // namespace consilium::datasets::volumes

#include "datasets/worker/header_message.h"

#include "datasets/worker/message.h"

namespace consilium::datasets::worker {
namespace {

constexpr int kMostBits = 64;

// `H` is const to a writer. The names list every field, so that this does not compile when the
// struct has got one more: then name it here and say it below.
template <class Message, class H>
void HeaderFields(Message& message, H& header) {
  auto& [transfer_syntax, sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid,
         patient_id, modality, view_position, laterality, manufacturer, model, patient_sex,
         patient_age_years, body_part, slice_thickness_mm, burned_in, head, rows, columns, frames,
         samples, kind, bits_allocated, bits_stored, high_bit, is_signed, photometric, monochrome1,
         planar, row_spacing_mm, column_spacing_mm] = header;
  message.Enum(transfer_syntax, dicom::TransferSyntax::kDeflatedFrames);
  for (auto* text :
       {&sop_class_uid, &sop_instance_uid, &series_instance_uid, &study_instance_uid, &patient_id,
        &modality, &view_position, &laterality, &manufacturer, &model, &patient_sex, &body_part}) {
    message.Text(*text);
  }
  message.Optional(patient_age_years);
  message.F64(slice_thickness_mm);
  message.Bool(burned_in);
  message.Bool(head);
  message.U32(rows);
  message.U32(columns);
  message.U32(frames);
  message.Int(samples, 1, 4);
  message.Enum(kind, dicom::SampleKind::kDouble);
  for (auto* bits : {&bits_allocated, &bits_stored, &high_bit}) message.Int(*bits, 0, kMostBits);
  message.Bool(is_signed);
  message.Enum(photometric, dicom::Photometric::kYbrRct);
  message.Bool(monochrome1);
  message.Bool(planar);
  message.F64(row_spacing_mm);
  message.F64(column_spacing_mm);
}

template <class Message, class P>
void PreprocessingFields(Message& message, P& preprocessing) {
  auto& [preset, image_size, frame, channel, units, crop, face_left, intensity, low, high,
         blank_padding, slices, slice_spacing_mm, spacing_mm, standardize] = preprocessing;
  message.Enum(preset, plan::Preset::kPet);
  message.U32(image_size);
  message.Enum(frame, plan::FrameChoice::kMiddle);
  message.Enum(channel, plan::Channel::kRgb);
  message.Enum(units, plan::Units::kSuv);
  message.Enum(crop, plan::Crop::kDisc);
  message.Bool(face_left);
  message.Enum(intensity, plan::Intensity::kFixed);
  message.F64(low);
  message.F64(high);
  message.Bool(blank_padding);
  message.U32(slices);
  message.F64(slice_spacing_mm);
  message.F64(spacing_mm);
  message.Bool(standardize);
}

// What the rest of the program takes for granted of a header. A file may say any spacing.
bool Plausible(const dicom::Header& header) {
  const std::uint64_t samples = std::uint64_t{header.rows} * header.columns;
  return header.rows > 0 && header.columns > 0 && header.frames > 0 &&
         samples <= dicom::kMaxFrameSamples / static_cast<std::uint64_t>(header.samples) &&
         header.patient_age_years.value_or(0) >= 0 && header.patient_age_years.value_or(0) <= 150;
}

}  // namespace

Bytes Encode(const dicom::Header& header) {
  MessageWriter writer;
  HeaderFields(writer, header);
  return std::move(writer).Take();
}

std::optional<dicom::Header> DecodeHeader(ByteView message) {
  MessageReader reader(message);
  dicom::Header header;
  HeaderFields(reader, header);
  if (!reader.Done() || !Plausible(header)) return std::nullopt;
  return header;
}

Bytes Encode(const plan::Preprocessing& preprocessing) {
  MessageWriter writer;
  PreprocessingFields(writer, preprocessing);
  return std::move(writer).Take();
}

std::optional<plan::Preprocessing> DecodePreprocessing(ByteView message) {
  MessageReader reader(message);
  plan::Preprocessing preprocessing;
  PreprocessingFields(reader, preprocessing);
  if (!reader.Done()) return std::nullopt;
  return preprocessing;
}

}  // namespace consilium::datasets::worker

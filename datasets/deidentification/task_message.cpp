#include "datasets/deidentification/task_message.h"

#include <algorithm>
#include <cstring>

namespace consilium::datasets::deidentification {
namespace {

constexpr std::uint32_t kMostRectangles = 10'000;
constexpr std::size_t kKeyBytes = 32, kLongestName = 64;

// As in worker/header_message.cpp: the names list every field, so that a new one does not compile.
template <class Message, class O>
void OptionFields(Message& message, O& options) {
  auto& [profile, pixels] = options;
  auto& [graphics, structured_content, descriptors, full_dates, modified_dates, characteristics,
         device, uids, safe_private, institution, cap_ages] = profile;
  for (auto* chosen : {&graphics, &structured_content, &descriptors, &full_dates, &modified_dates,
                       &characteristics, &device, &uids, &safe_private, &institution, &cap_ages}) {
    message.Bool(*chosen);
  }
  auto& [burned_in, blank, faces] = pixels;
  (void)blank;
  message.Enum(burned_in, OnRisk::kAccept);
  message.Enum(faces, OnRisk::kAccept);
}

bool IsName(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.';
  };
  return std::all_of(name.begin(), name.end(), plain);
}

}  // namespace

void Write(const Task& task, worker::MessageWriter* writer) {
  writer->U32(static_cast<std::uint32_t>(task.key.size()));
  writer->Rest(task.key.Reveal());
  OptionFields(*writer, task.options);
  writer->U32(static_cast<std::uint32_t>(task.options.pixels.blank.size()));
  for (const Rectangle& r : task.options.pixels.blank) {
    for (const std::uint32_t number : {r.x, r.y, r.width, r.height}) writer->U32(number);
  }
}

Task ReadTask(worker::MessageReader* reader) {
  Task task;
  std::uint32_t size = 0, rectangles = 0;
  reader->U32(size);
  if (size != kKeyBytes) reader->Fail();
  task.key = crypto::Secret(kKeyBytes);
  for (std::uint8_t& byte : task.key.RevealForWriting()) reader->U8(byte);
  OptionFields(*reader, task.options);
  reader->U32(rectangles);
  if (rectangles > kMostRectangles) reader->Fail();
  for (std::uint32_t i = 0; i < rectangles && !reader->failed(); ++i) {
    Rectangle& r = task.options.pixels.blank.emplace_back();
    for (auto* number : {&r.x, &r.y, &r.width, &r.height}) reader->U32(*number);
  }
  return task;
}

Bytes Encode(const ExaminedInstance& instance) {
  worker::MessageWriter writer;
  const InstanceNames& names = instance.names;
  for (const std::string* name : {&names.patient, &names.study_instance_uid,
                                  &names.series_instance_uid, &names.sop_instance_uid}) {
    writer.Text(*name);
  }
  writer.Bool(instance.head_image);
  return std::move(writer).Take();
}

std::optional<ExaminedInstance> DecodeExamined(ByteView message) {
  worker::MessageReader reader(message);
  ExaminedInstance instance;
  InstanceNames& names = instance.names;
  for (std::string* name : {&names.patient, &names.study_instance_uid, &names.series_instance_uid,
                            &names.sop_instance_uid}) {
    reader.Text(*name);
  }
  reader.Bool(instance.head_image);
  const bool sound = reader.Done() && names.patient.size() <= kLongestName &&
                     IsName(names.patient) && names.patient.find('.') == std::string::npos &&
                     !names.patient.empty() && !names.sop_instance_uid.empty();
  if (!sound) return std::nullopt;
  return instance;
}

Bytes Encode(const std::vector<Bytes>& masks) {
  worker::MessageWriter writer;
  for (const Bytes& mask : masks) {
    writer.U64(mask.size());
    writer.Rest(mask);
  }
  return std::move(writer).Take();
}

std::optional<std::vector<Bytes>> DecodeMasks(ByteView message, std::size_t files) {
  std::vector<Bytes> masks;
  while (masks.size() < files) {
    if (message.size() < 8) return std::nullopt;
    const std::uint64_t size = LoadLe64(message.data());
    message = message.subspan(8);
    if (size > message.size()) return std::nullopt;
    const auto end = message.begin() + static_cast<std::ptrdiff_t>(size);
    masks.emplace_back(message.begin(), end);
    message = message.subspan(size);
  }
  if (!message.empty()) return std::nullopt;
  return masks;
}

}  // namespace consilium::datasets::deidentification

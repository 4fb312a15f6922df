#include "datasets/targets/target_message.h"

#include <algorithm>
#include <cmath>

#include "datasets/targets/image_mask.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::targets {
namespace {

using worker::MessageReader;
using worker::MessageWriter;

// Of one list; a file that says more is not taken seriously.
constexpr std::uint32_t kMostEntries = 1u << 20;

// As in worker/header_message.cpp: structured bindings name every field of a struct, so that one
// more does not compile. A list is its length and its elements.
template <class T, class Fields>
void List(MessageWriter& message, const std::vector<T>& list, Fields fields) {
  message.U32(static_cast<std::uint32_t>(list.size()));
  for (const T& element : list) fields(message, element);
}
template <class T, class Fields>
void List(MessageReader& message, std::vector<T>& list, Fields fields) {
  std::uint32_t count = 0;
  message.U32(count);
  if (count > kMostEntries) message.Fail();
  for (std::uint32_t i = 0; i < count && !message.failed(); ++i) {
    fields(message, list.emplace_back());
  }
}

constexpr auto kText = [](auto& message, auto& text) { message.Text(text); };
constexpr auto kNumber32 = [](auto& message, auto& number) { message.U32(number); };
constexpr auto kReal = [](auto& message, auto& number) { message.F64(number); };

constexpr auto kCode = [](auto& message, auto& code) {
  auto& [value, scheme, meaning] = code;
  for (auto* text : {&value, &scheme, &meaning}) message.Text(*text);
};

constexpr auto kSegment = [](auto& message, auto& segment) {
  auto& [number, label, category, type, algorithm, tracking_identifier, tracking_uid] = segment;
  message.U32(number);
  kCode(message, category);
  kCode(message, type);
  for (auto* text : {&label, &algorithm, &tracking_identifier, &tracking_uid}) message.Text(*text);
};

constexpr auto kRegion = [](auto& message, auto& region) {
  auto& [number, name, interpreted_type, frame_of_reference, drawn] = region;
  message.Int(number, -1'000'000'000, 1'000'000'000);
  message.Bool(drawn);
  for (auto* text : {&name, &interpreted_type, &frame_of_reference}) message.Text(*text);
};

constexpr auto kMeasurement = [](auto& message, auto& measurement) {
  auto& [name, value, unit, finding_site, derivation, method] = measurement;
  message.F64(value);
  for (auto* code : {&name, &unit, &finding_site, &derivation, &method}) kCode(message, *code);
};

constexpr auto kEvaluation = [](auto& message, auto& evaluation) {
  auto& [name, value] = evaluation;
  kCode(message, name);
  kCode(message, value);
};

constexpr auto kImage = [](auto& message, auto& image) {
  auto& [purpose, sop_class_uid, sop_instance_uid, frames, segments] = image;
  for (auto* text : {&purpose, &sop_class_uid, &sop_instance_uid}) message.Text(*text);
  List(message, frames, kNumber32);
  List(message, segments, kNumber32);
};

constexpr auto kDrawnRegion = [](auto& message, auto& region) {
  auto& [graphic_type, in_patient, coordinates, frame_of_reference, images] = region;
  message.Text(graphic_type);
  message.Bool(in_patient);
  List(message, coordinates, kReal);
  message.Text(frame_of_reference);
  List(message, images, kImage);
};

constexpr auto kGroup = [](auto& message, auto& group) {
  auto& [tracking_identifier, tracking_uid, activity_session, finding_category, finding,
         finding_site, laterality, measurements, evaluations, images, source_series, regions] =
      group;
  for (auto* text : {&tracking_identifier, &tracking_uid, &activity_session}) message.Text(*text);
  for (auto* code : {&finding_category, &finding, &finding_site, &laterality}) {
    kCode(message, *code);
  }
  List(message, measurements, kMeasurement);
  List(message, evaluations, kEvaluation);
  List(message, images, kImage);
  List(message, source_series, kText);
  List(message, regions, kDrawnRegion);
};

constexpr auto kSegmentation = [](auto& message, auto& summary) {
  auto& [kind, segments, referenced_series, frame_of_reference, referenced_instances] = summary;
  message.Enum(kind, Segmentation::Kind::kLabelMap);
  List(message, segments, kSegment);
  List(message, referenced_series, kText);
  message.Text(frame_of_reference);
  List(message, referenced_instances, kText);
};

constexpr auto kStructureSet = [](auto& message, auto& summary) {
  auto& [regions, referenced_series] = summary;
  List(message, regions, kRegion);
  List(message, referenced_series, kText);
};

constexpr auto kStructure = [](auto& message, auto& structure) {
  auto& [number, label] = structure;
  message.U32(number);
  message.Text(label);
};

constexpr auto kOutlines = [](auto& message, auto& summary) {
  auto& [structures, referenced_instances] = summary;
  List(message, structures, kStructure);
  List(message, referenced_instances, kText);
};

constexpr auto kReport = [](auto& message, auto& report) {
  auto& [title, completion, verification, groups, evaluations] = report;
  kCode(message, title);
  message.Text(completion);
  message.Text(verification);
  List(message, groups, kGroup);
  List(message, evaluations, kEvaluation);
};

constexpr auto kMaskRequest = [](auto& message, auto& request) {
  auto& [number, grid, frame_of_reference, threshold] = request;
  auto& [size, spacing_mm, directions, origin] = grid;
  message.U32(number);
  for (auto& count : size) message.U32(count);
  for (auto* vector : {&spacing_mm, &directions[0], &directions[1], &directions[2], &origin}) {
    for (auto& coordinate : *vector) message.F64(coordinate);
  }
  message.Text(frame_of_reference);
  message.F64(threshold);
};

template <class T, class Fields>
Bytes Written(const T& value, Fields fields) {
  MessageWriter writer;
  fields(writer, value);
  return std::move(writer).Take();
}

template <class T, class Fields>
std::optional<T> Read(ByteView message, Fields fields) {
  MessageReader reader(message);
  T value;
  fields(reader, value);
  if (!reader.Done()) return std::nullopt;
  return value;
}

bool IsFinite(const Report& report) {
  return std::all_of(report.groups.begin(), report.groups.end(), [](const auto& group) {
    return std::all_of(group.measurements.begin(), group.measurements.end(),
                       [](const auto& m) { return std::isfinite(m.value); });
  });
}

}  // namespace

Bytes Encode(const SegmentationSummary& summary) { return Written(summary, kSegmentation); }
std::optional<SegmentationSummary> DecodeSegmentation(ByteView message) {
  return Read<SegmentationSummary>(message, kSegmentation);
}

Bytes Encode(const StructureSetSummary& summary) { return Written(summary, kStructureSet); }
std::optional<StructureSetSummary> DecodeStructureSet(ByteView message) {
  return Read<StructureSetSummary>(message, kStructureSet);
}

Bytes Encode(const OutlinesSummary& summary) { return Written(summary, kOutlines); }
std::optional<OutlinesSummary> DecodeOutlines(ByteView message) {
  return Read<OutlinesSummary>(message, kOutlines);
}

Bytes Encode(const Report& report) { return Written(report, kReport); }
std::optional<Report> DecodeReport(ByteView message) {
  auto report = Read<Report>(message, kReport);
  if (report && !IsFinite(*report)) return std::nullopt;
  return report;
}

Bytes Encode(const MaskRequest& request) { return Written(request, kMaskRequest); }
std::optional<MaskRequest> DecodeMaskRequest(ByteView message) {
  return Read<MaskRequest>(message, kMaskRequest);
}

Bytes Encode(const PlacedMaskRequest& request) {
  MessageWriter writer;
  List(writer, request.structures, kText);
  writer.Rest(worker::Encode(request.preprocessing));
  return std::move(writer).Take();
}

std::optional<PlacedMaskRequest> DecodePlacedMaskRequest(ByteView message) {
  MessageReader reader(message);
  PlacedMaskRequest request;
  List(reader, request.structures, kText);
  const auto preprocessing = worker::DecodePreprocessing(reader.Rest());
  const bool sound = !reader.failed() && preprocessing && !request.structures.empty() &&
                     request.structures.size() <= kMostStructures;
  if (!sound) return std::nullopt;
  request.preprocessing = *preprocessing;
  return request;
}

Bytes Encode(const PlacedMask& mask) {
  MessageWriter writer;
  writer.F64(mask.spacing_mm);
  writer.Rest(mask.structures);
  return std::move(writer).Take();
}

std::optional<PlacedMask> DecodePlacedMask(ByteView message, const PlacedMaskRequest& request) {
  MessageReader reader(message);
  double spacing = 0;
  reader.F64(spacing);
  const ByteView rest = reader.Rest();
  const std::size_t size = request.preprocessing.image_size;
  const bool sound =
      !reader.failed() && std::isfinite(spacing) && spacing >= 0 && rest.size() == size * size &&
      std::all_of(rest.begin(), rest.end(), [&](auto v) { return v <= request.structures.size(); });
  if (!sound) return std::nullopt;
  return PlacedMask{Bytes(rest.begin(), rest.end()), static_cast<float>(spacing)};
}

}  // namespace consilium::datasets::targets

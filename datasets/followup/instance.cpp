#include "datasets/followup/instance.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "datasets/dicom/data_set.h"
#include "datasets/results/source_message.h"

namespace consilium::datasets::followup {
namespace {

using dicom::DataSet;
using dicom::Tag;

constexpr std::string_view kSegmentationStorage = "1.2.840.10008.5.1.4.1.1.66.4";
constexpr std::string_view kLabelMapStorage = "1.2.840.10008.5.1.4.1.1.66.7";
constexpr std::size_t kLongestDate = 16;

// Each of these reads or writes, by the kind of message.
template <class Message, class I>
void Fields(Message& message, I& instance) {
  message.Enum(instance.kind, Instance::Kind::kSegmentation);
  message.Text(instance.patient_id);
  message.Text(instance.date, kLongestDate);
  message.Text(instance.time, kLongestDate);
}

// The first of several pairs of date and time that says a date.
void ReadTime(const DataSet& data_set, std::span<const std::array<std::uint32_t, 2>> sources,
              Instance* instance) {
  for (const auto& [date, time] : sources) {
    instance->date = data_set.Text(date).substr(0, kLongestDate);
    if (instance->date.empty()) continue;
    instance->time = data_set.Text(time).substr(0, kLongestDate);
    return;
  }
}

std::optional<std::chrono::sys_days> DayOf(const std::string& date) {
  if (date.size() != 8 ||
      !std::all_of(date.begin(), date.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t count) {
    int value = 0;
    std::from_chars(date.data() + at, date.data() + at + count, value);
    return value;
  };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(4, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(6, 2)))};
  if (!day.ok()) return std::nullopt;
  return std::chrono::sys_days(day);
}

}  // namespace

OrRefused<Instance> ReadInstance(const DataSet& data_set) {
  static constexpr std::array<std::uint32_t, 2> kImageTimes[] = {
      {Tag(0x0008, 0x0022), Tag(0x0008, 0x0032)},   // acquisition
      {Tag(0x0008, 0x0021), Tag(0x0008, 0x0031)},   // series
      {Tag(0x0008, 0x0020), Tag(0x0008, 0x0030)}};  // study
  static constexpr std::array<std::uint32_t, 2> kContentTimes[] = {
      {Tag(0x0008, 0x0023), Tag(0x0008, 0x0033)},   // content
      {Tag(0x0008, 0x0021), Tag(0x0008, 0x0031)}};  // series
  auto source = results::ReadSourceImage(data_set);
  if (!source.ok()) return source.refused();
  Instance instance;
  instance.source = std::move(*source);
  instance.source.plane.reset();
  instance.patient_id = data_set.Text(Tag(0x0010, 0x0020));
  const std::string& sop_class = instance.source.sop_class_uid;
  if (sop_class == kSegmentationStorage || sop_class == kLabelMapStorage) {
    instance.kind = Instance::Kind::kSegmentation;
    ReadTime(data_set, kContentTimes, &instance);
    return instance;
  }
  // Of enhanced images one element has both.
  const std::string acquired = data_set.Text(Tag(0x0008, 0x002a));
  if (!data_set.Has(Tag(0x0008, 0x0022)) && acquired.size() >= 8) {
    instance.date = acquired.substr(0, 8);
    instance.time = acquired.substr(8, 6);
  } else {
    ReadTime(data_set, kImageTimes, &instance);
  }
  return instance;
}

Bytes Encode(const Instance& instance) {
  worker::MessageWriter message;
  Fields(message, instance);
  results::Write(message, instance.source);
  return std::move(message).Take();
}

std::optional<Instance> DecodeInstance(ByteView bytes) {
  worker::MessageReader message(bytes);
  Instance instance;
  Fields(message, instance);
  if (!results::Read(message, &instance.source) || !message.Done()) return std::nullopt;
  return instance;
}

std::optional<int> DaysBetween(const std::string& first, const std::string& second) {
  const auto from = DayOf(first), to = DayOf(second);
  if (!from || !to) return std::nullopt;
  return static_cast<int>((*to - *from).count());
}

}  // namespace consilium::datasets::followup

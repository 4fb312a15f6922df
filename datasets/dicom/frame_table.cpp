#include "datasets/dicom/frame_table.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "common/base/status.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kExtendedOffsetTable = Tag(0x7fe0, 0x0001);

using Starts = std::vector<std::uint32_t>;

// Offsets count from the first fragment's item head (A.4).
std::optional<Starts> FromOffsets(const std::vector<Element>& fragments,
                                  const std::vector<std::uint64_t>& offsets) {
  Starts starts;
  std::uint32_t fragment = 0;
  for (const std::uint64_t offset : offsets) {
    const auto at = [&](std::uint32_t i) { return fragments[i].offset - fragments[0].offset; };
    while (fragment < fragments.size() && at(fragment) < offset) ++fragment;
    if (fragment == fragments.size() || at(fragment) != offset) return std::nullopt;
    if (!starts.empty() && starts.back() == fragment) return std::nullopt;
    starts.push_back(fragment);
  }
  if (starts.empty() || starts.front() != 0) return std::nullopt;
  return starts;
}

// A table of `frames` unsigned numbers of `size` bytes.
std::optional<Starts> FromTable(DataSet& data_set, const Element& table, std::uint32_t frames,
                                std::size_t size) {
  if (table.length != frames * std::uint64_t{size}) return std::nullopt;
  const auto bytes = data_set.Value(table);
  if (!bytes) return std::nullopt;
  std::vector<std::uint64_t> offsets;
  for (std::uint32_t i = 0; i < frames; ++i) {
    const std::uint8_t* at = bytes->data() + i * size;
    offsets.push_back(size == 8 ? LoadLe64(at) : LoadLe32(at));
  }
  return FromOffsets(data_set.pixels(), offsets);
}

// JPEG and JPEG-LS streams start with ff d8, codestreams with ff 4f ff 51, JP2 files with a box.
bool StartsStream(DataSet& data_set, const Element& fragment) {
  if (fragment.length < 4) return false;
  const std::uint8_t* bytes = data_set.source().Peek(fragment.offset, 4);
  if (bytes == nullptr) return false;
  if (bytes[0] == 0xff) return bytes[1] == 0xd8 || (bytes[1] == 0x4f && bytes[2] == 0xff);
  return bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 0 && bytes[3] == 12;
}

std::optional<Starts> FromStreams(DataSet& data_set, std::uint32_t frames) {
  Starts starts;
  for (std::uint32_t i = 0; i < data_set.pixels().size(); ++i) {
    if (StartsStream(data_set, data_set.pixels()[i])) starts.push_back(i);
  }
  if (starts.size() != frames || starts.front() != 0) return std::nullopt;
  return starts;
}

std::optional<Starts> FindStarts(DataSet& data_set, const Header& header) {
  const std::size_t fragments = data_set.pixels().size();
  if (header.frames == 1) return Starts{0};
  if (fragments == header.frames) {
    Starts starts(fragments);
    std::iota(starts.begin(), starts.end(), 0u);
    return starts;
  }
  if (fragments < header.frames) return std::nullopt;
  if (const Element* table = data_set.Find(kExtendedOffsetTable)) {
    if (auto starts = FromTable(data_set, *table, header.frames, 8)) return starts;
  }
  if (auto starts = FromTable(data_set, data_set.basic_offset_table(), header.frames, 4)) {
    return starts;
  }
  return FromStreams(data_set, header.frames);
}

}  // namespace

OrRefused<FrameTable> FrameTable::Of(DataSet& data_set, const Header& header) {
  auto starts = FindStarts(data_set, header);
  if (!starts) {
    return Refused{Refusal::kDamaged, StrCat(data_set.pixels().size(), " fragments, which are not ",
                                             header.frames, " frames by any offset table")};
  }
  starts->push_back(static_cast<std::uint32_t>(data_set.pixels().size()));
  return FrameTable(*std::move(starts));
}

OrRefused<Bytes> FrameTable::Read(DataSet& data_set, std::uint32_t frame) const {
  CONSILIUM_CHECK(frame + 1 < starts_.size());
  Bytes joined;
  for (std::uint32_t i = starts_[frame]; i < starts_[frame + 1]; ++i) {
    auto bytes = data_set.Value(data_set.pixels()[i]);
    if (!bytes) return Refused{Refusal::kUnreadable, ""};
    if (joined.empty()) {
      joined = *std::move(bytes);
    } else {
      joined.insert(joined.end(), bytes->begin(), bytes->end());
    }
  }
  return joined;
}

}  // namespace consilium::datasets::dicom

#include "datasets/volumes/stack.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "common/base/text.h"
#include "datasets/volumes/stack_geometry.h"

namespace consilium::datasets::volumes {
namespace {

// Numbers by value, all else by letter.
struct ByValue {
  bool operator()(const std::string& a, const std::string& b) const {
    const auto number = [](const std::string& text) {
      char* end = nullptr;
      const double value = std::strtod(text.c_str(), &end);
      return end != text.c_str() && *end == '\0' ? value : HUGE_VAL;
    };
    const double x = number(a), y = number(b);
    return x != y ? x < y : a < b;
  }
};
using Groups = std::map<std::string, std::vector<Slice>, ByValue>;

// The slices by the key's value; one group when the key does not tell stacks apart: a value that
// belongs to one slice alone makes no stack.
Groups GroupBy(StackKey key, const std::vector<Slice>& slices, std::uint32_t fewest) {
  std::map<std::string, std::uint32_t, ByValue> counts;
  for (const Slice& slice : slices) ++counts[slice.keys[static_cast<std::size_t>(key)]];
  Groups groups;
  const bool useful = counts.size() > 1 && std::all_of(counts.begin(), counts.end(), [&](auto& c) {
                        return c.second >= std::max(2u, fewest);
                      });
  for (const Slice& slice : slices) {
    groups[useful ? slice.keys[static_cast<std::size_t>(key)] : ""].push_back(slice);
  }
  return groups;
}

// Only numbers are shown: what else a file says of itself may hold anything.
std::string Describe(StackKey key, const std::string& value, std::size_t which, std::size_t of) {
  const bool shown = key == StackKey::kEcho || key == StackKey::kTemporalPosition ||
                     key == StackKey::kBValue || key == StackKey::kEchoTime ||
                     key == StackKey::kAcquisition;
  const bool number = !value.empty() && value.size() <= 12 &&
                      value.find_first_not_of("0123456789.+-eE") == std::string::npos;
  if (shown && number) return StrCat(Name(key), " ", value);
  return StrCat(Name(key), " ", which, " of ", of);
}

class Search {
 public:
  explicit Search(const StackOptions& options) : options_(options) {}

  OrRefused<std::vector<Stack>> Run(std::vector<Slice> slices, std::size_t first_key) {
    for (std::size_t key = first_key; key < kSureStackKeys; ++key) {
      Groups groups = GroupBy(static_cast<StackKey>(key), slices, options_.fewest_slices);
      if (groups.size() > 1) return Split(static_cast<StackKey>(key), std::move(groups));
    }
    OrRefused<Stack> one = MakeStack(slices, options_);
    if (one.ok()) return std::vector<Stack>{std::move(*one)};
    if (!MayBeSeveral(one.refused().reason)) return one.refused();
    for (std::size_t key = std::max(first_key, kSureStackKeys); key < kStackKeys; ++key) {
      Groups groups = GroupBy(static_cast<StackKey>(key), slices, options_.fewest_slices);
      if (groups.size() < 2) continue;
      OrRefused<std::vector<Stack>> several = Split(static_cast<StackKey>(key), std::move(groups));
      if (several.ok()) return several;
    }
    return one.refused();
  }

 private:
  static bool MayBeSeveral(Refusal reason) {
    return reason == Refusal::kDuplicatePosition || reason == Refusal::kMissingSlices ||
           reason == Refusal::kUnevenSpacing;
  }

  OrRefused<std::vector<Stack>> Split(StackKey key, Groups groups) {
    std::vector<Stack> all;
    std::size_t which = 0;
    for (auto& [value, slices] : groups) {
      ++which;
      const std::string what = Describe(key, value, which, groups.size());
      auto stacks = Run(std::move(slices), static_cast<std::size_t>(key) + 1);
      if (!stacks.ok()) {
        return Refused{stacks.refused().reason, StrCat(what, ": ", stacks.refused().detail)};
      }
      for (Stack& stack : *stacks) {
        stack.what = stack.what.empty() ? what : StrCat(what, ", ", stack.what);
        all.push_back(std::move(stack));
      }
    }
    return all;
  }

  const StackOptions& options_;
};

}  // namespace

std::string_view Name(StackKey key) {
  static constexpr std::string_view kNames[kStackKeys] = {
      "stack",     "echo number",        "temporal position", "b-value",     "image type",
      "echo time", "gradient direction", "trigger time",      "acquisition", "acquisition time"};
  return kNames[static_cast<std::size_t>(key)];
}

OrRefused<std::vector<Stack>> FindStacks(std::vector<Slice> slices, const StackOptions& options) {
  auto stacks = Search(options).Run(std::move(slices), 0);
  if (stacks.ok() && stacks->size() > 1 && !options.split) {
    return Refused{Refusal::kSeveralStacks,
                   StrCat(stacks->size(), " stacks: ", stacks->front().what, " and others")};
  }
  return stacks;
}

OrRefused<Volume> LoadVolume(const Stack& stack, const StackOptions& options, float outside) {
  Volume volume{stack.grid, {}, stack.frame_of_reference};
  for (const Slice& slice : stack.slices) {
    OrRefused<std::vector<float>> values = slice.load();
    if (!values.ok()) return values.refused();
    if (values->size() != stack.grid.PlaneCount()) {
      return Refused{Refusal::kMixedSizes, StrCat("a slice of ", values->size(), " pixels where ",
                                                  stack.grid.PlaneCount(), " were announced")};
    }
    // Not before a slice has shown that its size is no empty claim.
    if (volume.voxels.empty()) volume.voxels.reserve(stack.grid.VoxelCount());
    volume.voxels.insert(volume.voxels.end(), values->begin(), values->end());
  }
  if (!stack.tilted || options.tilt == StackOptions::Tilt::kKeep) return volume;
  return Resample(volume, StraightGrid(volume.grid), Interpolation::kLinear, outside);
}

}  // namespace consilium::datasets::volumes

#include "common/model/external_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

#include "common/base/status.h"
#include "common/model/travelling.h"

namespace consilium {
namespace {

constexpr std::string_view kPrefixes[] = {
    "",         "module.",       "model.",          "backbone.",        "network.",   "net.",
    "encoder.", "module.model.", "model.backbone.", "module.backbone.", "state_dict."};

template <class Number>
Number NumberAt(const Bytes& bytes, std::size_t index) {
  Number number;
  std::memcpy(&number, bytes.data() + index * sizeof number, sizeof number);
  return number;
}

// IEEE 754 binary16.
double FromHalf(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, fraction = half & 1023;
  const double magnitude = exponent == 31  ? (fraction == 0 ? HUGE_VAL : NAN)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

std::size_t BytesOf(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  return 0;
}

double ValueAt(std::string_view dtype, const Bytes& bytes, std::size_t i) {
  if (dtype == "F64") return NumberAt<double>(bytes, i);
  if (dtype == "I64") return static_cast<double>(NumberAt<std::int64_t>(bytes, i));
  if (dtype == "F32") return static_cast<double>(NumberAt<float>(bytes, i));
  if (dtype == "I32") return NumberAt<std::int32_t>(bytes, i);
  const auto half = NumberAt<std::uint16_t>(bytes, i);
  if (dtype == "F16") return FromHalf(half);
  return static_cast<double>(std::bit_cast<float>(std::uint32_t{half} << 16));
}

std::string Renamed(const std::string& name, const MappingOptions& options) {
  for (const auto& [from, to] : options.renames) {
    if (name.starts_with(from)) return to + name.substr(from.size());
  }
  return name;
}

using ByName = std::map<std::string, const ExternalTensor*>;

ByName Without(std::string_view prefix, const ByName& tensors) {
  ByName without;
  for (const auto& [name, tensor] : tensors) {
    const bool has = name.starts_with(prefix);
    without.emplace(has ? name.substr(prefix.size()) : name, tensor);
  }
  return without;
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) StrAppend(&text, text.empty() ? "" : "x", size);
  return text.empty() ? "scalar" : text;
}

// The names of the last weight's layer.
std::set<std::string> Head(const Layout& layout) {
  for (auto tensor = layout.rbegin(); tensor != layout.rend(); ++tensor) {
    if (tensor->shape.size() < 2 || !tensor->name.ends_with(".weight")) continue;
    const std::string layer = tensor->name.substr(0, tensor->name.size() - 6);
    return {layer + "weight", layer + "bias"};
  }
  return {};
}

}  // namespace

absl::StatusOr<std::vector<float>> ExternalModel::Read(const ExternalTensor& tensor) const {
  const std::size_t each = BytesOf(tensor.dtype);
  const auto refuse = [&](const std::string& why) {
    return absl::InvalidArgumentError(StrCat("tensor ", tensor.spec.name, " ", why));
  };
  if (each == 0) return refuse(StrCat("has the dtype ", tensor.dtype, ", which is not taken"));
  const std::uint64_t count = tensor.spec.Elements();
  if (tensor.bytes % each != 0 || tensor.bytes / each != count) {
    return refuse("has another size than its shape");
  }
  Bytes bytes(tensor.bytes);
  RETURN_IF_ERROR(file_.ReadAt(tensor.offset, bytes));
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(ValueAt(tensor.dtype, bytes, i));
    if (!std::isfinite(values[i])) return refuse("holds a value that is no finite float32");
  }
  return values;
}

absl::StatusOr<MappedModel> MapModel(const ExternalModel& external, const ModelState& start,
                                     const MappingOptions& options) {
  ByName renamed;
  for (const ExternalTensor& tensor : external.tensors()) {
    if (!renamed.emplace(Renamed(tensor.spec.name, options), &tensor).second) {
      return absl::InvalidArgumentError(StrCat("two tensors of the file would have the name ",
                                               Renamed(tensor.spec.name, options)));
    }
  }
  const auto fit = [&](std::string_view prefix) {
    const ByName without = Without(prefix, renamed);
    return std::count_if(start.layout().begin(), start.layout().end(),
                         [&](const TensorSpec& tensor) { return without.contains(tensor.name); });
  };
  MappedModel mapped;
  mapped.prefix =
      *std::max_element(std::begin(kPrefixes), std::end(kPrefixes),
                        [&](std::string_view a, std::string_view b) { return fit(a) < fit(b); });
  ByName tensors = Without(mapped.prefix, renamed);
  const std::set<std::string> head = Head(start.layout());
  mapped.values.assign(start.values().begin(), start.values().end());
  std::size_t offset = 0;
  for (const TensorSpec& tensor : start.layout()) {
    MappedModel::Row row{tensor, "", "", false};
    const auto found = tensors.find(tensor.name);
    const bool optional = tensor.name.ends_with(".num_batches_tracked") ||
                          tensor.name.starts_with("prepare.") ||
                          (options.skip_head && head.contains(tensor.name));
    if (found == tensors.end()) {
      row.remark = optional ? "not in the file: keeps its start" : "not in the file";
      row.refused = !optional;
    } else if (found->second->spec.shape != tensor.shape) {
      const std::string its = ShapeText(found->second->spec.shape);
      row.remark = StrCat("the file's is ", its, optional ? ": keeps its start" : "");
      row.refused = !optional;
    } else {
      row.from = found->second->spec.name;
      ASSIGN_OR_RETURN(const std::vector<float> values, external.Read(*found->second));
      std::copy(values.begin(), values.end(), mapped.values.begin() + offset);
    }
    if (found != tensors.end()) tensors.erase(found);
    mapped.refused += row.refused ? 1 : 0;
    mapped.rows.push_back(std::move(row));
    offset += tensor.Elements();
  }
  for (const auto& [name, tensor] : tensors) mapped.unused.push_back(tensor->spec.name);
  return mapped;
}

}  // namespace consilium

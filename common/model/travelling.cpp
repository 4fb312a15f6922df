#include "common/model/travelling.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_set>

#include "common/base/status.h"
#include "common/model/adapters.h"

namespace consilium {
namespace {

constexpr std::string_view kStatistics[] = {".running_mean", ".running_var",
                                            ".num_batches_tracked"};

// "layer1.0.bn1.running_mean" -> "layer1.0.bn1.weight"; empty: it is no statistic of a norm.
std::string WeightOfStatistic(std::string_view name) {
  for (const std::string_view statistic : kStatistics) {
    if (name.ends_with(statistic)) {
      return StrCat(name.substr(0, name.size() - statistic.size()), ".weight");
    }
  }
  return "";
}

// What the names begin with, up to their first dot.
std::string Beginnings(const Layout& model) {
  std::string text;
  std::set<std::string_view> said;
  for (const TensorSpec& tensor : model) {
    const std::string_view name = tensor.name;
    const std::size_t dot = name.find('.');
    const std::string_view first = dot == name.npos ? name : name.substr(0, dot + 1);
    if (!said.insert(first).second) continue;
    StrAppend(&text, text.empty() ? "" : ", ", first);
    if (said.size() == 20) return text + " ...";
  }
  return text;
}

}  // namespace

bool IsStatistic(std::string_view tensor) {
  return !WeightOfStatistic(tensor).empty() || tensor.starts_with("prepare.");
}

Travelling::Travelling(const Layout& model) : Travelling(model, std::vector(model.size(), true)) {}

Travelling::Travelling(const Layout& model, std::vector<bool> travels)
    : travels_(std::move(travels)) {
  for (std::size_t i = 0; i < model.size(); ++i) {
    const std::uint64_t count = model[i].Elements();
    if (travels_[i]) {
      layout_.push_back(model[i]);
      const bool goes_on =
          !ranges_.empty() && ranges_.back().model + ranges_.back().count == elements_;
      if (goes_on) {
        ranges_.back().count += count;
      } else {
        ranges_.push_back({elements_, travelling_, count});
      }
      travelling_ += count;
    }
    elements_ += count;
  }
}

absl::StatusOr<Travelling> Travelling::Of(const Layout& model,
                                          std::span<const std::string> frozen) {
  RETURN_IF_ERROR(CheckLayout(model));
  std::vector<bool> matched(frozen.size(), false);
  std::unordered_set<std::string> stay;
  for (const std::string& name : FrozenByAdapters(model)) stay.insert(name);
  for (const TensorSpec& tensor : model) {
    for (std::size_t i = 0; i < frozen.size(); ++i) {
      if (!tensor.name.starts_with(frozen[i])) continue;
      stay.insert(tensor.name);
      matched[i] = matched[i] || !IsStatistic(tensor.name);
    }
  }
  for (std::size_t i = 0; i < frozen.size(); ++i) {
    if (matched[i]) continue;
    return absl::InvalidArgumentError(
        StrCat("[model] frozen: no trained tensor of the model has a name that begins with \"",
               frozen[i], "\"; the names begin with ", Beginnings(model)));
  }
  std::unordered_set<std::string_view> names;
  for (const TensorSpec& tensor : model) names.insert(tensor.name);
  std::vector<bool> travels(model.size());
  bool trains = false;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const std::string weight = WeightOfStatistic(model[i].name);
    travels[i] = !stay.contains(names.contains(weight) ? weight : model[i].name);
    trains = trains || (travels[i] && !IsStatistic(model[i].name));
  }
  if (!trains && !stay.empty()) {
    return absl::InvalidArgumentError(StrCat(
        "[model] frozen: nothing is left to train; the names begin with ", Beginnings(model)));
  }
  return Travelling(model, std::move(travels));
}

std::vector<Travelling::Range> Travelling::Within(std::uint64_t first, std::uint64_t count) const {
  std::vector<Range> within;
  auto range = std::partition_point(ranges_.begin(), ranges_.end(),
                                    [&](const Range& r) { return r.model + r.count <= first; });
  for (; range != ranges_.end() && range->model < first + count; ++range) {
    const std::uint64_t begin = std::max(first, range->model);
    const std::uint64_t end = std::min(first + count, range->model + range->count);
    if (begin < end) within.push_back({begin, range->update + (begin - range->model), end - begin});
  }
  return within;
}

absl::StatusOr<ModelState> Travelling::Part(const ModelState& model) const {
  if (all()) return model;
  if (model.values().size() != elements_) {
    return absl::InvalidArgumentError(
        StrCat("the model has ", model.values().size(), " elements, the layout ", elements_));
  }
  std::vector<float> values;
  values.reserve(travelling_);
  for (const Range& range : ranges_) {
    const auto part = model.values().subspan(range.model, range.count);
    values.insert(values.end(), part.begin(), part.end());
  }
  return ModelState::Create(layout_, std::move(values));
}

}  // namespace consilium

// The only file of plans that includes toml++, whose parse_error is caught here.

#include "common/plan/section.h"

#include <toml++/toml.h>
#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace consilium::plan {
namespace {

constexpr std::size_t kLongestPlan = 1 << 20;
constexpr std::size_t kLongestShown = 60;
constexpr std::int64_t kMostInt64 = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t kNoLine = std::numeric_limits<std::uint32_t>::max();

// Capital and small letters count as the same.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed =
          diagonal + (absl::ascii_tolower(a[i]) == absl::ascii_tolower(b[j]) ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({row[j + 1] + 1, row[j] + 1, changed}));
    }
  }
  return row.back();
}

std::string Shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return StrCat("\"", plan::Shown(text->get()), "\"");
  if (const auto* number = node.as_integer()) return StrCat(number->get());
  if (const auto* number = node.as_floating_point()) return StrCat(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return "...";
}

std::string_view TypeOf(const toml::node& node) {
  if (node.is_string()) return "a text";
  if (node.is_integer()) return "an integer";
  if (node.is_floating_point()) return "a number";
  if (node.is_boolean()) return "a boolean";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::uint32_t LineOf(const toml::table& table, std::string_view key) {
  for (const auto& [name, node] : table) {
    if (name.str() == key) return name.source().begin.line;
  }
  return 0;
}

}  // namespace

std::string Shown(std::string_view text) {
  std::string shown = absl::CHexEscape(ForAbsl(text.substr(0, kLongestShown)));
  return text.size() > kLongestShown ? shown + "..." : shown;
}

std::string Advice(std::string_view word, const std::vector<std::string>& allowed) {
  const auto distance = [&](const std::string& a) { return EditDistance(word.substr(0, 64), a); };
  const auto nearest = std::min_element(
      allowed.begin(), allowed.end(),
      [&](const std::string& a, const std::string& b) { return distance(a) < distance(b); });
  if (nearest != allowed.end() &&
      distance(*nearest) <= std::max<std::size_t>(1, nearest->size() / 3)) {
    return StrCat("did you mean ", *nearest, "?");
  }
  return StrCat("allowed are ", absl::StrJoin(allowed, ", "));
}

void Faults::AddMissing(std::string what) { Add(kNoLine, std::move(what)); }

absl::Status Faults::ToStatus() {
  if (faults_.empty()) return absl::OkStatus();
  std::stable_sort(faults_.begin(), faults_.end(),
                   [](const Fault& a, const Fault& b) { return a.line < b.line; });
  std::string text;
  for (const Fault& fault : faults_) {
    if (!text.empty()) text += '\n';
    if (fault.line != kNoLine) StrAppend(&text, "line ", fault.line, ": ");
    text += fault.what;
  }
  return absl::InvalidArgumentError(text);
}

struct Section::Impl {
  std::string name;
  Faults& faults;
  const toml::table* table = nullptr;  // null: the plan has none
  std::vector<std::string> known;

  const toml::node* Get(std::string_view key) const {
    return table == nullptr ? nullptr : table->get(key);
  }
  void Know(std::string_view key) {
    if (std::find(known.begin(), known.end(), key) == known.end()) known.emplace_back(key);
  }
  const toml::node* Take(std::string_view key) {
    Know(key);
    return Get(key);
  }
  std::nullopt_t Wrong(std::string_view key, const toml::node& node, std::string_view expected) {
    faults.Add(node.source().begin.line, StrCat(name, ".", key, " = ", Shown(node), " is ",
                                                TypeOf(node), ", ", expected, " is expected"));
    return std::nullopt;
  }
};

Section::Section(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Section::Section(Section&&) noexcept = default;
Section::~Section() = default;

bool Section::IsThere() const { return impl_->table != nullptr; }
bool Section::Has(std::string_view key) const { return impl_->Get(key) != nullptr; }

std::optional<std::int64_t> Section::Whole(std::string_view key, std::int64_t low,
                                           std::int64_t high) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_integer()) return impl_->Wrong(key, *node, "an integer");
  const std::int64_t value = node->as_integer()->get();
  if (value >= low && value <= high) return value;
  Refuse(key, high == kMostInt64 ? StrCat("is out of range: ", low, " or more")
                                 : StrCat("is out of range: ", low, " to ", high));
  return {};
}

std::optional<double> Section::Real(std::string_view key, double low, double high, Ends ends) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_number()) return impl_->Wrong(key, *node, "a number");
  const double value = *node->value<double>();
  const bool above = ends == Ends::kLowExcluded ? value > low : value >= low;
  const bool below = ends == Ends::kHighExcluded ? value < high : value <= high;
  if (above && below) return value;  // never so for NaN
  Refuse(key, StrCat("is out of range: ", ends == Ends::kLowExcluded ? "above " : "", low, " to ",
                     ends == Ends::kHighExcluded ? "below " : "", high));
  return {};
}

std::optional<bool> Section::Flag(std::string_view key) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_boolean()) return impl_->Wrong(key, *node, "true or false");
  return node->as_boolean()->get();
}

std::optional<std::string> Section::Text(std::string_view key) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_string()) return impl_->Wrong(key, *node, "a text");
  return node->as_string()->get();
}

std::optional<std::vector<std::string>> Section::Texts(std::string_view key) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_array()) return impl_->Wrong(key, *node, "a list of texts");
  std::vector<std::string> texts;
  for (const toml::node& element : *node->as_array()) {
    if (!element.is_string()) return impl_->Wrong(key, element, "a list of texts");
    texts.push_back(element.as_string()->get());
  }
  return texts;
}

std::optional<std::vector<std::int64_t>> Section::Wholes(std::string_view key, std::int64_t low,
                                                         std::int64_t high) {
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return {};
  if (!node->is_array()) return impl_->Wrong(key, *node, "a list of integers");
  std::vector<std::int64_t> values;
  for (const toml::node& element : *node->as_array()) {
    if (!element.is_integer()) return impl_->Wrong(key, element, "a list of integers");
    values.push_back(element.as_integer()->get());
    if (values.back() >= low && values.back() <= high) continue;
    Refuse(key, StrCat("holds ", values.back(), ", which is out of range: ", low, " to ", high));
    return {};
  }
  return values;
}

std::vector<Section> Section::Tables(std::string_view key) {
  std::vector<Section> sections;
  const toml::node* node = impl_->Take(key);
  if (node == nullptr) return sections;
  const std::string name = StrCat(impl_->name, ".", key);
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    impl_->Wrong(key, *node, StrCat("tables [[", name, "]]"));
    return sections;
  }
  for (const toml::node& element : *array) {
    if (!element.is_table()) {
      impl_->Wrong(key, element, StrCat("tables [[", name, "]]"));
      continue;
    }
    sections.push_back(
        Section(std::make_unique<Impl>(Impl{name, impl_->faults, element.as_table(), {}})));
  }
  return sections;
}

void Section::Refuse(std::string_view key, std::string_view what) {
  const toml::node* node = impl_->Get(key);
  CONSILIUM_CHECK(node != nullptr);
  const std::string value = node->is_array() || node->is_table() ? "" : StrCat(" = ", Shown(*node));
  impl_->faults.Add(LineOf(*impl_->table, key), StrCat(impl_->name, ".", key, value, " ", what));
}

void Section::RefuseIfThere(std::initializer_list<std::string_view> keys, std::string_view why) {
  for (const std::string_view key : keys) {
    impl_->Know(key);
    if (Has(key)) Refuse(key, StrCat("has no effect: ", why));
  }
}

void Section::Missing(std::string_view key, std::string_view what) {
  const std::string text = StrCat(impl_->name, ".", key, " is missing: ", what);
  if (impl_->table == nullptr) {
    impl_->faults.AddMissing(text);
  } else {
    impl_->faults.Add(impl_->table->source().begin.line, text);
  }
}

void Section::Finish() {
  if (impl_->table == nullptr) return;
  const auto& known = impl_->known;
  for (const auto& [key, node] : *impl_->table) {
    const std::string_view word = key.str();
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    impl_->faults.Add(key.source().begin.line,
                      StrCat(impl_->name, ".", Shown(word), " is unknown: ", Advice(word, known)));
  }
}

struct Document::Impl {
  toml::table root;
};

Document::Document(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Document::Document(Document&&) noexcept = default;
Document::~Document() = default;

absl::StatusOr<Document> Document::Parse(std::string_view text) {
  if (text.size() > kLongestPlan) {
    return absl::InvalidArgumentError(
        StrCat("the plan has ", text.size(), " bytes, at most ", kLongestPlan, " are read"));
  }
  try {
    return Document(std::make_unique<Impl>(Impl{toml::parse(text)}));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        StrCat("line ", error.source().begin.line,
               ": this is not TOML: ", std::string_view(error.description())));
  }
}

bool Document::Has(std::string_view table) const { return impl_->root.contains(table); }

Section Document::Table(std::string name, Faults& faults) const {
  const toml::node* node = impl_->root.get(name);
  const toml::table* table = node == nullptr ? nullptr : node->as_table();
  if (node != nullptr && table == nullptr) {
    faults.Add(node->source().begin.line, StrCat(name, " = ", Shown(*node), " is ", TypeOf(*node),
                                                 ", a table [", name, "] is expected"));
  }
  return Section(
      std::make_unique<Section::Impl>(Section::Impl{std::move(name), faults, table, {}}));
}

void Document::RefuseUnknown(const std::vector<std::string>& known, Faults& faults) const {
  for (const auto& [key, node] : impl_->root) {
    const std::string_view name = key.str();
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    faults.Add(key.source().begin.line,
               StrCat(node.is_table() ? "the table [" : "the key ", Shown(name),
                      node.is_table() ? "]" : "", " is unknown: ", Advice(name, known)));
  }
}

void Document::RefuseTable(std::string_view table, std::string_view why, Faults& faults) const {
  const toml::node* node = impl_->root.get(table);
  if (node == nullptr || !node->is_table()) return;
  faults.Add(LineOf(impl_->root, table),
             StrCat("the table [", Shown(table), "] has no effect: ", why));
}

void Document::RefuseTablesBut(std::initializer_list<std::string_view> allowed,
                               std::string_view why, Faults& faults) const {
  for (const auto& [key, node] : impl_->root) {
    const std::string_view name = key.str();
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      RefuseTable(name, why, faults);
    }
  }
}

}  // namespace consilium::plan

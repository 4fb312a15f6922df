// The only file that includes toml++, whose parse_error is caught here.

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/plan/plan.h"

namespace consilium::plan {
namespace {

constexpr std::size_t kLongestPlan = 1 << 20;
constexpr std::size_t kLongestShown = 60;
constexpr std::int64_t kMostInt64 = std::numeric_limits<std::int64_t>::max();
constexpr double kWeekInSeconds = 7 * 24 * 3600;

// The values of (0008,0060) that stand for images: DICOM PS3.3 C.7.3.1.1.1.
constexpr std::array<std::string_view, 29> kModalities = {
    "BI", "CR", "CT", "DG", "DX",  "ES", "GM",  "IO",     "IVOCT", "IVUS",
    "LS", "MG", "MR", "NM", "OCT", "OP", "OPT", "OPTENF", "OSS",   "OT",
    "PT", "PX", "RF", "RG", "SM",  "TG", "US",  "XA",     "XC"};

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

// "did you mean batch_size?", or all that is allowed when nothing is near.
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

// Text of the plan's, short and without control characters.
std::string Shown(std::string_view text) {
  std::string shown = absl::CHexEscape(ForAbsl(text.substr(0, kLongestShown)));
  return text.size() > kLongestShown ? shown + "..." : shown;
}

std::string Shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return StrCat("\"", Shown(text->get()), "\"");
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

// What is wrong with the plan, gathered so that all of it is told at once.
class Faults {
 public:
  void Add(std::uint32_t line, std::string what) { faults_.push_back({line, std::move(what)}); }
  void AddMissing(std::string what) { Add(kNoLine, std::move(what)); }

  absl::Status ToStatus() {
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

 private:
  static constexpr std::uint32_t kNoLine = std::numeric_limits<std::uint32_t>::max();
  struct Fault {
    std::uint32_t line;
    std::string what;
  };
  std::vector<Fault> faults_;
};

enum class Ends { kIncluded, kLowExcluded, kHighExcluded };

// One table of the plan. Each reading of a key reports what is wrong with it and returns nothing
// when it is not there or wrong; Finish reports
// the keys that nobody read.
class Section {
 public:
  Section(const toml::table& root, std::string name, Faults& faults)
      : name_(std::move(name)), faults_(faults) {
    const toml::node* node = root.get(name_);
    if (node == nullptr) return;
    table_ = node->as_table();
    if (table_ == nullptr) {
      faults_.Add(node->source().begin.line,
                  StrCat(name_, " = ", Shown(*node), " is ", TypeOf(*node), ", a table [", name_,
                         "] is expected"));
    }
  }

  bool Has(std::string_view key) const { return Get(key) != nullptr; }

  std::optional<std::int64_t> Whole(std::string_view key, std::int64_t low, std::int64_t high) {
    const toml::node* node = Take(key);
    if (node == nullptr) return {};
    if (!node->is_integer()) return Wrong(key, *node, "an integer");
    const std::int64_t value = node->as_integer()->get();
    if (value >= low && value <= high) return value;
    Refuse(key, high == kMostInt64 ? StrCat("is out of range: ", low, " or more")
                                   : StrCat("is out of range: ", low, " to ", high));
    return {};
  }

  std::optional<double> Real(std::string_view key, double low, double high,
                             Ends ends = Ends::kIncluded) {
    const toml::node* node = Take(key);
    if (node == nullptr) return {};
    if (!node->is_number()) return Wrong(key, *node, "a number");
    const double value = *node->value<double>();
    const bool above = ends == Ends::kLowExcluded ? value > low : value >= low;
    const bool below = ends == Ends::kHighExcluded ? value < high : value <= high;
    if (above && below) return value;  // never so for NaN
    Refuse(key, StrCat("is out of range: ", ends == Ends::kLowExcluded ? "above " : "", low, " to ",
                       ends == Ends::kHighExcluded ? "below " : "", high));
    return {};
  }

  std::optional<bool> Flag(std::string_view key) {
    const toml::node* node = Take(key);
    if (node == nullptr) return {};
    if (!node->is_boolean()) return Wrong(key, *node, "true or false");
    return node->as_boolean()->get();
  }

  std::optional<std::string> Text(std::string_view key) {
    const toml::node* node = Take(key);
    if (node == nullptr) return {};
    if (!node->is_string()) return Wrong(key, *node, "a text");
    return node->as_string()->get();
  }

  std::optional<std::vector<std::string>> Texts(std::string_view key) {
    const toml::node* node = Take(key);
    if (node == nullptr) return {};
    if (!node->is_array()) return Wrong(key, *node, "a list of texts");
    std::vector<std::string> texts;
    for (const toml::node& element : *node->as_array()) {
      if (!element.is_string()) return Wrong(key, element, "a list of texts");
      texts.push_back(element.as_string()->get());
    }
    return texts;
  }

  template <class Enum>
  std::optional<Enum> Choice(std::string_view key, std::initializer_list<Enum> values) {
    const std::optional<std::string> word = Text(key);
    if (!word) return {};
    std::string allowed;
    for (const Enum value : values) {
      if (*word == Name(value)) return value;
      StrAppend(&allowed, allowed.empty() ? "\"" : ", \"", Name(value), "\"");
    }
    Refuse(key, StrCat("is not allowed: one of ", allowed));
    return {};
  }

  // "line 12: training.batch_size = 0 <what>"
  void Refuse(std::string_view key, std::string_view what) {
    const toml::node* node = Get(key);
    CONSILIUM_CHECK(node != nullptr);
    const std::string value = node->is_array() ? "" : StrCat(" = ", Shown(*node));
    faults_.Add(LineOf(key), StrCat(name_, ".", key, value, " ", what));
  }
  void Missing(std::string_view key, std::string_view what) {
    const std::string text = StrCat(name_, ".", key, " is missing: ", what);
    table_ == nullptr ? faults_.AddMissing(text) : faults_.Add(table_->source().begin.line, text);
  }

  void Finish() {
    if (table_ == nullptr) return;
    for (const auto& [key, node] : *table_) {
      const std::string_view word = key.str();
      if (std::find(known_.begin(), known_.end(), word) != known_.end()) continue;
      faults_.Add(key.source().begin.line,
                  StrCat(name_, ".", Shown(word), " is unknown: ", Advice(word, known_)));
    }
  }

 private:
  const toml::node* Get(std::string_view key) const {
    return table_ == nullptr ? nullptr : table_->get(key);
  }
  const toml::node* Take(std::string_view key) {
    known_.emplace_back(key);
    return Get(key);
  }
  std::uint32_t LineOf(std::string_view key) const {
    for (const auto& [name, node] : *table_) {
      if (name.str() == key) return name.source().begin.line;
    }
    return 0;
  }
  std::nullopt_t Wrong(std::string_view key, const toml::node& node, std::string_view expected) {
    faults_.Add(node.source().begin.line, StrCat(name_, ".", key, " = ", Shown(node), " is ",
                                                 TypeOf(node), ", ", expected, " is expected"));
    return std::nullopt;
  }

  const std::string name_;
  Faults& faults_;
  const toml::table* table_ = nullptr;
  std::vector<std::string> known_;
};

template <class To, class From>
void Set(To& to, const std::optional<From>& from) {
  if (from) to = static_cast<To>(*from);
}

void ReadPlan(Section s, Plan& plan) {
  if (const auto name = s.Text("name")) {
    plan.name = *name;
    if (!CheckName("plan", *name).ok()) {
      s.Refuse("name", "is not allowed: 1 to 63 of a-z, 0-9 and -, not beginning with -");
    }
  } else if (!s.Has("name")) {
    s.Missing("name", "give the plan a name, such as \"chest-opacity\"");
  }
  Set(plan.description, s.Text("description"));
  if (plan.description.size() > 2000) {
    s.Refuse("description", "is too long: at most 2000 characters");
  }
  Set(plan.seed, s.Whole("seed", 0, kMostInt64));
  s.Finish();
}

void ReadModel(Section s, Model& model) {
  Set(model.architecture,
      s.Choice("architecture", {Architecture::kSmallCnn, Architecture::kResNet18}));
  Set(model.norm, s.Choice("norm", {Norm::kGroup, Norm::kBatch}));
  if (const auto hex = s.Text("initial")) {
    const auto id = ModelId::FromHex(*hex);
    if (id.ok()) {
      model.initial = *id;
    } else {
      s.Refuse("initial",
               "is not a model's id: 64 hexadecimal characters, as `consilium model list` "
               "shows");
    }
  }
  s.Finish();
}

void ReadTarget(Section s, Target& target) {
  if (const auto name = s.Text("name")) {
    target.name = *name;
    const bool printable = std::all_of(name->begin(), name->end(), [](char c) {
      return c >= ' ' && c <= '~' && c != '"' && c != ',';
    });
    if (name->empty() || name->size() > 63 || !printable) {
      s.Refuse("name", "is not allowed: 1 to 63 ASCII characters without comma and quote");
    }
  } else if (!s.Has("name")) {
    s.Missing("name", "the column of labels.csv to learn");
  }
  s.Finish();
}

void CheckModalities(Section& s, const std::vector<std::string>& modalities) {
  if (modalities.empty()) s.Refuse("modalities", "is empty: name one or more, such as \"DX\"");
  std::set<std::string> seen;
  for (const std::string& modality : modalities) {
    if (std::find(kModalities.begin(), kModalities.end(), modality) == kModalities.end()) {
      s.Refuse("modalities", StrCat("holds \"", Shown(modality),
                                    "\", which is no image modality of "
                                    "DICOM: ",
                                    Advice(modality, {kModalities.begin(), kModalities.end()})));
    } else if (!seen.insert(modality).second) {
      s.Refuse("modalities", StrCat("holds \"", modality, "\" twice"));
    }
  }
}

// PS3.5 table 6.2-1: a code string of at most 16 characters.
bool IsCodeString(std::string_view text) {
  return !text.empty() && text.size() <= 16 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ' ';
  });
}

void ReadViews(Section& s, Data& data) {
  Set(data.views, s.Texts("views"));
  std::set<std::string> seen;
  for (const std::string& view : data.views) {
    if (!IsCodeString(view)) {
      s.Refuse("views", StrCat("holds \"", Shown(view),
                               "\", which is no view position of DICOM, such as \"PA\" or \"CC\""));
    } else if (!seen.insert(view).second) {
      s.Refuse("views", StrCat("holds \"", view, "\" twice"));
    }
  }
  if (s.Has("views") && data.views.empty()) {
    s.Refuse("views", "is empty: remove it to take every view");
  }
}

void ReadAges(Section& s, Data& data) {
  const auto age = [&s](std::string_view key, std::optional<std::uint32_t>& to) {
    if (const auto years = s.Whole(key, 0, 150)) to = static_cast<std::uint32_t>(*years);
  };
  age("minimum_age", data.minimum_age);
  age("maximum_age", data.maximum_age);
  if (data.minimum_age && data.maximum_age && *data.minimum_age > *data.maximum_age) {
    s.Refuse("minimum_age", StrCat("is above maximum_age, which is ", *data.maximum_age));
  }
}

void ReadData(Section s, Data& data) {
  Set(data.modalities, s.Texts("modalities"));
  if (!s.Has("modalities")) {
    s.Missing("modalities", "a list of the DICOM modalities to take, such as [\"DX\", \"CR\"]");
  } else {
    CheckModalities(s, data.modalities);
  }
  ReadViews(s, data);
  ReadAges(s, data);
  Set(data.minimum_patients, s.Whole("minimum_patients", 1, 1'000'000'000));
  Set(data.validation_fraction, s.Real("validation_fraction", 0.01, 0.8));
  Set(data.test_fraction, s.Real("test_fraction", 0.01, 0.8));
  const double held_out = data.validation_fraction + data.test_fraction;
  if (held_out > 0.9 + 1e-9) {
    s.Refuse(
        s.Has("test_fraction") ? "test_fraction" : "validation_fraction",
        StrCat("leaves too few patients to train on: validation_fraction and test_fraction are ",
               held_out, " together, at most 0.9 is allowed"));
  }
  s.Finish();
}

void ReadDeidentification(Section s, const Data& data, Deidentification& d) {
  constexpr Retain kAll[] = {Retain::kPatientCharacteristics, Retain::kDeviceIdentity,
                             Retain::kInstitutionIdentity};
  for (const std::string& word : s.Texts("retain").value_or(std::vector<std::string>())) {
    const auto* const found = std::find_if(std::begin(kAll), std::end(kAll),
                                           [&](Retain option) { return word == Name(option); });
    if (found == std::end(kAll)) {
      s.Refuse("retain", StrCat("holds \"", Shown(word), "\", which is none of \"", Name(kAll[0]),
                                "\", \"", Name(kAll[1]), "\", \"", Name(kAll[2]), "\""));
    } else if (std::find(d.retain.begin(), d.retain.end(), *found) != d.retain.end()) {
      s.Refuse("retain", StrCat("holds \"", word, "\" twice"));
    } else {
      d.retain.push_back(*found);
    }
  }
  const bool ages = data.minimum_age || data.maximum_age;
  if (ages && std::find(d.retain.begin(), d.retain.end(), Retain::kPatientCharacteristics) ==
                  d.retain.end()) {
    s.Missing("retain",
              "data.minimum_age and data.maximum_age need \"patient_characteristics\" in it");
  }
  s.Finish();
}

void ReadNamedWindow(Section& s, Preprocessing& p) {
  const auto name = s.Text("window");
  if (!name) return;
  const auto windows = HounsfieldWindows();
  const auto found = std::find_if(windows.begin(), windows.end(),
                                  [&](const HounsfieldWindow& w) { return w.name == *name; });
  if (found == windows.end()) {
    std::string allowed;
    for (const HounsfieldWindow& window : windows) {
      StrAppend(&allowed, allowed.empty() ? "\"" : ", \"", window.name, "\"");
    }
    s.Refuse("window", StrCat("is not allowed: one of ", allowed));
  } else if (p.intensity != Intensity::kFixed) {
    s.Refuse("window", "has no effect: it needs intensity = \"fixed\", as the preset \"ct\" has");
  } else if (s.Has("low") || s.Has("high")) {
    s.Refuse("window", "says what low and high say, too: keep one of them");
  } else {
    p.low = found->low;
    p.high = found->high;
  }
}

void ReadFixedRange(Section& s, const std::optional<Intensity>& chosen, Preprocessing& p) {
  constexpr double kFarthest = 1e6;
  ReadNamedWindow(s, p);
  Set(p.low, s.Real("low", -kFarthest, kFarthest));
  Set(p.high, s.Real("high", -kFarthest, kFarthest));
  if (p.intensity != Intensity::kFixed) {
    for (const char* key : {"low", "high"}) {
      if (s.Has(key)) s.Refuse(key, "has no effect: it needs intensity = \"fixed\"");
    }
    p.low = p.high = 0;
  } else if (!(p.low < p.high)) {
    const std::string fault = StrCat("needs low below high, which are ", p.low, " and ", p.high);
    if (chosen) {
      s.Refuse("intensity", fault);
    } else {
      s.Refuse(s.Has("low") ? "low" : "high", fault);
    }
  }
}

void ReadPreprocessing(Section s, const Model& model, Preprocessing& p) {
  const auto preset =
      s.Choice("preset", {Preset::kGeneric, Preset::kRadiograph, Preset::kMammography, Preset::kCt,
                          Preset::kMr, Preset::kUltrasound, Preset::kRetina, Preset::kPet});
  Set(p.image_size, s.Whole("image_size", 16, 1024));
  if (model.architecture == Architecture::kResNet18 && p.image_size < 32) {
    s.Refuse("image_size", "is too small for resnet18: 32 or more");
  }
  p = DefaultsOf(preset.value_or(Preset::kGeneric), p.image_size);
  Set(p.frame, s.Choice("frame", {FrameChoice::kOnly, FrameChoice::kMiddle}));
  Set(p.channel, s.Choice("channel", {Channel::kLuminance, Channel::kGreen}));
  Set(p.units, s.Choice("units", {Units::kModality, Units::kSuv}));
  Set(p.crop, s.Choice("crop", {Crop::kNone, Crop::kForeground, Crop::kScanRegion, Crop::kDisc}));
  Set(p.face_left, s.Flag("face_left"));
  const auto intensity = s.Choice("intensity", {Intensity::kWindow, Intensity::kPercentile,
                                                Intensity::kRange, Intensity::kFixed});
  Set(p.intensity, intensity);
  ReadFixedRange(s, intensity, p);
  Set(p.spacing_mm, s.Real("spacing_mm", 0, 50));
  if (p.spacing_mm > 0 && p.spacing_mm < 0.01) {
    s.Refuse("spacing_mm", "is out of range: 0 (fit the image) or 0.01 to 50");
  }
  Set(p.blank_padding, s.Flag("blank_padding"));
  Set(p.standardize, s.Flag("standardize"));
  s.Finish();
}

void ReadTraining(Section s, Training& t) {
  Set(t.local_epochs, s.Whole("local_epochs", 1, 1000));
  Set(t.batch_size, s.Whole("batch_size", 1, 4096));
  const auto optimizer = s.Choice("optimizer", {Optimizer::kSgd, Optimizer::kAdamW});
  Set(t.optimizer, optimizer);
  Set(t.learning_rate, s.Real("learning_rate", 0, 10, Ends::kLowExcluded));
  const auto momentum = s.Real("momentum", 0, 1, Ends::kHighExcluded);
  Set(t.momentum, momentum);
  if (momentum && t.optimizer == Optimizer::kAdamW && (optimizer || !s.Has("optimizer"))) {
    s.Refuse("momentum", "has no effect with optimizer \"adamw\": remove it, or use \"sgd\"");
  }
  Set(t.weight_decay, s.Real("weight_decay", 0, 1));
  Set(t.class_weighting, s.Flag("class_weighting"));
  Set(t.augmentation, s.Choice("augmentation", {Augmentation::kNone, Augmentation::kRadiograph}));
  s.Finish();
}

void ReadAggregation(Section s, Aggregation& a) {
  const auto method = s.Choice("method", {AggregationMethod::kFedAvg, AggregationMethod::kFedProx});
  Set(a.method, method);
  const auto mu = s.Real("proximal_mu", 0, 100);
  Set(a.proximal_mu, mu);
  if (a.method == AggregationMethod::kFedAvg && a.proximal_mu > 0 && (method || !s.Has("method"))) {
    s.Refuse("proximal_mu", "has no effect with method \"fedavg\": remove it, or use \"fedprox\"");
  }
  if (a.method == AggregationMethod::kFedProx && a.proximal_mu == 0 &&
      (mu || !s.Has("proximal_mu"))) {
    s.Refuse("method", "needs proximal_mu above 0: with 0 it is \"fedavg\"");
  }
  Set(a.weight,
      s.Choice("weight", {WeightRule::kExamples, WeightRule::kPatients, WeightRule::kEqual}));
  Set(a.server_learning_rate, s.Real("server_learning_rate", 0, 10, Ends::kLowExcluded));
  Set(a.updates, s.Choice("updates", {Updates::kMasked, Updates::kSealed}));
  s.Finish();
}

void ReadSecureAggregation(Section s, const Aggregation& aggregation, const Cohort& cohort,
                           SecureAggregation& secure) {
  Set(secure.clip_norm, s.Real("clip_norm", 0, 1e9, Ends::kLowExcluded));
  Set(secure.threshold, s.Whole("threshold", 3, 255));
  if (aggregation.updates == Updates::kSealed) {
    for (const char* key : {"clip_norm", "threshold"}) {
      if (s.Has(key)) {
        s.Refuse(key, "has no effect: aggregation.updates is \"sealed\"");
      }
    }
  } else if (!cohort.sites.empty() && secure.threshold > cohort.sites.size()) {
    s.Refuse("threshold", StrCat("can never be reached: cohort.sites names ", cohort.sites.size()));
  }
  s.Finish();
}

void ReadSites(Section& s, Cohort& cohort) {
  const auto names = s.Texts("sites");
  if (!names) return;
  std::set<std::string> seen;
  for (const std::string& name : *names) {
    if (!CheckName("site", name).ok()) {
      s.Refuse("sites", StrCat("holds \"", Shown(name),
                               "\", which is no site's name: 1 to 63 of "
                               "a-z, 0-9 and -, not beginning with -"));
    } else if (!seen.insert(name).second) {
      s.Refuse("sites", StrCat("holds \"", name, "\" twice"));
    }
    cohort.sites.emplace_back(name);
  }
}

// `sites` named in the cohort (none: every enrolled site may take part).
void CheckEnoughSites(Section& s, std::uint32_t minimum, std::size_t sites) {
  if (sites == 0 || minimum <= sites) return;
  const std::string problem = StrCat("can never be reached: cohort.sites names ", sites);
  if (s.Has("minimum_sites")) {
    s.Refuse("minimum_sites", problem);
  } else {
    s.Missing("minimum_sites", StrCat("its default ", minimum, " ", problem));
  }
}

// How long one site is waited for: never longer than the round.
void ReadPatience(Section& s, std::string_view key, double shortest, double deadline_s,
                  double& patience_s) {
  if (const auto seconds = s.Real(key, shortest, kWeekInSeconds)) {
    patience_s = *seconds;
    if (*seconds > deadline_s) {
      s.Refuse(key, StrCat("is longer than the round: round_deadline_s is ", deadline_s));
    }
  } else {
    patience_s = std::min(patience_s, deadline_s);
  }
}

void ReadCohort(Section s, const Aggregation& aggregation, Cohort& cohort) {
  Set(cohort.minimum_sites, s.Whole("minimum_sites", 2, 255));
  if (cohort.minimum_sites < 3 && aggregation.updates == Updates::kMasked) {
    s.Refuse("minimum_sites",
             "is too few for secure aggregation, where a sum of two shows each to the other: 3 or "
             "more, or say aggregation.updates = \"sealed\" so that the coordinator sees each "
             "site's update");
  }
  ReadSites(s, cohort);
  CheckEnoughSites(s, cohort.minimum_sites, cohort.sites.size());
  const auto deadline = s.Real("round_deadline_s", 1, kWeekInSeconds);
  Set(cohort.round_deadline_s, deadline);
  ReadPatience(s, "absence_grace_s", 0, cohort.round_deadline_s, cohort.absence_grace_s);
  ReadPatience(s, "silence_s", 1, cohort.round_deadline_s, cohort.silence_s);
  s.Finish();
}

void ReadEvaluation(Section s, Evaluation& evaluation) {
  Set(evaluation.at_specificity, s.Real("at_specificity", 0, 1));
  s.Finish();
}

void ReadGate(Section s, const Cohort& cohort, Gate& gate) {
  Set(gate.minimum, s.Real("minimum_auroc", 0, 1));
  if (const auto drop = s.Real("maximum_site_drop", 0, 1)) gate.maximum_site_drop = drop;
  gate.minimum_sites = cohort.minimum_sites;
  Set(gate.minimum_sites, s.Whole("minimum_sites", 2, 255));
  if (s.Has("minimum_sites")) CheckEnoughSites(s, gate.minimum_sites, cohort.sites.size());
  s.Finish();
}

void ReadStop(Section s, Stop& stop) {
  Set(stop.rounds, s.Whole("rounds", 1, 100'000));
  if (const auto patience = s.Whole("patience", 1, 100'000)) {
    stop.patience = static_cast<std::uint32_t>(*patience);
    if (*patience > stop.rounds) {
      s.Refuse("patience",
               StrCat("never takes effect: the run ends after ", stop.rounds, " rounds"));
    }
  }
  if (const auto target = s.Real("target_auroc", 0.5, 1, Ends::kLowExcluded)) {
    stop.target = target;
  }
  if (const auto limit = s.Real("wall_time_s", 1, 52 * kWeekInSeconds)) stop.wall_time_s = limit;
  s.Finish();
}

void ReadDescribe(Section s, DescribeRun& describe) {
  Set(describe.smallest_count, s.Whole("smallest_count", 5, 1'000'000));
  s.Finish();
}

// A plan that describes has no word for training.
void RefuseTablesOfTraining(const toml::table& root, Faults& faults) {
  static const std::set<std::string_view> kOfDescribing = {"plan", "describe", "target", "cohort",
                                                           "secure_aggregation"};
  for (const auto& [key, node] : root) {
    if (!node.is_table() || kOfDescribing.contains(key.str())) continue;
    faults.Add(key.source().begin.line,
               StrCat("the table [", Shown(key.str()),
                      "] has no effect: a plan with [describe] trains nothing"));
  }
}

void RefuseUnknownTables(const toml::table& root, Faults& faults) {
  static const std::vector<std::string> kTables = {"plan",
                                                   "model",
                                                   "target",
                                                   "data",
                                                   "deidentification",
                                                   "preprocessing",
                                                   "training",
                                                   "aggregation",
                                                   "secure_aggregation",
                                                   "cohort",
                                                   "evaluation",
                                                   "gate",
                                                   "stop",
                                                   "describe"};
  for (const auto& [key, node] : root) {
    const std::string_view name = key.str();
    if (std::find(kTables.begin(), kTables.end(), name) != kTables.end()) continue;
    faults.Add(key.source().begin.line,
               StrCat(node.is_table() ? "the table [" : "the key ", Shown(name),
                      node.is_table() ? "]" : "", " is unknown: ", Advice(name, kTables)));
  }
}

absl::StatusOr<toml::table> ParseToml(std::string_view text) {
  if (text.size() > kLongestPlan) {
    return absl::InvalidArgumentError(
        StrCat("the plan has ", text.size(), " bytes, at most ", kLongestPlan, " are read"));
  }
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        StrCat("line ", error.source().begin.line,
               ": this is not TOML: ", std::string_view(error.description())));
  }
}

}  // namespace

absl::StatusOr<Plan> ParsePlan(std::string_view toml) {
  ASSIGN_OR_RETURN(const toml::table root, ParseToml(toml));
  Faults faults;
  const auto section = [&](const char* name) { return Section(root, name, faults); };
  Plan plan;
  RefuseUnknownTables(root, faults);
  ReadPlan(section("plan"), plan);
  if (root.contains("describe")) {
    RefuseTablesOfTraining(root, faults);
    ReadDescribe(section("describe"), plan.describe.emplace());
    if (root.contains("target")) ReadTarget(section("target"), plan.target);
    ReadCohort(section("cohort"), plan.aggregation, plan.cohort);
    ReadSecureAggregation(section("secure_aggregation"), plan.aggregation, plan.cohort,
                          plan.secure_aggregation);
    plan.aggregation.weight = WeightRule::kEqual;
    plan.gate.minimum_sites = plan.cohort.minimum_sites;
    plan.stop.rounds = 1;
    RETURN_IF_ERROR(faults.ToStatus());
    return plan;
  }
  ReadModel(section("model"), plan.model);
  ReadTarget(section("target"), plan.target);
  ReadData(section("data"), plan.data);
  ReadDeidentification(section("deidentification"), plan.data, plan.deidentification);
  ReadPreprocessing(section("preprocessing"), plan.model, plan.preprocessing);
  ReadTraining(section("training"), plan.training);
  ReadAggregation(section("aggregation"), plan.aggregation);
  ReadCohort(section("cohort"), plan.aggregation, plan.cohort);
  ReadSecureAggregation(section("secure_aggregation"), plan.aggregation, plan.cohort,
                        plan.secure_aggregation);
  ReadEvaluation(section("evaluation"), plan.evaluation);
  ReadGate(section("gate"), plan.cohort, plan.gate);
  ReadStop(section("stop"), plan.stop);
  RETURN_IF_ERROR(faults.ToStatus());
  return plan;
}

}  // namespace consilium::plan

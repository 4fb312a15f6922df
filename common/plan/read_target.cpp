#include "common/plan/readers.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "common/base/status.h"

namespace consilium::plan {
namespace {

constexpr std::size_t kMostIntervals = 64;

constexpr Architecture kClassifiers[] = {Architecture::kSmallCnn,    Architecture::kResNet18,
                                         Architecture::kResNet34,    Architecture::kResNet50,
                                         Architecture::kDenseNet121, Architecture::kEfficientNetB0,
                                         Architecture::kTorchScript};
constexpr Architecture kOutliners[] = {Architecture::kUnet, Architecture::kUnet3d,
                                       Architecture::kTorchScript};
constexpr Architecture kDetectors[] = {Architecture::kFcos};
constexpr Architecture kOfRecordings[] = {
    Architecture::kSpectrogramCnn, Architecture::kSmallCnn,   Architecture::kResNet18,
    Architecture::kResNet34,       Architecture::kResNet50,   Architecture::kDenseNet121,
    Architecture::kEfficientNetB0, Architecture::kTorchScript};
constexpr Architecture kOfTables[] = {Architecture::kLogistic, Architecture::kMlp,
                                      Architecture::kTorchScript};

std::span<const Architecture> Suitable(Task task, Source source) {
  if (source == Source::kTable) return kOfTables;
  if (source == Source::kAudio) return kOfRecordings;
  if (task == Task::kSegmentation) return kOutliners;
  if (task == Task::kDetection) return kDetectors;
  return kClassifiers;
}

std::string ListOf(std::span<const Architecture> architectures) {
  std::string text;
  for (const Architecture architecture : architectures) {
    StrAppend(&text, text.empty() ? "\"" : ", \"", Name(architecture), "\"");
  }
  return text;
}

void ReadArchitecture(Section& s, const Subject& subject, Model& model, bool& known) {
  const auto architecture = s.Choice(
      "architecture", {Architecture::kSmallCnn, Architecture::kResNet18, Architecture::kResNet34,
                       Architecture::kResNet50, Architecture::kDenseNet121,
                       Architecture::kEfficientNetB0, Architecture::kUnet, Architecture::kUnet3d,
                       Architecture::kFcos, Architecture::kSpectrogramCnn, Architecture::kLogistic,
                       Architecture::kMlp, Architecture::kTorchScript});
  Set(model.architecture, architecture);
  known = architecture || !s.Has("architecture");
  if (!known || !subject.task || !subject.source) return;
  const auto suitable = Suitable(*subject.task, *subject.source);
  if (std::find(suitable.begin(), suitable.end(), model.architecture) != suitable.end()) return;
  known = false;
  const std::string of = *subject.source != Source::kDicom
                             ? StrCat("data.source \"", Name(*subject.source), "\"")
                             : StrCat("target.task \"", Name(*subject.task), "\"");
  if (architecture) {
    s.Refuse("architecture", StrCat("does not suit ", of, ": one of ", ListOf(suitable)));
  } else {
    s.Missing("architecture", StrCat(of, " needs one of ", ListOf(suitable)));
  }
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// The keys that only some architectures have.
void ReadSizes(Section& s, bool architecture_known, Model& model) {
  const auto width = s.Whole("width", 8, 256);
  Set(model.width, width);
  if (width && *width % 8 != 0) {
    s.Refuse("width", "is no multiple of 8, which the groups of the norm need");
  }
  if (const auto hidden = s.Wholes("hidden", 1, 4096)) {
    model.hidden.assign(hidden->begin(), hidden->end());
    if (hidden->empty() || hidden->size() > 8) {
      s.Refuse("hidden", StrCat("names ", hidden->size(), " hidden layers: 1 to 8 are allowed"));
    }
  }
  Set(model.dropout, s.Real("dropout", 0, 1, Ends::kHighExcluded));
  if (!architecture_known) return;
  using A = Architecture;
  const A a = model.architecture;
  const auto only = [&](std::string_view key, bool has, std::string_view whose) {
    if (!has && s.Has(key)) {
      s.Refuse(key, StrCat("has no effect with architecture \"", Name(a), "\": only ", whose,
                           " has it"));
    }
  };
  only("width", a == A::kUnet || a == A::kUnet3d || a == A::kFcos,
       "\"unet\", \"unet3d\" and \"fcos\"");
  only("hidden", a == A::kMlp, "\"mlp\"");
  only("dropout", a == A::kMlp, "\"mlp\"");
  only("module", a == A::kTorchScript, "\"torchscript\"");
  only("norm", a != A::kMlp && a != A::kLogistic && a != A::kTorchScript,
       "a built-in network of images");
  if (a == A::kMlp && model.hidden.empty()) model.hidden = {32};
  if (a == A::kTorchScript && !s.Has("module")) {
    s.Missing("module", "the SHA-256 of the module's file, as `sha256sum` shows it");
  }
}

struct TargetWords {
  Section& s;
  Task task;

  std::string With() const { return StrCat("with task \"", Name(task), "\""); }

  std::string Column(std::string_view key, std::string_view what, bool required = true) {
    const auto name = s.Text(key);
    if (name && !IsColumnName(*name)) {
      s.Refuse(key, StrCat("is not allowed: ", kColumnNameRule));
    } else if (!s.Has(key) && required) {
      s.Missing(key, what);
    }
    return name.value_or("");
  }

  void None(std::string_view key, std::string_view why) {
    s.Text(key);
    if (s.Has(key)) s.Refuse(key, StrCat("has no effect ", With(), why));
  }

  std::vector<std::string> Classes(std::size_t least, std::size_t most, std::string_view what) {
    const auto classes = s.Texts("classes");
    if (!classes) {
      if (!s.Has("classes")) s.Missing("classes", StrCat(With(), " it lists ", what));
      return {};
    }
    if (classes->size() < least || classes->size() > most) {
      s.Refuse("classes", StrCat("lists ", classes->size(), ": ", least, " to ", most,
                                 " are allowed ", With()));
      return {};
    }
    CheckEach(*classes);
    return *classes;
  }

  void CheckEach(const std::vector<std::string>& classes) {
    for (auto it = classes.begin(); it != classes.end(); ++it) {
      if (!IsColumnName(*it)) {
        s.Refuse("classes",
                 StrCat("holds \"", Shown(*it), "\", which is not allowed: ", kColumnNameRule));
      } else if (std::any_of(classes.begin(), it, [&](const std::string& known) {
                   return Comparable(known) == Comparable(*it);
                 })) {
        s.Refuse("classes", StrCat("holds \"", *it, "\" twice (in any case of its letters)"));
      } else if (task == Task::kMulticlass && IsMissing(*it)) {
        s.Refuse("classes", StrCat("holds \"", Shown(*it),
                                   "\", which stands for a value that is "
                                   "missing"));
      }
    }
  }
};

void ReadIntervals(Section& s, Target& target) {
  const auto ends = s.Wholes("intervals", 1, 36'525);
  if (!ends) return;
  if (ends->size() < 2 || ends->size() > kMostIntervals) {
    s.Refuse("intervals",
             StrCat("lists the ends of ", ends->size(), ": 2 to ", kMostIntervals, " are allowed"));
  } else if (std::adjacent_find(ends->begin(), ends->end(), std::greater_equal<>()) !=
             ends->end()) {
    s.Refuse("intervals", "are not ascending: they are the days on which each interval ends");
  }
  target.intervals.assign(ends->begin(), ends->end());
}

// The table's keys by task.
void ReadWords(TargetWords words, Source source, Target& target) {
  constexpr std::string_view kByClasses = ": its columns are those that classes lists";
  const std::string_view file = source == Source::kTable   ? "the table"
                                : source == Source::kAudio ? "recordings.csv"
                                                           : "labels.csv";
  const std::string column = StrCat("the column of ", file, " to learn");
  if (target.task != Task::kSurvival) {
    words.None("time", ": only \"survival\" has one");
    words.None("event", ": only \"survival\" has one");
  }
  Set(target.whole, words.s.Flag("whole"));
  if (target.task != Task::kDetection && words.s.Has("whole")) {
    words.s.Refuse("whole", StrCat("has no effect ", words.With(), ": only \"detection\" has it"));
  }
  if (target.task != Task::kMulticlass) {
    words.s.RefuseIfThere({"ordered"}, "only task \"multiclass\" has grades");
  }
  if (target.task != Task::kSurvival) {
    words.s.RefuseIfThere({"intervals"}, "only task \"survival\" has them");
  }
  switch (target.task) {
    case Task::kBinary:
      target.name = words.Column("name", column);
      words.s.Texts("classes");
      if (words.s.Has("classes")) {
        words.s.Refuse("classes",
                       "has no effect with task \"binary\": say \"multiclass\" or "
                       "\"multilabel\"");
      }
      return;
    case Task::kMulticlass:
      target.name = words.Column("name", column);
      target.classes = words.Classes(2, kMostClasses, "the values of the column");
      Set(target.ordered, words.s.Flag("ordered"));
      if (target.ordered && target.classes.size() == 2) {
        words.s.Refuse("ordered", "says nothing of two classes: a third one is needed");
      }
      return;
    case Task::kMultilabel:
      words.None("name", kByClasses);
      target.classes = words.Classes(2, kMostClasses, StrCat("columns of ", file));
      return;
    case Task::kSegmentation:
      target.name = words.Column("name", "what the outlines are called in reports");
      target.classes = words.Classes(1, kMostStructures, "structures to outline");
      return;
    case Task::kDetection:
      target.name = words.Column("name", "what the findings are called in reports");
      target.classes = words.Classes(1, kMostStructures, "kinds of finding to detect");
      return;
    case Task::kSurvival:
      words.None("name", ": its columns are time and event");
      words.s.Texts("classes");
      if (words.s.Has("classes")) words.s.Refuse("classes", StrCat("has no effect ", words.With()));
      target.time = words.Column("time", "the column with the days of observation");
      target.event = words.Column("event",
                                  "the column with 1 where the event happened then, "
                                  "else 0");
      if (!target.time.empty() && target.time == target.event) {
        words.s.Refuse("event", "is the same column as time");
      }
      ReadIntervals(words.s, target);
      return;
  }
}

}  // namespace

bool IsInputName(std::string_view text) {
  return !text.empty() && text.size() <= 127 && text.front() != ' ' && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '"'; });
}

bool IsColumnName(std::string_view text) {
  return text.size() <= 63 && text.find(',') == text.npos && IsInputName(text);
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
  Set(plan.seed, s.Whole("seed", 0, std::numeric_limits<std::int64_t>::max()));
  s.Finish();
}

void ReadDescribe(Section s, DescribeRun& describe) {
  Set(describe.smallest_count, s.Whole("smallest_count", 5, 1'000'000));
  s.Finish();
}

void ReadDescribedTarget(Section s, Target& target) {
  const auto task = s.Choice("task", {Task::kBinary, Task::kMulticlass, Task::kMultilabel,
                                      Task::kSegmentation, Task::kSurvival, Task::kDetection});
  if (task.value_or(Task::kBinary) != Task::kBinary) {
    s.Refuse("task", "cannot be described: only labels of 0 and 1 are counted");
  }
  ReadWords({s, Task::kBinary}, Source::kDicom, target);
  s.Finish();
}

void ReadTarget(Section s, Subject& subject, Target& target) {
  const auto task = s.Choice("task", {Task::kBinary, Task::kMulticlass, Task::kMultilabel,
                                      Task::kSegmentation, Task::kSurvival, Task::kDetection});
  Set(target.task, task);
  if (!task && s.Has("task")) return;  // what the other keys must be depends on it
  subject.task = target.task;
  const std::string source =
      StrCat("data.source is \"", Name(subject.source.value_or(Source::kDicom)), "\"");
  if (TaughtByMasks(target.task) && subject.source && *subject.source != Source::kDicom) {
    s.Refuse("task", StrCat("needs images: ", source));
  }
  ReadWords({s, target.task}, subject.source.value_or(Source::kDicom), target);
  s.Finish();
}

void ReadModel(Section s, const Subject& subject, Model& model) {
  bool architecture_known = false;
  Set(model.norm, s.Choice("norm", {Norm::kGroup, Norm::kBatch}));
  ReadArchitecture(s, subject, model, architecture_known);
  if (const auto hex = s.Text("module")) {
    model.module = *hex;
    if (!IsSha256(*hex)) {
      s.Refuse("module", "is not a SHA-256: 64 of 0-9 and a-f, as `sha256sum` shows it");
    }
  }
  ReadSizes(s, architecture_known, model);
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
  ReadFrozen(s, model);
  s.Finish();
}

}  // namespace consilium::plan

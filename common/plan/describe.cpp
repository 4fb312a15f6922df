#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/plan/plan.h"

namespace consilium::plan {
namespace {

// What the network learns to say.
std::string Question(const Target& target) {
  switch (target.task) {
    case Task::kBinary:
      return StrCat("classifying \"", target.name, "\"");
    case Task::kMulticlass:
      if (target.ordered) {
        return StrCat("grading \"", target.name, "\" (", absl::StrJoin(target.classes, " < "), ")");
      }
      return StrCat("telling the classes of \"", target.name, "\" apart (",
                    absl::StrJoin(target.classes, ", "), ")");
    case Task::kMultilabel:
      return StrCat("finding each of the labels ", absl::StrJoin(target.classes, ", "));
    case Task::kSegmentation:
      return StrCat("outlining ", absl::StrJoin(target.classes, ", "), " (\"", target.name, "\")");
    case Task::kDetection:
      return StrCat("finding ", absl::StrJoin(target.classes, ", "), " (\"", target.name, "\"), ",
                    target.whole ? "one box a kind and image" : "a box each connected part");
    case Task::kSurvival:
      return StrCat("foreseeing \"", target.event, "\" by time in \"", target.time,
                    target.intervals.empty()
                        ? std::string("\" (Cox's proportional hazards)")
                        : StrCat("\" (a hazard for each interval that ends on day ",
                                 absl::StrJoin(target.intervals, ", "), ")"));
  }
  return "?";
}

std::string Network(const Plan& plan) {
  const Model& model = plan.model;
  std::string text = std::string(Name(model.architecture));
  const auto join = [](const auto& values) { return absl::StrJoin(values, ", "); };
  switch (model.architecture) {
    case Architecture::kLogistic:
      break;
    case Architecture::kMlp:
      StrAppend(&text, " with hidden layers of ", join(model.hidden), " units");
      if (model.dropout > 0) StrAppend(&text, ", dropout ", model.dropout);
      break;
    case Architecture::kTorchScript:
      StrAppend(&text, " module ", model.module.substr(0, 12));
      break;
    default:
      StrAppend(&text, " with ", Name(model.norm), " norm");
  }
  StrAppend(&text, ", ", Question(plan.target), ", starting from ");
  if (model.initial) {
    StrAppend(&text, "model ", model.initial->Short());
  } else {
    StrAppend(&text, "seed ", plan.seed);
  }
  if (model.adapter_rank > 0) StrAppend(&text, ", adapters of rank ", model.adapter_rank);
  if (!model.frozen.empty()) StrAppend(&text, ", frozen: ", join(model.frozen));
  return text;
}

std::string Ages(const Data& data) {
  if (!data.maximum_age) return StrCat("of ", *data.minimum_age, " years and older");
  if (!data.minimum_age) return StrCat("up to ", *data.maximum_age, " years old");
  return StrCat("of ", *data.minimum_age, " to ", *data.maximum_age, " years");
}

std::string Images(const Data& data) {
  std::string images = StrCat(absl::StrJoin(data.modalities, " and "), " images");
  if (!data.views.empty()) StrAppend(&images, " (", absl::StrJoin(data.views, ", "), ")");
  if (data.minimum_age || data.maximum_age) StrAppend(&images, " of patients ", Ages(data));
  return images;
}

std::string Examples(const Plan& plan) {
  const std::string table = StrCat("the table ", plan.table.name, ".csv");
  switch (plan.data.source) {
    case Source::kTable:
      return table;
    case Source::kAudio:
      return "recordings, named in recordings.csv";
    case Source::kDicom:
      break;
  }
  std::string text = Images(plan.data);
  if (!plan.table.columns.empty()) StrAppend(&text, " with each patient's row of ", table);
  return text;
}

std::string Patients(const Plan& plan) {
  const Data& data = plan.data;
  const double training = 1 - data.validation_fraction - data.test_fraction;
  return absl::StrFormat(
      "%s; %d or more patients a site, %.0f %% of them to train on, %.0f %% to validate, "
      "%.0f %% to test",
      Examples(plan), data.minimum_patients, 100 * training, 100 * data.validation_fraction,
      100 * data.test_fraction);
}

// Every column that is read beside the patient's: what a site agrees to.
std::string Columns(const Plan& plan) {
  const Table& table = plan.table;
  std::string text = StrCat("learns ", absl::StrJoin(plan.target.Columns(), ", "), " from ");
  bool first = true;
  for (const Column& column : table.columns) {
    StrAppend(&text, first ? "" : ", ", column.name);
    first = false;
    if (column.kind == ColumnKind::kNumber) {
      StrAppend(&text, " (", column.minimum, " to ", column.maximum, ")");
    } else {
      StrAppend(&text, " (", absl::StrJoin(column.values, "/"), ")");
    }
  }
  StrAppend(&text, "; ", table.Inputs(), table.Inputs() == 1 ? " input" : " inputs");
  if (table.missing_indicators) text += ", of them one a number that says where it is missing";
  return text;
}

std::string Input(const Preprocessing& p) {
  std::string text = p.slices > 0 ? StrCat(p.slices, " slices of ", p.image_size, " x ",
                                           p.image_size, " pixels, a volume")
                                  : StrCat(p.image_size, " x ", p.image_size, " pixels");
  if (p.preset != Preset::kGeneric) StrAppend(&text, " by the preset ", Name(p.preset));
  if (p.frame == FrameChoice::kMiddle) text += ", the middle one of several frames";
  if (p.channel == Channel::kGreen) text += ", the green channel of colour";
  if (p.channel == Channel::kRgb) text += ", red, green and blue";
  if (p.units == Units::kSuv) text += ", standardised uptake values";
  if (p.crop != Crop::kNone) StrAppend(&text, ", cropped to ", Name(p.crop));
  if (p.face_left) text += ", mirrored to face left";
  StrAppend(&text, ", intensity by ", Name(p.intensity));
  if (p.intensity == Intensity::kFixed) StrAppend(&text, " range ", p.low, " to ", p.high);
  if (p.blank_padding) text += ", padding black";
  if (p.standardize) text += ", standardized";
  if (p.spacing_mm > 0) StrAppend(&text, ", resampled to ", p.spacing_mm, " mm");
  if (p.slice_spacing_mm > 0) StrAppend(&text, ", slices ", p.slice_spacing_mm, " mm apart");
  return text;
}

std::string Input(const Audio& a) {
  std::string text =
      StrCat(a.seconds, " s at ", a.sample_rate_hz, " Hz as ", a.bands, " mel bands of ", a.low_hz,
             " to ", a.high_hz, " Hz, windows of ", a.window_ms, " ms every ", a.hop_ms, " ms (",
             a.bands, " x ", a.Frames(), ")");
  if (a.standardize) text += ", each band's mean taken away";
  return text;
}

std::string Steps(const Plan& plan) {
  const Training& t = plan.training;
  std::string text =
      StrCat(t.local_epochs, t.local_epochs == 1 ? " epoch" : " epochs", " a round in batches of ",
             t.batch_size, ", ", Name(t.optimizer), " at ", t.learning_rate);
  if (t.optimizer == Optimizer::kSgd) StrAppend(&text, " with momentum ", t.momentum);
  if (t.schedule == Schedule::kCosine) text += ", which falls to 0 along a cosine";
  StrAppend(&text, ", weight decay ", t.weight_decay);
  if (t.keep_optimizer) text += ", moments kept between rounds";
  if (plan.data.source != Source::kTable) StrAppend(&text, ", augmentation ", Name(t.augmentation));
  if (t.accumulation > 1) StrAppend(&text, ", each in ", t.accumulation, " parts");
  if (t.block > 0) StrAppend(&text, ", on blocks of ", t.block, " voxels a side");
  if (t.checkpointing) text += ", checkpointing";
  if (t.class_weighting) text += ", classes weighted";
  if (t.precision == Precision::kMixed) text += ", mixed precision";
  return text;
}

std::string Combination(const Aggregation& a) {
  std::string text = StrCat(Name(a.method), ", weighted by ", Name(a.weight));
  if (a.method == AggregationMethod::kFedProx) StrAppend(&text, ", mu ", a.proximal_mu);
  if (a.server_learning_rate != 1) StrAppend(&text, ", server rate ", a.server_learning_rate);
  return text;
}

std::string Personal(const Personalisation& p) {
  std::string text = StrCat(Name(p.method), ", ", p.epochs, p.epochs == 1 ? " epoch" : " epochs",
                            p.method == PersonalMethod::kFineTuning ? "" : " a round");
  if (p.method == PersonalMethod::kDitto) StrAppend(&text, ", pull ", p.pull);
  return StrCat(text, "; a model of each site's own that never leaves it");
}

std::string Protection(const Plan& plan) {
  if (plan.aggregation.updates == Updates::kSealed) {
    return "sealed to the coordinator: it SEES each site's update and results; every site must "
           "consent";
  }
  std::string text = "secure aggregation: only sums over the cohort can be seen; ";
  if (plan.secure_aggregation.threshold > 0) {
    StrAppend(&text, plan.secure_aggregation.threshold, " sites or two thirds");
  } else {
    text += "two thirds of the sites";
  }
  return StrCat(text, " must stay to the end, updates longer than ",
                plan.secure_aggregation.clip_norm, " are clipped");
}

std::string Sites(const Cohort& cohort) {
  std::string who = "every enrolled site";
  if (!cohort.sites.empty()) {
    who = absl::StrJoin(cohort.sites, ", ",
                        [](std::string* out, const SiteId& site) { *out += site.value; });
  }
  return StrCat(cohort.minimum_sites, " or more of ", who, "; a round waits at most ",
                ToReadable(FromSeconds(cohort.round_deadline_s)), ", and ",
                ToReadable(FromSeconds(cohort.absence_grace_s)), " for a site that is away, and ",
                ToReadable(FromSeconds(cohort.silence_s)), " for one that gives no sign of life");
}

std::string Release(const Plan& plan) {
  const Gate& gate = plan.gate;
  std::string text = StrCat("with a pooled test ", HeadlineTitle(plan.target.task), " of ",
                            gate.minimum, " or more at ", gate.minimum_sites, " or more sites");
  if (gate.maximum_site_drop) {
    StrAppend(&text, ", and no site ", *gate.maximum_site_drop, " below the last published model");
  }
  return text;
}

std::string End(const Plan& plan) {
  const Stop& stop = plan.stop;
  const std::string_view headline = HeadlineTitle(plan.target.task);
  std::string text = StrCat(stop.rounds, stop.rounds == 1 ? " round" : " rounds");
  if (stop.patience)
    StrAppend(&text, ", or ", *stop.patience, " without a better validation ", headline);
  if (stop.target) StrAppend(&text, ", or a validation ", headline, " of ", *stop.target);
  if (stop.wall_time_s) StrAppend(&text, ", or ", ToReadable(FromSeconds(*stop.wall_time_s)));
  return text;
}

std::string Inventory(const Plan& plan) {
  std::string text = "what the sites' images are: patients, sex, age, scanners, intensities";
  if (!plan.target.name.empty()) StrAppend(&text, ", labels of \"", plan.target.name, "\"");
  return text;
}

}  // namespace

std::string Describe(const Plan& plan) {
  std::string text = StrCat("plan ", plan.name, "\n");
  if (!plan.description.empty()) StrAppend(&text, plan.description, "\n");
  const auto line = [&](std::string_view what, const std::string& how) {
    absl::StrAppendFormat(&text, "  %-12s %s\n", std::string(what), how);
  };
  if (plan.describe) {
    line("describes", Inventory(plan));
    line("shown", StrCat("rows of ", plan.describe->smallest_count, " patients or more"));
    line("protection", "secure aggregation: only sums over the cohort can be seen");
    line("sites", Sites(plan.cohort));
    return text;
  }
  line("model", Network(plan));
  line("data", Patients(plan));
  if (plan.data.source == Source::kDicom) line("input", Input(plan.preprocessing));
  if (plan.data.source == Source::kAudio) line("input", Input(plan.audio));
  if (!plan.table.columns.empty()) line("columns", Columns(plan));
  line("training", Steps(plan));
  line("aggregation", Combination(plan.aggregation));
  if (plan.personalisation.method != PersonalMethod::kNone) {
    line("personal", Personal(plan.personalisation));
  }
  line("protection", Protection(plan));
  line("sites", Sites(plan.cohort));
  line("published", Release(plan));
  line("ends after", End(plan));
  return text;
}

}  // namespace consilium::plan

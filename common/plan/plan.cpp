#include "common/plan/plan.h"

#include <bit>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/base/text.h"

namespace consilium::plan {
namespace {

constexpr HounsfieldWindow kHounsfieldWindows[] = {
    {"soft_tissue", -160, 240}, {"lung", -1000, 400}, {"bone", -450, 1050},
    {"brain", 0, 80},           {"liver", -45, 105},
};

std::string Network(const Plan& plan) {
  std::string text = StrCat(Name(plan.model.architecture), " with ", Name(plan.model.norm),
                            " norm, classifying \"", plan.target.name, "\", starting from ");
  if (plan.model.initial) {
    StrAppend(&text, "model ", plan.model.initial->Short());
  } else {
    StrAppend(&text, "seed ", plan.seed);
  }
  return text;
}

std::string Ages(const Data& data) {
  if (!data.maximum_age) return StrCat("of ", *data.minimum_age, " years and older");
  if (!data.minimum_age) return StrCat("up to ", *data.maximum_age, " years old");
  return StrCat("of ", *data.minimum_age, " to ", *data.maximum_age, " years");
}

std::string Patients(const Data& data) {
  const double training = 1 - data.validation_fraction - data.test_fraction;
  std::string images = StrCat(absl::StrJoin(data.modalities, " and "), " images");
  if (!data.views.empty()) StrAppend(&images, " (", absl::StrJoin(data.views, ", "), ")");
  if (data.minimum_age || data.maximum_age) StrAppend(&images, " of patients ", Ages(data));
  return absl::StrFormat(
      "%s; %d or more patients a site, %.0f %% of them to train on, %.0f %% to validate, "
      "%.0f %% to test",
      images, data.minimum_patients, 100 * training, 100 * data.validation_fraction,
      100 * data.test_fraction);
}

std::string Input(const Preprocessing& p) {
  std::string text = StrCat(p.image_size, " x ", p.image_size, " pixels");
  if (p.preset != Preset::kGeneric) StrAppend(&text, " by the preset ", Name(p.preset));
  if (p.frame == FrameChoice::kMiddle) text += ", the middle one of several frames";
  if (p.channel == Channel::kGreen) text += ", the green channel of colour";
  if (p.units == Units::kSuv) text += ", standardised uptake values";
  if (p.crop != Crop::kNone) StrAppend(&text, ", cropped to ", Name(p.crop));
  if (p.face_left) text += ", mirrored to face left";
  StrAppend(&text, ", intensity by ", Name(p.intensity));
  if (p.intensity == Intensity::kFixed) StrAppend(&text, " range ", p.low, " to ", p.high);
  if (p.blank_padding) text += ", padding black";
  if (p.standardize) text += ", standardized";
  if (p.spacing_mm > 0) StrAppend(&text, ", resampled to ", p.spacing_mm, " mm");
  return text;
}

std::string Steps(const Training& t) {
  std::string text =
      StrCat(t.local_epochs, t.local_epochs == 1 ? " epoch" : " epochs", " a round in batches of ",
             t.batch_size, ", ", Name(t.optimizer), " at ", t.learning_rate);
  if (t.optimizer == Optimizer::kSgd) StrAppend(&text, " with momentum ", t.momentum);
  StrAppend(&text, ", weight decay ", t.weight_decay, ", augmentation ", Name(t.augmentation));
  if (t.class_weighting) text += ", classes weighted";
  return text;
}

std::string Combination(const Aggregation& a) {
  std::string text = StrCat(Name(a.method), ", weighted by ", Name(a.weight));
  if (a.method == AggregationMethod::kFedProx) StrAppend(&text, ", mu ", a.proximal_mu);
  if (a.server_learning_rate != 1) StrAppend(&text, ", server rate ", a.server_learning_rate);
  return text;
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

std::string Release(const Gate& gate) {
  std::string text = StrCat("with a pooled test AUROC of ", gate.minimum, " or more at ",
                            gate.minimum_sites, " or more sites");
  if (gate.maximum_site_drop) {
    StrAppend(&text, ", and no site ", *gate.maximum_site_drop, " below the last published model");
  }
  return text;
}

std::string End(const Stop& stop) {
  std::string text = StrCat(stop.rounds, stop.rounds == 1 ? " round" : " rounds");
  if (stop.patience)
    StrAppend(&text, ", or ", *stop.patience, " without a better validation AUROC");
  if (stop.target) StrAppend(&text, ", or a validation AUROC of ", *stop.target);
  if (stop.wall_time_s) StrAppend(&text, ", or ", ToReadable(FromSeconds(*stop.wall_time_s)));
  return text;
}

std::string Question(const Plan& plan) {
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
    line("describes", Question(plan));
    line("shown", StrCat("rows of ", plan.describe->smallest_count, " patients or more"));
    line("protection", "secure aggregation: only sums over the cohort can be seen");
    line("sites", Sites(plan.cohort));
    return text;
  }
  line("model", Network(plan));
  line("data", Patients(plan.data));
  line("input", Input(plan.preprocessing));
  line("training", Steps(plan.training));
  line("aggregation", Combination(plan.aggregation));
  line("protection", Protection(plan));
  line("sites", Sites(plan.cohort));
  line("published", Release(plan.gate));
  line("ends after", End(plan.stop));
  return text;
}

std::span<const HounsfieldWindow> HounsfieldWindows() { return kHounsfieldWindows; }

std::string PixelSettings(const Preprocessing& p) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  return StrCat(p.image_size, " ", Name(p.frame), " ", Name(p.channel), " ", Name(p.units), " ",
                Name(p.crop), " ", p.face_left ? "left " : "", Name(p.intensity), " ", bits(p.low),
                " ", bits(p.high), " ", p.blank_padding ? "blank " : "", bits(p.spacing_mm));
}

Preprocessing DefaultsOf(Preset preset, std::uint32_t image_size) {
  Preprocessing p;
  p.preset = preset;
  p.image_size = image_size;
  p.blank_padding = preset != Preset::kGeneric;
  const auto fixed = [&p](double low, double high) {
    p.intensity = Intensity::kFixed;
    p.low = low;
    p.high = high;
    p.standardize = false;  // the units mean the same in every image
  };
  switch (preset) {
    case Preset::kGeneric:
    case Preset::kRadiograph:
    case Preset::kMr:
      break;
    case Preset::kMammography:
      p.crop = Crop::kForeground;
      p.face_left = true;
      p.intensity = Intensity::kWindow;
      break;
    case Preset::kCt:
      fixed(kHounsfieldWindows[0].low, kHounsfieldWindows[0].high);
      break;
    case Preset::kUltrasound:
      p.frame = FrameChoice::kMiddle;
      p.crop = Crop::kScanRegion;
      p.intensity = Intensity::kRange;
      break;
    case Preset::kRetina:
      p.channel = Channel::kGreen;
      p.crop = Crop::kDisc;
      break;
    case Preset::kPet:
      p.units = Units::kSuv;
      fixed(0, 10);
      break;
  }
  return p;
}

std::string_view Name(Architecture v) {
  return v == Architecture::kSmallCnn ? "small_cnn" : "resnet18";
}

std::string_view Name(Norm v) { return v == Norm::kGroup ? "group" : "batch"; }

std::string_view Name(Intensity v) {
  switch (v) {
    case Intensity::kWindow:
      return "window";
    case Intensity::kPercentile:
      return "percentile";
    case Intensity::kRange:
      return "range";
    case Intensity::kFixed:
      return "fixed";
  }
  return "?";
}

std::string_view Name(Retain v) {
  switch (v) {
    case Retain::kPatientCharacteristics:
      return "patient_characteristics";
    case Retain::kDeviceIdentity:
      return "device_identity";
    case Retain::kInstitutionIdentity:
      return "institution_identity";
  }
  return "?";
}

std::string_view Name(Preset v) {
  switch (v) {
    case Preset::kGeneric:
      return "generic";
    case Preset::kRadiograph:
      return "radiograph";
    case Preset::kMammography:
      return "mammography";
    case Preset::kCt:
      return "ct";
    case Preset::kMr:
      return "mr";
    case Preset::kUltrasound:
      return "ultrasound";
    case Preset::kRetina:
      return "retina";
    case Preset::kPet:
      return "pet";
  }
  return "?";
}

std::string_view Name(Crop v) {
  switch (v) {
    case Crop::kNone:
      return "none";
    case Crop::kForeground:
      return "foreground";
    case Crop::kScanRegion:
      return "scan_region";
    case Crop::kDisc:
      return "disc";
  }
  return "?";
}

std::string_view Name(Channel v) { return v == Channel::kLuminance ? "luminance" : "green"; }

std::string_view Name(FrameChoice v) { return v == FrameChoice::kOnly ? "only" : "middle"; }

std::string_view Name(Units v) { return v == Units::kModality ? "modality" : "suv"; }

std::string_view Name(Optimizer v) { return v == Optimizer::kSgd ? "sgd" : "adamw"; }

std::string_view Name(Augmentation v) { return v == Augmentation::kNone ? "none" : "radiograph"; }

std::string_view Name(AggregationMethod v) {
  return v == AggregationMethod::kFedAvg ? "fedavg" : "fedprox";
}

std::string_view Name(Updates v) { return v == Updates::kMasked ? "masked" : "sealed"; }

std::string_view Name(WeightRule v) {
  switch (v) {
    case WeightRule::kExamples:
      return "examples";
    case WeightRule::kPatients:
      return "patients";
    case WeightRule::kEqual:
      return "equal";
  }
  return "?";
}

}  // namespace consilium::plan

#pragma once

#include <string>
#include <vector>

#include "common/base/text.h"
#include "common/plan/plan.h"

namespace consilium::learning {

inline plan::Plan ImagePlan(plan::Architecture architecture, plan::Norm norm) {
  plan::Plan plan;
  plan.name = StrCat(plan::Name(architecture), "-", plan::Name(norm));
  plan.model.architecture = architecture;
  plan.model.norm = norm;
  plan.preprocessing.image_size = 64;
  if (architecture == plan::Architecture::kUnet3d) plan.preprocessing.slices = 16;
  if (architecture == plan::Architecture::kUnet3d) plan.preprocessing.image_size = 32;
  if (architecture == plan::Architecture::kUnet || architecture == plan::Architecture::kUnet3d) {
    plan.target.task = Task::kSegmentation;
    plan.target.classes = {"core", "oedema"};
  }
  if (architecture == plan::Architecture::kFcos) {
    plan.target.task = Task::kDetection;
    plan.target.classes = {"nodule", "mass"};
    plan.seed = 2;  // of 1, one value before a ReLU is 0 but for rounding
  }
  return plan;
}

inline plan::Plan RecordingPlan(plan::Norm norm) {
  plan::Plan plan;
  plan.name = StrCat("spectrogram_cnn-", plan::Name(norm));
  plan.model.architecture = plan::Architecture::kSpectrogramCnn;
  plan.model.norm = norm;
  plan.data.source = plan::Source::kAudio;
  plan.audio.seconds = 1.5;  // 45 frames
  return plan;
}

inline plan::Plan TablePlan(plan::Architecture architecture) {
  plan::Plan plan;
  plan.name = std::string(plan::Name(architecture));
  plan.model.architecture = architecture;
  plan.data.source = plan::Source::kTable;
  plan.table = {.name = "patients",
                .columns = {{.name = "age", .minimum = 0, .maximum = 120},
                            {.name = "sex",
                             .kind = plan::ColumnKind::kCategory,
                             .values = {"female", "male"}},
                            {.name = "pressure", .minimum = 50, .maximum = 250}},
                .missing_indicators = true};
  return plan;
}

inline plan::Plan FusionPlan(plan::Architecture architecture, plan::Norm norm) {
  plan::Plan plan = ImagePlan(architecture, norm);
  plan.name += "-table";
  plan.table = TablePlan(plan::Architecture::kLogistic).table;
  return plan;
}

// One plan a network and norm, and some of other outputs and channels; each has a name of its own.
inline std::vector<plan::Plan> NetworkPlans() {
  using plan::Architecture;
  std::vector<plan::Plan> plans;
  for (const Architecture architecture :
       {Architecture::kSmallCnn, Architecture::kResNet18, Architecture::kResNet34,
        Architecture::kResNet50, Architecture::kDenseNet121, Architecture::kEfficientNetB0,
        Architecture::kUnet, Architecture::kFcos}) {
    plans.push_back(ImagePlan(architecture, plan::Norm::kGroup));
    plans.push_back(ImagePlan(architecture, plan::Norm::kBatch));
    plan::Plan& colour = plans.emplace_back(ImagePlan(architecture, plan::Norm::kBatch));
    colour.name += "-rgb";
    colour.preprocessing.channel = plan::Channel::kRgb;
    colour.model.width = 20;
    if (colour.target.task == Task::kBinary) {
      colour.target.task = Task::kMulticlass;
      colour.target.classes = {"a", "b", "c"};
    }
  }
  plans.push_back(ImagePlan(Architecture::kUnet3d, plan::Norm::kGroup));
  plans.push_back(ImagePlan(Architecture::kUnet3d, plan::Norm::kBatch));
  plans.push_back(RecordingPlan(plan::Norm::kGroup));
  plans.push_back(RecordingPlan(plan::Norm::kBatch));
  plans.push_back(TablePlan(Architecture::kLogistic));
  plans.push_back(TablePlan(Architecture::kMlp));
  plans.push_back(FusionPlan(Architecture::kSmallCnn, plan::Norm::kBatch));
  plan::Plan& fused =
      plans.emplace_back(FusionPlan(Architecture::kDenseNet121, plan::Norm::kGroup));
  fused.preprocessing.channel = plan::Channel::kRgb;
  fused.target.task = Task::kMultilabel;
  fused.target.classes = {"a", "b"};
  plan::Plan& deep = plans.emplace_back(TablePlan(Architecture::kMlp));
  deep.name += "-deep";
  deep.model.hidden = {16, 8};
  deep.target.task = Task::kMultilabel;
  deep.target.classes = {"a", "b"};
  deep.table.columns = {
      {.name = "sex", .kind = plan::ColumnKind::kCategory, .values = {"female", "male"}}};
  return plans;
}

}  // namespace consilium::learning

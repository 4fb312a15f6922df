#include <algorithm>

#include "common/plan/readers.h"

namespace consilium::plan {

namespace {

void ReadClassWeighting(Section& s, const Subject& subject, Training& t) {
  const auto weighting = s.Flag("class_weighting");
  Set(t.class_weighting, weighting);
  if (!subject.task || *subject.task == Task::kBinary || *subject.task == Task::kMulticlass) return;
  t.class_weighting = false;
  if (weighting == true) {
    s.Refuse("class_weighting", StrCat("has no effect with target.task \"", Name(*subject.task),
                                       "\": only \"binary\" and \"multiclass\" have classes "
                                       "that exclude each other"));
  }
}

void ReadAugmentation(Section& s, const Subject& subject, Training& t) {
  const auto augmentation =
      s.Choice("augmentation", {Augmentation::kNone, Augmentation::kRadiograph,
                                Augmentation::kMirrored, Augmentation::kRecording});
  if (subject.source == Source::kAudio) t.augmentation = Augmentation::kRecording;
  if (subject.source == Source::kTable) t.augmentation = Augmentation::kNone;
  Set(t.augmentation, augmentation);
  if (!augmentation || *augmentation == Augmentation::kNone) return;
  const bool of_recordings = *augmentation == Augmentation::kRecording;
  if (subject.source == Source::kTable) {
    s.Refuse("augmentation", "has no effect: it is of images, and data.source is \"table\"");
  } else if (subject.source == Source::kAudio && !of_recordings) {
    s.Refuse("augmentation",
             "is of images, and data.source is \"audio\": \"recording\" or \"none\"");
  } else if (subject.source == Source::kDicom && of_recordings) {
    s.Refuse("augmentation",
             "is of recordings, and data.source is \"dicom\": \"radiograph\", \"mirrored\" or "
             "\"none\"");
  }
}

// A step in parts, whose outputs are computed twice (learning/training_step.h).
void ReadAccumulation(Section& s, const Subject& subject, const Model& model, Training& t) {
  Set(t.accumulation, s.Whole("accumulation", 1, 4096));
  if (t.accumulation == 1) return;
  if (subject.source == Source::kTable) {
    s.Refuse("accumulation", "has no effect: rows are small, and data.source is \"table\"");
  } else if (model.architecture == Architecture::kTorchScript) {
    s.Refuse("accumulation",
             "does not suit a module of your own, which may draw other chances (dropout) when its "
             "outputs are computed again: lower batch_size");
  } else if (t.accumulation > t.batch_size) {
    s.Refuse("accumulation", StrCat("is more parts than the ", t.batch_size,
                                    " examples of a batch: at most batch_size"));
  }
}

// What only volumes have.
void ReadVolumeTraining(Section& s, const Subject& subject, const Model& model,
                        const Preprocessing& preprocessing, Training& t) {
  Set(t.checkpointing, s.Flag("checkpointing"));
  if (t.checkpointing && model.architecture != Architecture::kUnet3d) {
    s.Refuse("checkpointing", StrCat("has no effect with architecture \"", Name(model.architecture),
                                     "\": only \"unet3d\" has it"));
  } else if (t.checkpointing && model.norm == Norm::kBatch) {
    s.Refuse("checkpointing",
             "would move the statistics of batch norm twice a step: use model.norm \"group\"");
  }
  if (t.checkpointing && t.precision == Precision::kMixed) {
    s.Refuse("checkpointing", "does not go with precision \"mixed\": use \"float32\"");
  }
  const auto block = s.Whole("block", 16, 256);
  Set(t.block, block);
  if (!block) return;
  const std::uint32_t most = std::min(preprocessing.slices, preprocessing.image_size);
  if (subject.task && *subject.task != Task::kSegmentation) {
    s.Refuse("block", StrCat("does not suit target.task \"", Name(*subject.task),
                             "\", of which a part of the volume says nothing"));
  } else if (preprocessing.slices == 0) {
    s.Refuse("block", "has no effect: it is of volumes, and preprocessing.slices is 0");
  } else if (t.block % 8 != 0) {
    s.Refuse("block", "does not suit networks of volumes, which halve it: a multiple of 8");
  } else if (t.block > most) {
    s.Refuse("block", StrCat("is larger than the input, whose least side is ", most,
                             ": at most that, or leave it out"));
  }
}

}  // namespace

void ReadTraining(Section s, const Subject& subject, const Model& model,
                  const Preprocessing& preprocessing, Training& t) {
  Set(t.local_epochs, s.Whole("local_epochs", 1, 1000));
  Set(t.batch_size, s.Whole("batch_size", 1, 4096));
  ReadAccumulation(s, subject, model, t);
  ReadVolumeTraining(s, subject, model, preprocessing, t);
  const auto optimizer = s.Choice("optimizer", {Optimizer::kSgd, Optimizer::kAdamW});
  Set(t.optimizer, optimizer);
  Set(t.learning_rate, s.Real("learning_rate", 0, 10, Ends::kLowExcluded));
  Set(t.schedule, s.Choice("schedule", {Schedule::kConstant, Schedule::kCosine}));
  const auto momentum = s.Real("momentum", 0, 1, Ends::kHighExcluded);
  Set(t.momentum, momentum);
  if (momentum && t.optimizer == Optimizer::kAdamW && (optimizer || !s.Has("optimizer"))) {
    s.Refuse("momentum", "has no effect with optimizer \"adamw\": remove it, or use \"sgd\"");
  }
  Set(t.weight_decay, s.Real("weight_decay", 0, 1));
  Set(t.keep_optimizer, s.Flag("keep_optimizer"));
  Set(t.precision, s.Choice("precision", {Precision::kFloat32, Precision::kMixed}));
  ReadClassWeighting(s, subject, t);
  ReadAugmentation(s, subject, t);
  s.Finish();
}

void ReadAggregation(Section s, const Subject& subject, Aggregation& a) {
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
  if (subject.table && a.updates == Updates::kSealed) {
    s.Refuse("updates",
             "does not suit tables: what brings their columns to one scale is found by secure "
             "aggregation, so use \"masked\"");
  }
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

}  // namespace consilium::plan

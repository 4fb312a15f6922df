// TOML words of the enums.

#include "common/plan/plan.h"

namespace consilium::plan {

std::string_view Name(Architecture v) {
  switch (v) {
    case Architecture::kSmallCnn:
      return "small_cnn";
    case Architecture::kResNet18:
      return "resnet18";
    case Architecture::kResNet34:
      return "resnet34";
    case Architecture::kResNet50:
      return "resnet50";
    case Architecture::kDenseNet121:
      return "densenet121";
    case Architecture::kEfficientNetB0:
      return "efficientnet_b0";
    case Architecture::kUnet:
      return "unet";
    case Architecture::kUnet3d:
      return "unet3d";
    case Architecture::kFcos:
      return "fcos";
    case Architecture::kSpectrogramCnn:
      return "spectrogram_cnn";
    case Architecture::kLogistic:
      return "logistic";
    case Architecture::kMlp:
      return "mlp";
    case Architecture::kTorchScript:
      return "torchscript";
  }
  return "?";
}

std::string_view Name(Source v) {
  switch (v) {
    case Source::kDicom:
      return "dicom";
    case Source::kTable:
      return "table";
    case Source::kAudio:
      return "audio";
  }
  return "?";
}

std::string_view Name(ColumnKind v) { return v == ColumnKind::kNumber ? "number" : "category"; }

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

std::string_view Name(Channel v) {
  switch (v) {
    case Channel::kLuminance:
      return "luminance";
    case Channel::kGreen:
      return "green";
    case Channel::kRgb:
      return "rgb";
  }
  return "?";
}

std::string_view Name(FrameChoice v) { return v == FrameChoice::kOnly ? "only" : "middle"; }

std::string_view Name(Units v) { return v == Units::kModality ? "modality" : "suv"; }

std::string_view Name(Precision v) { return v == Precision::kFloat32 ? "float32" : "mixed"; }

std::string_view Name(Schedule v) { return v == Schedule::kConstant ? "constant" : "cosine"; }

std::string_view Name(PersonalMethod v) {
  switch (v) {
    case PersonalMethod::kNone:
      return "none";
    case PersonalMethod::kLocalNorm:
      return "local_norm";
    case PersonalMethod::kLocalHead:
      return "local_head";
    case PersonalMethod::kDitto:
      return "ditto";
    case PersonalMethod::kFineTuning:
      return "fine_tuning";
  }
  return "?";
}

std::string_view Name(Optimizer v) { return v == Optimizer::kSgd ? "sgd" : "adamw"; }

std::string_view Name(Augmentation v) {
  switch (v) {
    case Augmentation::kNone:
      return "none";
    case Augmentation::kRadiograph:
      return "radiograph";
    case Augmentation::kMirrored:
      return "mirrored";
    case Augmentation::kRecording:
      return "recording";
  }
  return "?";
}

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

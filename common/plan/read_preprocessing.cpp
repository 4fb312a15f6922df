#include "common/plan/readers.h"

namespace consilium::plan {
namespace {

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

// A network halves the image several times.
void CheckSize(Section& s, Architecture architecture, std::uint32_t size) {
  if (architecture == Architecture::kSmallCnn || architecture == Architecture::kTorchScript) return;
  if (!s.Has("image_size")) return;
  if (architecture == Architecture::kUnet3d) return;  // CheckVolumes
  if (architecture == Architecture::kUnet) {
    if (size % 16 != 0) {
      s.Refuse("image_size", "does not suit unet, which halves it four times: a multiple of 16");
    }
  } else if (architecture == Architecture::kFcos) {
    if (size % 32 != 0) {
      s.Refuse("image_size", "does not suit fcos, which halves it five times: a multiple of 32");
    }
  } else if (size < 32) {
    s.Refuse("image_size", StrCat("is too small for ", Name(architecture), ": 32 or more"));
  }
}

// What flat images alone have, or every slice would have for itself.
void RefuseOfVolumes(Section& s, const Preprocessing& p) {
  const auto refuse = [&](std::string_view key, bool is, std::string_view advice) {
    if (!is) return;
    s.Refuse(s.Has(key) ? key : "preset",
             StrCat("does not suit volumes (preprocessing.slices is ", p.slices, "): ", advice));
  };
  refuse("crop", p.crop != Crop::kNone, "use crop = \"none\"");
  refuse("face_left", p.face_left, "use face_left = false");
  refuse("channel", p.channel != Channel::kLuminance, "they are grey, leave it out");
  refuse("frame", p.frame != FrameChoice::kOnly, "all frames are slices, leave it out");
  refuse("intensity", p.intensity == Intensity::kWindow,
         "slices have windows of their own; use \"percentile\", \"range\" or \"fixed\"");
}

void ReadVolumes(Section& s, Architecture architecture, Preprocessing& p) {
  const auto slices = s.Whole("slices", 8, 256);
  Set(p.slices, slices);
  const auto spacing = s.Real("slice_spacing_mm", 0, 50);
  Set(p.slice_spacing_mm, spacing);
  if (spacing && *spacing > 0 && *spacing < 0.01) {
    s.Refuse("slice_spacing_mm", "is out of range: 0 (as spacing_mm) or 0.01 to 50");
  }
  if (p.slices == 0) {
    if (s.Has("slices")) return;  // refused already
    if (spacing) s.Refuse("slice_spacing_mm", "has no effect: it is of volumes, which need slices");
    if (architecture == Architecture::kUnet3d) {
      s.Missing("slices", "unet3d outlines volumes: how many slices its input has, such as 48");
    }
    return;
  }
  if (architecture != Architecture::kUnet3d && architecture != Architecture::kTorchScript) {
    s.Refuse("slices", StrCat("makes volumes, and architecture \"", Name(architecture),
                              "\" takes flat images: use \"unet3d\", or leave it out"));
  }
  if (p.slices % 8 != 0) {
    s.Refuse("slices", "does not suit networks of volumes, which halve it: a multiple of 8");
  }
  if (p.image_size % 8 != 0) {
    s.Refuse(
        s.Has("image_size") ? "image_size" : "slices",
        StrCat("needs an image_size that is a multiple of 8, which ", p.image_size, " is not"));
  }
  constexpr std::uint64_t kMostVoxels = 16u << 20;
  if (std::uint64_t{p.slices} * p.image_size * p.image_size > kMostVoxels) {
    s.Refuse("slices", StrCat("makes inputs of ", p.slices, " x ", p.image_size, " x ",
                              p.image_size, " voxels: at most 16 Mi are allowed"));
  }
  RefuseOfVolumes(s, p);
}

}  // namespace

void ReadPreprocessing(Section s, const Model& model, Preprocessing& p) {
  const auto preset =
      s.Choice("preset", {Preset::kGeneric, Preset::kRadiograph, Preset::kMammography, Preset::kCt,
                          Preset::kMr, Preset::kUltrasound, Preset::kRetina, Preset::kPet});
  Set(p.image_size, s.Whole("image_size", 16, 1024));
  CheckSize(s, model.architecture, p.image_size);
  p = DefaultsOf(preset.value_or(Preset::kGeneric), p.image_size);
  Set(p.frame, s.Choice("frame", {FrameChoice::kOnly, FrameChoice::kMiddle}));
  Set(p.channel, s.Choice("channel", {Channel::kLuminance, Channel::kGreen, Channel::kRgb}));
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
  ReadVolumes(s, model.architecture, p);
  Set(p.blank_padding, s.Flag("blank_padding"));
  Set(p.standardize, s.Flag("standardize"));
  s.Finish();
}

}  // namespace consilium::plan

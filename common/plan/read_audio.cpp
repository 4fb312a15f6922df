#include <algorithm>
#include <cmath>

#include "common/plan/readers.h"

namespace consilium::plan {
namespace {

constexpr std::uint32_t kMostFrames = 4096;
constexpr std::uint32_t kMostValues = 1 << 20;  // bands x frames
constexpr std::uint32_t kFewestFrames = 16;     // a network halves them several times

// The key that a fault of several is told of: the first that the plan gives. One of them is there,
// as the defaults suit each other.
std::string_view FirstOf(const Section& s, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (s.Has(key)) return key;
  }
  return *keys.begin();
}

void CheckBandEnds(Section& s, const Audio& a) {
  const double half = a.sample_rate_hz / 2;
  if (a.high_hz > half) {
    s.Refuse(FirstOf(s, {"high_hz", "sample_rate_hz"}),
             StrCat("leaves the bands' upper end of ", a.high_hz, " Hz above ", half,
                    " Hz, half of the sample rate, up to which there is sound: raise "
                    "sample_rate_hz or lower high_hz"));
  }
  if (!(a.low_hz < a.high_hz)) {
    s.Refuse(FirstOf(s, {"low_hz", "high_hz"}),
             StrCat("needs low_hz below high_hz, which are ", a.low_hz, " and ", a.high_hz));
  }
}

// A window of t seconds tells frequencies apart that lie 1/t Hz from each other.
void CheckResolution(Section& s, const Audio& a) {
  const std::vector<double> edges = a.Edges();
  const double narrowest = edges[1] - edges[0], told_apart = 1000 / a.window_ms;
  if (narrowest >= told_apart) return;
  s.Refuse(FirstOf(s, {"bands", "window_ms", "high_hz", "low_hz"}),
           StrCat("makes bands ", std::round(10 * narrowest) / 10, " Hz apart, and a window of ",
                  a.window_ms, " ms tells only ", std::round(10 * told_apart) / 10,
                  " Hz apart: fewer bands, or a longer window_ms"));
}

void CheckWindows(Section& s, const Audio& a) {
  if (a.hop_ms > a.window_ms) {
    s.Refuse(FirstOf(s, {"hop_ms", "window_ms"}),
             StrCat("leaves out what lies between the windows: hop_ms (", a.hop_ms,
                    ") is longer than window_ms (", a.window_ms, ")"));
  }
}

void CheckFrames(Section& s, const Audio& a) {
  const std::string_view key = FirstOf(s, {"seconds", "hop_ms", "window_ms", "bands"});
  if (1000 * a.seconds < a.window_ms || a.Frames() < kFewestFrames) {
    s.Refuse(key, StrCat("makes fewer than ", kFewestFrames,
                         " windows of a recording: more seconds, or a shorter hop_ms"));
  } else if (a.Frames() > kMostFrames) {
    s.Refuse(key, StrCat("makes ", a.Frames(), " windows of a recording, at most ", kMostFrames,
                         " are allowed: fewer seconds, or a longer hop_ms"));
  } else if (a.Frames() * a.bands > kMostValues) {
    s.Refuse(key, StrCat("makes ", a.bands, " x ", a.Frames(), " values of a recording, at most ",
                         kMostValues, " are allowed: fewer bands or seconds, or a longer hop_ms"));
  }
}

// Which networks of images halve a picture five times.
bool IsDeep(Architecture architecture) {
  switch (architecture) {
    case Architecture::kSpectrogramCnn:
    case Architecture::kSmallCnn:
    case Architecture::kTorchScript:
      return false;
    default:
      return true;
  }
}

}  // namespace

void ReadAudio(Section s, const Model& model, Audio& a) {
  bool sound = true;  // what follows from several keys is said only when each is
  const auto real = [&](std::string_view key, double& to, double low, double high) {
    const auto value = s.Real(key, low, high);
    if (!value && s.Has(key)) sound = false;
    Set(to, value);
  };
  real("sample_rate_hz", a.sample_rate_hz, 100, 192'000);
  real("seconds", a.seconds, 0.5, 300);
  real("window_ms", a.window_ms, 1, 2000);
  real("hop_ms", a.hop_ms, 1, 2000);
  real("low_hz", a.low_hz, 0, 96'000);
  real("high_hz", a.high_hz, 1, 96'000);
  const auto bands = s.Whole("bands", 8, 512);
  if (!bands && s.Has("bands")) sound = false;
  Set(a.bands, bands);
  Set(a.standardize, s.Flag("standardize"));
  if (sound) {
    CheckBandEnds(s, a);
    CheckWindows(s, a);
    CheckFrames(s, a);
    if (a.low_hz < a.high_hz) CheckResolution(s, a);
  }
  constexpr std::uint32_t kLeastOfDeep = 32;
  if (sound && IsDeep(model.architecture) && std::min(a.bands, a.Frames()) < kLeastOfDeep) {
    const bool bands = a.bands < kLeastOfDeep;
    s.Refuse(bands ? "bands" : FirstOf(s, {"seconds", "hop_ms", "window_ms"}),
             StrCat("is too small for ", Name(model.architecture), ", which needs ", kLeastOfDeep,
                    " bands and windows or more"));
  }
  s.Finish();
}

}  // namespace consilium::plan

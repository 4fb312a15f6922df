#include "datasets/explain/reasons.h"

namespace consilium::datasets::explain {
namespace {

std::string OfCrop(plan::Crop crop) {
  switch (crop) {
    case plan::Crop::kForeground:
      return "air, letters and markers around the object would take pixels from it, and can tell a "
             "network the hospital instead of the finding";
    case plan::Crop::kScanRegion:
      return "text and scales beside the scan name patients and machines";
    case plan::Crop::kDisc:
      return "the black around the disc is as wide as the camera's maker wanted it";
    case plan::Crop::kNone:
      return "";
  }
  return "";
}

std::string OfIntensity(const plan::Preprocessing& preprocessing) {
  switch (preprocessing.intensity) {
    case plan::Intensity::kFixed:
      return preprocessing.units == plan::Units::kSuv
                 ? "uptake values mean the same in every scan, so the range is the same"
                 : "the values mean the same in every scan, so the range is the same";
    case plan::Intensity::kWindow:
      return "the window is what the machine shows to a reader";
    case plan::Intensity::kPercentile:
      return "values have no units that scanners share, and a few extreme ones must not set the "
             "scale";
    case plan::Intensity::kRange:
      return "the values are grey levels already";
  }
  return "";
}

}  // namespace

std::string Reason(std::string_view step, const plan::Preprocessing& preprocessing) {
  if (step == "stored values") {
    return preprocessing.frame == plan::FrameChoice::kMiddle
               ? "the ends of a loop often show nothing yet or no more"
               : "";
  }
  if (step == "modality units") {
    return preprocessing.channel == plan::Channel::kGreen
               ? "vessels and haemorrhages have the best contrast in green"
               : "files store the same measurement in many ways";
  }
  if (step == "uptake") return "activity alone depends on dose, weight and time since injection";
  if (step == "cropped") return OfCrop(preprocessing.crop);
  if (step == "mirrored") return "a network need not learn left and right breasts apart";
  if (step == "brightness") return OfIntensity(preprocessing);
  if (step == "input") return "the network's input is a square, in which shapes keep their shape";
  return "";
}

}  // namespace consilium::datasets::explain

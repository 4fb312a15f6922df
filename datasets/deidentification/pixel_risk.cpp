#include "datasets/deidentification/pixel_risk.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "datasets/deidentification/head_words.h"
#include "datasets/deidentification/values.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::uint32_t kImageType = 0x00080008;
constexpr std::uint32_t kSopClass = 0x00080016;
constexpr std::uint32_t kModality = 0x00080060;
constexpr std::uint32_t kConversionType = 0x00080064;
constexpr std::uint32_t kBodyPart = 0x00180015;
constexpr std::uint32_t kBurnedIn = 0x00280301;
constexpr std::uint32_t kRecognizable = 0x00280302;

constexpr std::string_view kSecondaryCapture = "1.2.840.10008.5.1.4.1.1.7";

std::string Upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::optional<std::uint32_t> Number(DcmItem& item, const DcmTagKey& tag) {
  Uint32 value = 0;
  if (item.findAndGetUint32(tag, value).good()) return value;
  return std::nullopt;
}

// Why text may stand in the pixels of an instance that does not say whether it does.
std::string Suspicion(DcmItem& data_set) {
  const std::string sop_class = TextOf(data_set, kSopClass);
  const std::string modality = TextOf(data_set, kModality);
  const std::string image_type = Upper(TextOf(data_set, kImageType));
  const auto says = [&](std::string_view part) {
    return image_type.find(part) != std::string::npos;
  };
  if (says("SCREEN SAVE") || says("SCREEN_SAVE") || says("SCREENSAVE") || says("SCREEN CAPTURE")) {
    return "screen save";
  }
  if (says("DOSE_INFO") || says("DOSE REPORT") || says("REPORT")) return "report";
  if (sop_class.starts_with(kSecondaryCapture)) return "secondary capture";
  if (!TextOf(data_set, kConversionType).empty() && TextOf(data_set, kConversionType) != "SYN") {
    return "converted from another medium";
  }
  if (modality == "US" || modality == "IVUS") return "ultrasound";
  if (modality == "ES" || modality == "XC" || modality == "GM") return "endoscopy or camera";
  return "";
}

std::vector<Rectangle> UltrasoundRegions(DcmItem& data_set) {
  std::vector<Rectangle> regions;
  DcmSequenceOfItems* sequence = nullptr;
  if (data_set.findAndGetSequence(DCM_SequenceOfUltrasoundRegions, sequence).bad()) return regions;
  for (unsigned long i = 0; sequence != nullptr && i < sequence->card(); ++i) {
    DcmItem& item = *sequence->getItem(i);
    const auto x0 = Number(item, DCM_RegionLocationMinX0);
    const auto y0 = Number(item, DCM_RegionLocationMinY0);
    const auto x1 = Number(item, DCM_RegionLocationMaxX1);
    const auto y1 = Number(item, DCM_RegionLocationMaxY1);
    if (!x0 || !y0 || !x1 || !y1 || *x1 < *x0 || *y1 < *y0) return {};
    if (*x1 >= 65536 || *y1 >= 65536) return {};
    regions.push_back({*x0, *y0, *x1 - *x0 + 1, *y1 - *y0 + 1});
  }
  return regions;
}

}  // namespace

bool ShowsHead(DcmItem& data_set) {
  const std::string modality = TextOf(data_set, kModality);
  if (modality != "CT" && modality != "MR" && modality != "PT") return false;
  if (Upper(TextOf(data_set, kRecognizable)) == "NO") return false;
  constexpr std::array<std::uint32_t, 6> kDescriptions = {
      kBodyPart,  0x00081030, 0x0008103e,   // of study and series
      0x00181030, 0x00400254, 0x00321060};  // protocol, procedure step, requested procedure
  if (std::any_of(kDescriptions.begin(), kDescriptions.end(),
                  [&](std::uint32_t tag) { return SpeaksOfHead(TextOf(data_set, tag)); })) {
    return true;
  }
  DcmItem* region = nullptr;
  return data_set.findAndGetSequenceItem(DCM_AnatomicRegionSequence, region).good() &&
         region != nullptr && SpeaksOfHead(TextOf(*region, 0x00080104));
}

PixelRisk AssessPixels(DcmItem& data_set) {
  PixelRisk risk;
  const bool has_pixels = data_set.tagExists(DCM_PixelData) ||
                          data_set.tagExists(DCM_FloatPixelData) ||
                          data_set.tagExists(DCM_DoubleFloatPixelData);
  const std::string sop_class = TextOf(data_set, kSopClass);
  const bool segmentation = sop_class.starts_with("1.2.840.10008.5.1.4.1.1.66.");
  if (!has_pixels || segmentation) return risk;
  const std::string declared = Upper(TextOf(data_set, kBurnedIn));
  if (declared == "YES") {
    risk.burned_in = "the file says so";
  } else if (declared != "NO") {
    risk.burned_in = Suspicion(data_set);
  }
  risk.ultrasound_regions = UltrasoundRegions(data_set);
  risk.face = ShowsHead(data_set);
  return risk;
}

}  // namespace consilium::datasets::deidentification

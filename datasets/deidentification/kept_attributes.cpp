#include "datasets/deidentification/kept_attributes.h"

#include <algorithm>
#include <string>

namespace consilium::datasets::deidentification {
namespace {

enum Kind : unsigned {
  kNumbers = 1,    // DS IS US SS UL SL UV SV FL FD AT
  kCodes = 2,      // CS
  kUids = 4,       // UI
  kSequences = 8,  // SQ
  kBulk = 16,      // OB OW OF OD OL OV
  kStructured = kNumbers | kCodes | kUids | kSequences,
};

struct KeptRange {
  std::uint32_t first, last;
  unsigned kinds;
};

// By groups of PS3.6: how the image was made, where it lies, what its values mean.
constexpr KeptRange kRanges[] = {
    {0x00080005, 0x00080008, kCodes},       // character set, image type
    {0x00080016, 0x0008001b, kUids},        // SOP class, related classes
    {0x00080060, 0x00080068, kCodes},       // modality, presentation intent
    {0x00080102, 0x0008010f, kStructured},  // code sequences
    {0x00080110, 0x00080110, kSequences},
    {0x00080117, 0x00080118, kUids},
    {0x00080121, 0x00080124, kStructured},
    {0x00081032, 0x00081032, kSequences},   // procedure code
    {0x00081115, 0x00081167, kStructured},  // references
    {0x00081199, 0x00081250, kSequences},
    {0x00082110, 0x00082260, kStructured},  // lossy compression, anatomy, stages and views
    {0x00083001, 0x00083002, kStructured},
    {0x00089007, 0x00089fff, kStructured},          // frame types, derivation
    {0x00109431, 0x00109431, kNumbers},             // examined body thickness
    {0x00180000, 0x0018ffff, kStructured},          // acquisition
    {0x00200000, 0x0020ffff, kStructured},          // numbers, position and orientation, dimensions
    {0x00220000, 0x0022ffff, kStructured | kBulk},  // ophthalmology
    {0x00240000, 0x0024ffff, kStructured},
    {0x00280000, 0x0028ffff, kStructured | kBulk},  // pixel description, LUTs, palettes
    {0x00400260, 0x00400260, kSequences},           // performed protocol code
    {0x00400300, 0x00400324, kStructured},          // dose of the performed procedure step
    {0x00400440, 0x00400441, kSequences},           // protocol context
    {0x00400500, 0x00400fff, kStructured},          // specimens, slide coordinates, units
    {0x00409000, 0x00409fff, kStructured | kBulk},  // frame content, real world values
    {0x0040a000, 0x0040a9ff, kStructured},          // structured reports
    {0x0040db00, 0x0040dbff, kCodes | kNumbers | kUids},
    {0x00460000, 0x0046ffff, kStructured},          // ophthalmic measurements
    {0x00480000, 0x0048ffff, kStructured | kBulk},  // microscopy: optical paths, planes
    {0x00500000, 0x0050ffff, kStructured},          // devices in the patient
    {0x00520000, 0x0052ffff, kStructured},          // intravascular
    {0x00540000, 0x0054ffff, kStructured},          // nuclear medicine and PET
    {0x00600000, 0x0060ffff, kStructured},          // histograms
    {0x00620000, 0x0062ffff, kStructured | kBulk},  // segmentations
    {0x00640000, 0x0064ffff, kStructured | kBulk},  // deformable registration
    {0x00660000, 0x0066ffff, kStructured | kBulk},  // surfaces
    {0x006a0000, 0x006affff, kStructured | kBulk},  // bulk annotations
    {0x00700000, 0x0070ffff, kStructured},          // presentation, registration, fiducials
    {0x20500000, 0x2050ffff, kCodes | kSequences | kNumbers},  // presentation LUT
    {0x30020000, 0x3002ffff, kStructured},                     // radiotherapy
    {0x30040000, 0x3004ffff, kStructured},
    {0x30060000, 0x3006ffff, kStructured},
    {0x300a0000, 0x300affff, kStructured},
    {0x300c0000, 0x300cffff, kStructured},
    {0x300e0000, 0x300effff, kCodes},
    {0x30100000, 0x3010ffff, kStructured},
    {0x52000000, 0x5200ffff, kSequences},           // functional groups
    {0x56000000, 0x5600ffff, kStructured | kBulk},  // spectroscopy
    {0x7fe00001, 0x7fe00010, kStructured | kBulk},  // pixels
};

// Texts that name a technique or a product, of short and repeated wording.
constexpr std::uint32_t kTechnicalNames[] = {
    0x00080070,  // Manufacturer
    0x00080100,  // Code Value
    0x00080102,  // Coding Scheme Designator
    0x00080103,  // Coding Scheme Version
    0x00080104,  // Code Meaning
    0x00080119,  // Long Code Value
    0x00080120,  // URN Code Value
    0x00081090,  // Manufacturer's Model Name
    0x00180024,  // Sequence Name
    0x00180031,  // Radiopharmaceutical
    0x00181020,  // Software Versions
    0x00181160,  // Filter Type
    0x00181210,  // Convolution Kernel
    0x00181250,  // Receive Coil Name
    0x00181251,  // Transmit Coil Name
    0x00189005,  // Pulse Sequence Name
    0x00209056,  // Stack ID
    0x00281054,  // Rescale Type
    0x00283004,  // Modality LUT Type
    0x00480106,  // Optical Path Identifier
    0x00541101,  // Attenuation Correction Method
    0x00541103,  // Reconstruction Method
    0x00541104,  // Detector Lines of Response Used
    0x00541105,  // Scatter Correction Method
    0x00620009,  // Segmentation Algorithm Name
};

constexpr std::uint32_t kFreeTexts[] = {
    0x00082120,  // Stage Name
    0x00082127,  // View Name
    0x00181040,  // Contrast/Bolus Route
    0x00201040,  // Position Reference Indicator
    0x00209421,  // Dimension Description Label
    0x00281055,  // Window Center & Width Explanation
    0x00283003,  // LUT Explanation
    0x00409210,  // LUT Label
    0x00480107,  // Optical Path Description
    0x00620005,  // Segment Label
    0x00620006,  // Segment Description
    0x00620020,  // Tracking ID
    0x00660002,  // Surface Comments
    0x00700068,  // Graphic Layer Description
    0x00700081,  // Content Description
    0x30020002,  // RT Image Label
};

// Never, though their range would have them.
constexpr std::uint32_t kNever[] = {
    0x00080106,  // versions of context groups are in the table
    0x00286010,  // frames of interest (retired, with free text beside them)
};

bool Has(const auto& list, std::uint32_t tag) {
  return std::find(std::begin(list), std::end(list), tag) != std::end(list);
}

bool IsOneOf(std::string_view vr, std::string_view list) {
  return list.find(vr) != std::string_view::npos;
}

unsigned KindOf(std::string_view vr) {
  if (IsOneOf(vr, "DS IS US SS UL SL UV SV FL FD AT")) return kNumbers;
  if (vr == "CS") return kCodes;
  if (vr == "UI") return kUids;
  if (vr == "SQ") return kSequences;
  if (IsOneOf(vr, "OB OW OF OD OL OV")) return kBulk;
  return 0;
}

}  // namespace

Keeping KeepingOf(std::uint32_t tag, std::string_view vr) {
  if (vr.size() != 2 || Has(kNever, tag)) return Keeping::kNot;
  if (Has(kTechnicalNames, tag)) return Keeping::kAsItIs;
  if (Has(kFreeTexts, tag)) return Keeping::kCleanText;
  const unsigned kind = KindOf(vr);
  const bool kept = std::any_of(std::begin(kRanges), std::end(kRanges), [&](const KeptRange& r) {
    return tag >= r.first && tag <= r.last && (r.kinds & kind) != 0;
  });
  if (!kept) return Keeping::kNot;
  return kind == kUids ? Keeping::kUid : Keeping::kAsItIs;
}

}  // namespace consilium::datasets::deidentification

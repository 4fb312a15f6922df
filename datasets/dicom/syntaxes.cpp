#include "datasets/dicom/syntaxes.h"

#include <array>

namespace consilium::datasets::dicom {
namespace {

struct NamedSyntax {
  std::string_view uid, name;
};

// In the order of the enum.
constexpr std::array<NamedSyntax, 22> kSupported = {{
    {"1.2.840.10008.1.2", "implicit VR little endian"},
    {"1.2.840.10008.1.2.1", "explicit VR little endian"},
    {"1.2.840.10008.1.2.2", "explicit VR big endian"},
    {"1.2.840.10008.1.2.1.99", "deflated explicit VR little endian"},
    {"1.2.840.10008.1.2.5", "RLE lossless"},
    {"1.2.840.10008.1.2.4.50", "JPEG baseline"},
    {"1.2.840.10008.1.2.4.51", "JPEG extended"},
    {"1.2.840.10008.1.2.4.57", "JPEG lossless"},
    {"1.2.840.10008.1.2.4.70", "JPEG lossless, selection value 1"},
    {"1.2.840.10008.1.2.4.80", "JPEG-LS lossless"},
    {"1.2.840.10008.1.2.4.81", "JPEG-LS near-lossless"},
    {"1.2.840.10008.1.2.4.53", "JPEG spectral selection"},
    {"1.2.840.10008.1.2.4.55", "JPEG full progression"},
    {"1.2.840.10008.1.2.4.90", "JPEG 2000 lossless"},
    {"1.2.840.10008.1.2.4.91", "JPEG 2000"},
    {"1.2.840.10008.1.2.4.92", "JPEG 2000 part 2 lossless"},
    {"1.2.840.10008.1.2.4.93", "JPEG 2000 part 2"},
    {"1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 lossless"},
    {"1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 lossless, RPCL"},
    {"1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000"},
    {"1.2.840.10008.1.2.1.98", "encapsulated uncompressed explicit VR little endian"},
    {"1.2.840.10008.1.2.8.1", "deflated image frames"},
}};

constexpr NamedSyntax kKnownUnsupported[] = {
    {"1.2.840.10008.1.2.4.94", "JPIP referenced"},
    {"1.2.840.10008.1.2.4.95", "JPIP referenced, deflated"},
    {"1.2.840.10008.1.2.4.100", "MPEG-2 main profile"},
    {"1.2.840.10008.1.2.4.101", "MPEG-2 main profile, high level"},
    {"1.2.840.10008.1.2.4.102", "MPEG-4 AVC"},
    {"1.2.840.10008.1.2.4.103", "MPEG-4 AVC, BD-compatible"},
    {"1.2.840.10008.1.2.4.107", "HEVC main profile"},
    {"1.2.840.10008.1.2.4.108", "HEVC main 10 profile"},
    {"1.2.840.10008.1.2.4.110", "JPEG XL lossless"},
    {"1.2.840.10008.1.2.4.112", "JPEG XL"},
};

// In the order of the enum.
constexpr std::array<std::string_view, 10> kPhotometrics = {
    "MONOCHROME1",  "MONOCHROME2",     "PALETTE COLOR",   "RGB",     "YBR_FULL",
    "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"};

}  // namespace

std::string_view Uid(TransferSyntax syntax) {
  return kSupported[static_cast<std::size_t>(syntax)].uid;
}
std::string_view Name(TransferSyntax syntax) {
  return kSupported[static_cast<std::size_t>(syntax)].name;
}
bool IsEncapsulated(TransferSyntax syntax) { return syntax >= TransferSyntax::kRle; }

std::string_view Name(Photometric photometric) {
  return kPhotometrics[static_cast<std::size_t>(photometric)];
}

std::optional<TransferSyntax> SyntaxOf(std::string_view uid) {
  for (std::size_t i = 0; i < kSupported.size(); ++i) {
    if (kSupported[i].uid == uid) return static_cast<TransferSyntax>(i);
  }
  return std::nullopt;
}

std::optional<Photometric> PhotometricOf(std::string_view name) {
  for (std::size_t i = 0; i < kPhotometrics.size(); ++i) {
    if (kPhotometrics[i] == name) return static_cast<Photometric>(i);
  }
  return std::nullopt;
}

std::string DescribeUnsupported(std::string_view uid) {
  for (const auto& [known, name] : kKnownUnsupported) {
    if (known == uid) return std::string(name);
  }
  const bool is_uid = !uid.empty() && uid.size() <= 64 &&
                      uid.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!is_uid) return "not a UID";
  // Of any other root it may be the UID of an instance, in the wrong place.
  return uid.starts_with("1.2.840.10008.") ? std::string(uid) : "a private one";
}

}  // namespace consilium::datasets::dicom

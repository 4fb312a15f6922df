#include "datasets/dicom/writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "datasets/dicom/jpeg2000.h"
#include "datasets/dicom/jpeg_encoder.h"
#include "datasets/dicom/library.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcpath.h"
#include "dcmtk/dcmdata/dcpxitem.h"
#include "dcmtk/dcmdata/dcrlerp.h"
#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmjpeg/djrplol.h"
#include "dcmtk/dcmjpeg/djrploss.h"
#include "dcmtk/dcmjpls/djrparam.h"

namespace consilium::datasets::dicom {
namespace {

struct SopClass {
  std::string_view modality;
  const char* uid;
  bool projection;  // spacing is measured at the detector
};

constexpr std::array<SopClass, 8> kSopClasses = {{
    {"MR", UID_MRImageStorage, false},
    {"CT", UID_CTImageStorage, false},
    {"CR", UID_ComputedRadiographyImageStorage, true},
    {"DX", UID_DigitalXRayImageStorageForPresentation, true},
    {"MG", UID_DigitalMammographyXRayImageStorageForPresentation, true},
    {"US", UID_UltrasoundImageStorage, false},
    {"OP", UID_OphthalmicPhotography16BitImageStorage, false},
    {"PT", UID_PositronEmissionTomographyImageStorage, false},
}};

// Colour, of modalities whose own image class is grey.
constexpr SopClass kSecondaryCapture = {"", UID_SecondaryCaptureImageStorage, false};

const SopClass* FindSopClass(std::string_view modality) {
  const auto found = std::find_if(kSopClasses.begin(), kSopClasses.end(),
                                  [&](const SopClass& c) { return c.modality == modality; });
  return found == kSopClasses.end() ? nullptr : &*found;
}

bool IsSecondaryCapture(const NewInstance& instance) {
  return instance.samples == 3 && instance.modality != "US" && instance.modality != "OP";
}

E_TransferSyntax ForDcmtk(TransferSyntax syntax) {
  return DcmXfer(std::string(Uid(syntax)).c_str()).getXfer();
}

std::size_t ValueCount(const NewInstance& instance) {
  return std::size_t{instance.rows} * instance.columns * instance.frames *
         static_cast<std::size_t>(instance.samples);
}

absl::Status CheckForm(const NewInstance& instance) {
  const bool colour = instance.samples == 3 && instance.bits_stored == 8 && !instance.is_signed &&
                      !instance.monochrome1;
  if (instance.samples != 1 && !colour) {
    return absl::InvalidArgumentError("colour is written as three unsigned samples of 8 bits");
  }
  if (instance.frames < 1 || (instance.frames > 1 && instance.modality != "US")) {
    return absl::InvalidArgumentError(
        StrCat(instance.frames, " frames; only ultrasound is written with several"));
  }
  if ((instance.frames > 1 || colour) &&
      instance.transfer_syntax == TransferSyntax::kJpeg2000Lossless) {
    return absl::InvalidArgumentError("JPEG 2000 is written of one grey frame only");
  }
  return absl::OkStatus();
}

absl::Status Check(const NewInstance& instance) {
  if (!HasSopClass(instance.modality)) {
    return absl::InvalidArgumentError(
        StrCat("modality \"", instance.modality,
               "\" has no image class here; use MR, CT, CR, DX, MG, US, OP or PT"));
  }
  if (instance.bits_stored < 8 || instance.bits_stored > 16) {
    return absl::InvalidArgumentError(
        StrCat(instance.bits_stored, " bits stored; 8 to 16 are possible"));
  }
  const auto fits = [](std::uint32_t side) { return side >= 1 && side <= 65535; };
  RETURN_IF_ERROR(CheckForm(instance));
  if (!fits(instance.rows) || !fits(instance.columns) ||
      instance.values.size() != ValueCount(instance)) {
    return absl::InvalidArgumentError(StrCat(instance.columns, "x", instance.rows, " pixels with ",
                                             instance.values.size(), " values"));
  }
  const std::int32_t low = instance.is_signed ? -(1 << (instance.bits_stored - 1)) : 0;
  const std::int32_t high = low + (1 << instance.bits_stored) - 1;
  for (const std::int32_t value : instance.values) {
    if (value < low || value > high) {
      return absl::InvalidArgumentError(
          StrCat("pixel value ", value, " does not fit ", instance.bits_stored, " bits"));
    }
  }
  const bool jpeg_ls = instance.transfer_syntax == TransferSyntax::kJpegLsLossless ||
                       instance.transfer_syntax == TransferSyntax::kJpegLsNearLossless;
  if (instance.transfer_syntax > TransferSyntax::kJpegLsNearLossless &&
      instance.transfer_syntax != TransferSyntax::kJpeg2000Lossless) {
    return absl::InvalidArgumentError(
        StrCat(Name(instance.transfer_syntax), " is not written; choose another"));
  }
  if (jpeg_ls && instance.is_signed) {
    // DCMTK 3.6.7 sign-extends the samples that it encodes; CharLS then fails or ends the process.
    return absl::InvalidArgumentError("signed pixels are not written as JPEG-LS; choose another");
  }
  return absl::OkStatus();
}

// A decimal string of at most 16 characters (PS3.5 table 6.2-1, DS).
std::string DecimalString(double value) {
  char text[32];
  for (int digits = 12; digits > 0; --digits) {
    const int length = std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (length <= 16) break;
  }
  return text;
}

std::string Pair(double first, double second) {
  return StrCat(DecimalString(first), "\\", DecimalString(second));
}

// Collects the first failure of many insertions.
class DataSetBuilder {
 public:
  explicit DataSetBuilder(DcmDataset& data_set) : data_set_(data_set) {}
  void Text(const DcmTagKey& tag, std::string_view value) {
    Note(data_set_.putAndInsertString(tag, std::string(value).c_str()));
  }
  void Number(const DcmTagKey& tag, int value) {
    Note(data_set_.putAndInsertUint16(tag, static_cast<Uint16>(value)));
  }
  void Code(const DcmTagKey& sequence, std::string_view value, std::string_view scheme,
            std::string_view meaning) {
    DcmItem* item = nullptr;
    Note(data_set_.findOrCreateSequenceItem(sequence, item, 0));
    if (item == nullptr) return;
    Note(item->putAndInsertString(DCM_CodeValue, std::string(value).c_str()));
    Note(item->putAndInsertString(DCM_CodingSchemeDesignator, std::string(scheme).c_str()));
    Note(item->putAndInsertString(DCM_CodeMeaning, std::string(meaning).c_str()));
  }
  void Padding(std::int32_t value, bool is_signed) {
    Note(is_signed
             ? data_set_.putAndInsertSint16(DCM_PixelPaddingValue, static_cast<Sint16>(value))
             : data_set_.putAndInsertUint16(DCM_PixelPaddingValue, static_cast<Uint16>(value)));
  }
  // PS3.3 C.11.2.1.1, with entries of 16 bits.
  void Table(const VoiLut& lut, bool is_signed) {
    DcmItem* item = nullptr;
    Note(data_set_.findOrCreateSequenceItem(DCM_VOILUTSequence, item, 0));
    if (item == nullptr) return;
    std::vector<Uint16> entries;
    for (const float brightness : lut.brightness) {
      entries.push_back(static_cast<Uint16>(std::lround(65535 * std::clamp(brightness, 0.f, 1.f))));
    }
    const Uint16 descriptor[3] = {static_cast<Uint16>(entries.size()),
                                  static_cast<Uint16>(lut.first), 16};
    const DcmTag tag(DCM_LUTDescriptor, is_signed ? EVR_SS : EVR_US);
    if (is_signed) {
      const Sint16 words[3] = {static_cast<Sint16>(descriptor[0]),
                               static_cast<Sint16>(descriptor[1]), 16};
      Note(item->putAndInsertSint16Array(tag, words, 3));
    } else {
      Note(item->putAndInsertUint16Array(tag, descriptor, 3));
    }
    Note(
        item->putAndInsertUint16Array(DcmTag(DCM_LUTData, EVR_OW), entries.data(), entries.size()));
  }
  void EmptySequence(const DcmTagKey& tag) { Note(data_set_.insertEmptyElement(tag)); }
  void Note(const OFCondition& condition) {
    if (condition.bad() && status_.ok()) status_ = absl::InternalError(condition.text());
  }
  const absl::Status& status() const { return status_; }

 private:
  DcmDataset& data_set_;
  absl::Status status_;
};

// Patient, general study, series, equipment and SOP common modules (PS3.3 C.7.1 to C.7.5, C.12.1):
// types 1 and 2.
void DescribeOrigin(const NewInstance& in, const SopClass& sop_class, DataSetBuilder& out) {
  const bool byte_photograph = in.modality == "OP" && in.bits_stored == 8;
  const bool loop = in.modality == "US" && in.frames > 1;
  out.Text(DCM_SpecificCharacterSet, "ISO_IR 192");
  out.Text(DCM_SOPClassUID, byte_photograph ? UID_OphthalmicPhotography8BitImageStorage
                            : loop          ? UID_UltrasoundMultiframeImageStorage
                                            : sop_class.uid);
  out.Text(DCM_SOPInstanceUID, in.sop_instance_uid);
  for (const auto& tag : {DCM_StudyDate, DCM_StudyTime, DCM_ContentDate, DCM_ContentTime,
                          DCM_AccessionNumber, DCM_ReferringPhysicianName, DCM_PatientName,
                          DCM_PatientBirthDate, DCM_PatientSex, DCM_StudyID}) {
    out.Text(tag, "");
  }
  out.Text(DCM_Modality, in.modality);
  out.Text(DCM_Manufacturer, in.manufacturer);
  out.Text(DCM_ManufacturerModelName, in.model);
  out.Text(DCM_SoftwareVersions, StrCat("Consilium ", std::string_view(kVersion)));
  out.Text(DCM_SeriesDescription, in.description);
  out.Text(DCM_PatientID, in.patient_id);
  out.Text(DCM_StudyInstanceUID, in.study_instance_uid);
  out.Text(DCM_SeriesInstanceUID, in.series_instance_uid);
  out.Text(DCM_SeriesNumber, "1");
  out.Text(DCM_InstanceNumber, StrCat(in.instance_number));
  out.Text(DCM_BodyPartExamined, in.body_part);
}

// What the image class of the modality asks for beyond that (PS3.3 A.2 to A.6, A.26, A.27, A.41).
void DescribeAcquisition(const NewInstance& in, DataSetBuilder& out) {
  out.Text(DCM_ImageType, in.modality == "MR" || in.modality == "CT" ? "DERIVED\\SECONDARY\\OTHER"
                                                                     : "DERIVED\\PRIMARY");
  out.Text(DCM_BurnedInAnnotation, in.burned_in_annotation ? "YES" : "NO");
  out.Text(DCM_LossyImageCompression, "00");
  if (IsSecondaryCapture(in)) {
    out.Text(DCM_ImageType, "DERIVED\\SECONDARY");
    out.Text(DCM_ConversionType, "WSD");
    out.Text(DCM_Laterality, in.laterality);
    out.Text(DCM_PatientOrientation, "");
    return;
  }
  if (in.modality == "CR") {
    out.Text(DCM_ViewPosition, in.view_position);
    out.Text(DCM_Laterality, in.laterality);
  } else if (in.modality == "DX" || in.modality == "MG") {
    out.Text(DCM_PresentationIntentType, "FOR PRESENTATION");
    out.Text(DCM_ViewPosition, in.view_position);
    out.Text(DCM_ImageLaterality, in.laterality.empty() ? "U" : in.laterality);
    out.Text(DCM_PatientOrientation, in.modality == "DX" ? "L\\F" : "");
    out.Text(DCM_PixelIntensityRelationship, "LOG");
    out.Text(DCM_PresentationLUTShape, in.monochrome1 ? "INVERSE" : "IDENTITY");
    out.Text(DCM_DetectorType, "");
    out.EmptySequence(DCM_AcquisitionContextSequence);
    if (in.modality == "DX") {
      out.Code(DCM_AnatomicRegionSequence, "51185008", "SCT", "Chest");
    } else {
      out.Text(DCM_PositionerType, "MAMMOGRAPHIC");
      out.Code(DCM_AnatomicRegionSequence, "76752008", "SCT", "Breast");
      out.EmptySequence(DCM_ViewCodeSequence);
    }
  } else if (in.modality == "MR") {
    out.Text(DCM_ScanningSequence, "RM");
    out.Text(DCM_SequenceVariant, "NONE");
    for (const auto& tag : {DCM_ScanOptions, DCM_MRAcquisitionType, DCM_EchoTime,
                            DCM_EchoTrainLength, DCM_RepetitionTime, DCM_SliceThickness}) {
      out.Text(tag, "");
    }
  } else if (in.modality == "CT") {
    for (const auto& tag : {DCM_KVP, DCM_AcquisitionNumber, DCM_SliceThickness}) out.Text(tag, "");
  } else if (in.modality == "OP") {
    out.Text(DCM_ImageLaterality, in.laterality);
    out.EmptySequence(DCM_AcquisitionDeviceTypeCodeSequence);
  }
}

// Image plane, image pixel, modality LUT and VOI LUT modules (PS3.3 C.7.6.2, C.7.6.3, C.11.1,
// C.11.2).
void DescribePixels(const NewInstance& in, const SopClass& sop_class, DataSetBuilder& out) {
  const int allocated = in.bits_stored <= 8 ? 8 : 16;
  out.Number(DCM_SamplesPerPixel, in.samples);
  out.Text(DCM_PhotometricInterpretation, in.samples == 3  ? "RGB"
                                          : in.monochrome1 ? "MONOCHROME1"
                                                           : "MONOCHROME2");
  if (in.samples == 3) out.Number(DCM_PlanarConfiguration, 0);
  if (in.frames > 1) out.Text(DCM_NumberOfFrames, StrCat(in.frames));
  out.Number(DCM_Rows, static_cast<int>(in.rows));
  out.Number(DCM_Columns, static_cast<int>(in.columns));
  out.Number(DCM_BitsAllocated, allocated);
  out.Number(DCM_BitsStored, in.bits_stored);
  out.Number(DCM_HighBit, in.bits_stored - 1);
  out.Number(DCM_PixelRepresentation, in.is_signed ? 1 : 0);
  const bool spaced = in.row_spacing_mm > 0 && in.column_spacing_mm > 0;
  if (spaced && sop_class.projection) {
    out.Text(DCM_ImagerPixelSpacing, Pair(in.row_spacing_mm, in.column_spacing_mm));
  } else if (spaced) {
    out.Text(DCM_PixelSpacing, Pair(in.row_spacing_mm, in.column_spacing_mm));
  }
  if (in.padding) out.Padding(*in.padding, in.is_signed);
  const bool slice = !IsSecondaryCapture(in) &&
                     (in.modality == "MR" || in.modality == "CT" || in.modality == "PT");
  if (slice) {
    out.Text(DCM_FrameOfReferenceUID, MakeUid(StrCat(in.series_instance_uid, "/frame")));
    out.Text(DCM_PositionReferenceIndicator, "");
    out.Text(DCM_ImagePositionPatient, StrCat("0\\0\\", in.instance_number));
    out.Text(DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
    if (!spaced) out.Text(DCM_PixelSpacing, "1\\1");
  }
  const bool identity = in.slope == 1 && in.intercept == 0;
  if (IsSecondaryCapture(in)) return;
  if (!identity || in.modality == "CT" || in.modality == "DX" || in.modality == "MG") {
    out.Text(DCM_RescaleIntercept, DecimalString(in.intercept));
    out.Text(DCM_RescaleSlope, DecimalString(in.slope));
    out.Text(DCM_RescaleType, in.modality == "CT" ? "HU" : "US");
  }
  if (in.voi_lut) out.Table(*in.voi_lut, in.is_signed);
  if (in.window) {
    out.Text(DCM_WindowCenter, DecimalString(in.window->center));
    out.Text(DCM_WindowWidth, DecimalString(in.window->width));
    if (in.window->function == VoiWindow::Function::kSigmoid) {
      out.Text(DCM_VOILUTFunction, "SIGMOID");
    } else if (in.window->function == VoiWindow::Function::kLinearExact) {
      out.Text(DCM_VOILUTFunction, "LINEAR_EXACT");
    }
  }
}

void InsertPixels(const NewInstance& in, DcmDataset& data_set, DataSetBuilder& out) {
  if (in.bits_stored <= 8) {
    std::vector<Uint8> samples(in.values.size());
    std::transform(in.values.begin(), in.values.end(), samples.begin(),
                   [](std::int32_t v) { return static_cast<Uint8>(v); });
    out.Note(data_set.putAndInsertUint8Array(DCM_PixelData, samples.data(), samples.size()));
    return;
  }
  const auto mask = static_cast<std::uint32_t>((1 << in.bits_stored) - 1);
  std::vector<Uint16> samples(in.values.size());
  std::transform(in.values.begin(), in.values.end(), samples.begin(), [&](std::int32_t v) {
    return static_cast<Uint16>(static_cast<std::uint32_t>(v) & mask);
  });
  out.Note(data_set.putAndInsertUint16Array(DCM_PixelData, samples.data(), samples.size()));
}

// Encapsulated frames of an encoder of ours.
void InsertFrames(std::vector<Bytes> frames, E_TransferSyntax syntax, DcmDataset& data_set,
                  DataSetBuilder& out) {
  auto sequence = std::make_unique<DcmPixelSequence>(DcmTag(DCM_PixelData, EVR_OB));
  out.Note(sequence->insert(new DcmPixelItem(DcmTag(DCM_Item, EVR_OB))));
  for (Bytes& frame : frames) {
    if (frame.empty()) {
      out.Note(EC_CannotChangeRepresentation);
      return;
    }
    if (frame.size() % 2 != 0) frame.push_back(0);
    auto item = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
    out.Note(item->putUint8Array(frame.data(), frame.size()));
    out.Note(sequence->insert(item.release()));
  }
  auto pixels = std::make_unique<DcmPixelData>(DCM_PixelData);
  pixels->putOriginalRepresentation(syntax, nullptr, sequence.release());
  out.Note(data_set.insert(pixels.release()));
}

// DCMTK has no encoder for it.
void InsertJpeg2000(const NewInstance& in, DcmDataset& data_set, DataSetBuilder& out) {
  Header header;
  header.rows = in.rows;
  header.columns = in.columns;
  header.bits_allocated = in.bits_stored <= 8 ? 8 : 16;
  header.bits_stored = in.bits_stored;
  header.is_signed = in.is_signed;
  Bytes samples;
  for (const std::int32_t value : in.values) {
    samples.push_back(static_cast<std::uint8_t>(value & 0xff));
    if (in.bits_stored > 8) samples.push_back(static_cast<std::uint8_t>(value >> 8 & 0xff));
  }
  InsertFrames({EncodeJpeg2000(header, samples)}, EXS_JPEG2000LosslessOnly, data_set, out);
}

// DCMTK's encoder needs its imaging library for colour.
void InsertColourJpeg(const NewInstance& in, DcmDataset& data_set, DataSetBuilder& out) {
  const Bytes samples(in.values.begin(), in.values.end());
  const std::size_t size = samples.size() / in.frames;
  std::vector<Bytes> frames;
  std::size_t compressed = 0;
  for (std::uint32_t frame = 0; frame < in.frames; ++frame) {
    frames.push_back(EncodeJpegBaseline(in.rows, in.columns, in.samples,
                                        ByteView(samples).subspan(frame * size, size)));
    compressed += frames.back().size();
  }
  out.Text(DCM_PhotometricInterpretation, "YBR_FULL_422");
  out.Text(DCM_LossyImageCompression, "01");
  out.Text(DCM_LossyImageCompressionRatio,
           DecimalString(static_cast<double>(samples.size()) /
                         static_cast<double>(std::max<std::size_t>(1, compressed))));
  out.Text(DCM_LossyImageCompressionMethod, "ISO_10918_1");
  InsertFrames(std::move(frames), EXS_JPEGProcess1, data_set, out);
}

bool IsColourJpeg(const NewInstance& in) {
  return in.samples == 3 && in.transfer_syntax == TransferSyntax::kJpegBaseline;
}

std::unique_ptr<DcmRepresentationParameter> EncoderParameter(TransferSyntax syntax) {
  switch (syntax) {
    case TransferSyntax::kRle:
      return std::make_unique<DcmRLERepresentationParameter>();
    case TransferSyntax::kJpegBaseline:
    case TransferSyntax::kJpegExtended:
      return std::make_unique<DJ_RPLossy>(95);
    case TransferSyntax::kJpegLossless:
      return std::make_unique<DJ_RPLossless>(6, 0);
    case TransferSyntax::kJpegLosslessSv1:
      return std::make_unique<DJ_RPLossless>();
    case TransferSyntax::kJpegLsLossless:
      return std::make_unique<DJLSRepresentationParameter>(0, OFTrue);
    case TransferSyntax::kJpegLsNearLossless:
      return std::make_unique<DJLSRepresentationParameter>(2, OFFalse);
    default:
      return nullptr;
  }
}

absl::Status Save(const fs::path& path, DcmFileFormat& file, TransferSyntax syntax) {
  const fs::path temporary = fs::path(path).concat(".part");
  const OFCondition saved = file.saveFile(temporary.c_str(), ForDcmtk(syntax), EET_ExplicitLength,
                                          EGL_recalcGL, EPD_noChange, 0, 0, EWM_fileformat);
  std::error_code error;
  if (saved.good()) fs::rename(temporary, path, error);
  if (saved.bad() || error) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    const bool full = fs::space(path.parent_path(), ignored).available < (1u << 20) && !ignored;
    const auto code = full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable;
    return absl::Status(code, StrCat("a DICOM file could not be written: ",
                                     error ? error.message() : std::string(saved.text())));
  }
  return absl::OkStatus();
}

absl::Status PutAttributes(const NewInstance& instance, DcmDataset& data_set) {
  for (const Attribute& attribute : instance.attributes) {
    DcmPathProcessor paths;
    const std::string assignment = StrCat(attribute.path, "=", attribute.value);
    const OFCondition put = attribute.value.empty()
                                ? paths.findOrCreatePath(&data_set, attribute.path.c_str(), OFTrue)
                                : paths.applyPathWithValue(&data_set, assignment.c_str());
    if (put.bad()) {
      return absl::InvalidArgumentError(
          StrCat("the attribute ", attribute.path, " cannot be written: ", put.text()));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteWithDcmtk(const fs::path& path, const NewInstance& instance) {
  DcmFileFormat file;
  DcmDataset& data_set = *file.getDataset();
  DataSetBuilder builder(data_set);
  const bool captured = IsSecondaryCapture(instance);
  const SopClass& sop_class = captured ? kSecondaryCapture : *FindSopClass(instance.modality);
  DescribeOrigin(instance, sop_class, builder);
  DescribeAcquisition(instance, builder);
  DescribePixels(instance, sop_class, builder);
  if (instance.transfer_syntax == TransferSyntax::kJpeg2000Lossless) {
    InsertJpeg2000(instance, data_set, builder);
  } else if (IsColourJpeg(instance)) {
    InsertColourJpeg(instance, data_set, builder);
  } else {
    InsertPixels(instance, data_set, builder);
  }
  RETURN_IF_ERROR(builder.status());
  RETURN_IF_ERROR(PutAttributes(instance, data_set));
  const auto parameter = EncoderParameter(instance.transfer_syntax);
  if (parameter != nullptr && !IsColourJpeg(instance)) {
    const OFCondition encoded =
        data_set.chooseRepresentation(ForDcmtk(instance.transfer_syntax), parameter.get());
    if (encoded.bad()) {
      return absl::InvalidArgumentError(StrCat(
          "the image cannot be encoded as ", Name(instance.transfer_syntax), ": ", encoded.text()));
    }
  }
  // An encoder may have made it a derived image with a UID of its own.
  builder.Text(DCM_SOPInstanceUID, instance.sop_instance_uid);
  RETURN_IF_ERROR(builder.status());
  return Save(path, file, instance.transfer_syntax);
}

std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

}  // namespace

std::string MakeUid(std::string_view name) {
  std::uint64_t high = Mix(StableHash(StrCat("consilium uid high ", name)));
  std::uint64_t low = Mix(StableHash(StrCat("consilium uid low ", name)));
  high = (high & ~0xf000ull) | 0x8000;         // version 8 (RFC 9562)
  low = (low & ~(3ull << 62)) | (2ull << 62);  // variant 10
  __extension__ using Wide = unsigned __int128;
  Wide value = (Wide{high} << 64) | low;
  std::string digits;
  for (; value != 0; value /= 10)
    digits.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
  std::reverse(digits.begin(), digits.end());
  return StrCat("2.25.", digits);
}

bool HasSopClass(std::string_view modality) { return FindSopClass(modality) != nullptr; }

absl::Status WriteFile(const fs::path& path, const NewInstance& instance) {
  RETURN_IF_ERROR(Check(instance));
  InitialiseLibrary();
  try {
    return WriteWithDcmtk(path, instance);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("not enough memory to write a DICOM file");
  }
}

}  // namespace consilium::datasets::dicom

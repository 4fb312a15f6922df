#include "datasets/deidentification/deidentifier.h"

#include <optional>

#include "common/base/status.h"
#include "common/base/version.h"
#include "datasets/deidentification/data_set_cleaner.h"
#include "datasets/deidentification/dummies.h"
#include "datasets/deidentification/instance_file.h"
#include "datasets/deidentification/pixels.h"
#include "datasets/deidentification/values.h"
#include "datasets/dicom/data_set.h"
#include "datasets/dicom/library.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcostrmb.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::uint32_t kSopClass = 0x00080016;
constexpr std::uint32_t kSopInstance = 0x00080018;
constexpr std::uint32_t kPatientId = 0x00100020;
constexpr std::uint32_t kStudy = 0x0020000d;
constexpr std::uint32_t kSeries = 0x0020000e;

constexpr std::string_view kMediaDirectory = "1.2.840.10008.1.3.10";
constexpr std::string_view kEncapsulated = "1.2.840.10008.5.1.4.1.1.104.";
constexpr std::string_view kRawData = "1.2.840.10008.5.1.4.1.1.66";

std::optional<Refused> RefuseClass(std::string_view sop_class) {
  if (sop_class.empty()) return Refused{Refusal::kNotAnInstance, "it has no SOP class"};
  if (sop_class == kMediaDirectory) return Refused{Refusal::kNotAnInstance, "a media directory"};
  if (sop_class.starts_with(kEncapsulated)) {
    return Refused{Refusal::kDocument, "an encapsulated document"};
  }
  if (sop_class == kRawData) return Refused{Refusal::kDocument, "raw data"};
  return std::nullopt;
}

std::string_view TemporalInformation(const ProfileOptions& options) {
  if (options.retain_full_dates) return "UNMODIFIED";
  return options.retain_modified_dates ? "MODIFIED" : "REMOVED";
}

// De-identification Method Code Sequence and its like (PS3.3 C.7.1.1, C.7.6.3.1.2).
void StateMethod(DcmItem& data_set, const ProfileOptions& options, bool pixels, bool faces) {
  PutText(data_set, 0x00120062, "CS", "YES");
  PutText(data_set, 0x00120063, "LO",
          StrCat("Consilium ", kVersion, "; ", kProfileEdition, " Annex E"));
  data_set.findAndDeleteElement(DCM_DeidentificationMethodCodeSequence);
  for (const MethodCode& code : MethodCodes(options, pixels, faces)) {
    auto item = DcmCode(code.value, code.meaning);
    if (data_set.insertSequenceItem(DCM_DeidentificationMethodCodeSequence, item.get()).good()) {
      item.release();
    }
  }
  PutText(data_set, 0x00280303, "CS", std::string(TemporalInformation(options)));
  if (pixels) PutText(data_set, 0x00280301, "CS", "NO");
  if (faces) PutText(data_set, 0x00280302, "CS", "NO");
}

}  // namespace

struct DeidentifiedInstance::Impl {
  std::unique_ptr<DcmFileFormat> file = std::make_unique<DcmFileFormat>();
  E_TransferSyntax syntax = EXS_LittleEndianExplicit;
  InstanceNames names;
};

DeidentifiedInstance::DeidentifiedInstance(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DeidentifiedInstance::DeidentifiedInstance(DeidentifiedInstance&&) noexcept = default;
DeidentifiedInstance& DeidentifiedInstance::operator=(DeidentifiedInstance&&) noexcept = default;
DeidentifiedInstance::~DeidentifiedInstance() = default;

const InstanceNames& DeidentifiedInstance::names() const { return impl_->names; }

absl::StatusOr<Bytes> DeidentifiedInstance::ToBytes() {
  DcmFileFormat& file = *impl_->file;
  Bytes buffer(1 << 20), bytes;
  DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
  file.transferInit();
  const auto take = [&] {
    void* written = nullptr;
    offile_off_t count = 0;
    stream.flushBuffer(written, count);
    const auto* start = static_cast<const std::uint8_t*>(written);
    bytes.insert(bytes.end(), start, start + count);
  };
  OFCondition condition = EC_StreamNotifyClient;
  while (condition == EC_StreamNotifyClient) {
    condition = file.write(stream, impl_->syntax, EET_UndefinedLength, nullptr, EGL_withoutGL,
                           EPD_withoutPadding, 0, 0, 0, EWM_createNewMeta);
    take();
  }
  while (condition.good() && !stream.isFlushed()) {  // what the deflated syntax holds back
    stream.flush();
    take();
  }
  file.transferEnd();
  if (condition.bad()) {
    return absl::InternalError(
        StrCat("a de-identified instance cannot be encoded: ", condition.text()));
  }
  return bytes;
}

absl::StatusOr<Deidentifier> Deidentifier::Create(Pseudonymiser pseudonymiser,
                                                  DeidentificationOptions options) {
  RETURN_IF_ERROR(Validate(options.profile));
  dicom::InitialiseLibrary();
  if (!dcmDataDict.isDictionaryLoaded()) {
    return absl::FailedPreconditionError(
        "DCMTK does not find its data dictionary: install its package (libdcmtk17 or dcmtk-data) "
        "or "
        "set DCMDICTPATH to dicom.dic");
  }
  return Deidentifier(std::move(pseudonymiser), std::move(options));
}

std::string Deidentifier::Mapped(std::string_view uid) const {
  return options_.profile.retain_uids ? std::string(uid) : pseudonymiser_.MappedUid(uid);
}

OrRefused<InstanceNames> Deidentifier::NamesOf(const fs::path& path) const {
  return NamesOf(dicom::DataSet::Open(path));
}

OrRefused<InstanceNames> Deidentifier::NamesOf(const OrRefused<dicom::DataSet>& data_set) const {
  if (!data_set.ok()) return data_set.refused();
  const dicom::DataSet& file = *data_set;
  if (auto refused = RefuseClass(file.Text(kSopClass))) return *refused;
  const std::string sop_instance = file.Text(kSopInstance);
  if (sop_instance.empty()) return Refused{Refusal::kMissingSopInstanceUid, ""};
  const std::string study = file.Text(kStudy);
  const std::string patient = file.Text(kPatientId);
  return InstanceNames{pseudonymiser_.PatientPseudonym(patient.empty() ? study : patient),
                       Mapped(study), Mapped(file.Text(kSeries)), Mapped(sop_instance)};
}

OrRefused<DeidentifiedInstance> Deidentifier::Apply(const fs::path& path) const {
  const auto file = File::OpenForReading(path);
  if (!file.ok()) return dicom::Unreadable(file.status());
  auto bytes = ContentOf(*file);
  if (!bytes.ok()) return bytes.refused();
  return Apply(std::move(*bytes));
}

OrRefused<DeidentifiedInstance> Deidentifier::Apply(Bytes bytes) const {
  return ApplyToSlice(std::move(bytes), {});
}

// DCMTK reads nothing whose lengths have not been checked by the structure scan.
OrRefused<DeidentifiedInstance> Deidentifier::ApplyToSlice(
    Bytes bytes, std::span<const std::uint8_t> face) const {
  const auto names = NamesOf(dicom::DataSet::Read(dicom::ByteSource(bytes)));
  if (!names.ok()) return names.refused();
  auto impl = std::make_unique<DeidentifiedInstance::Impl>();
  impl->names = *names;
  if (!Parse(bytes, Extent::kAll, impl->file.get())) {
    return Refused{Refusal::kDamaged, "DCMTK cannot read it"};
  }
  bytes = {};
  return Finish(std::move(impl), face);
}

OrRefused<DeidentifiedInstance> Deidentifier::Finish(
    std::unique_ptr<DeidentifiedInstance::Impl> impl, std::span<const std::uint8_t> face) const {
  DcmDataset& data_set = *impl->file->getDataset();
  if (auto refused = RefuseClass(TextOf(data_set, kSopClass))) return *refused;
  if (TextOf(data_set, kSopInstance).empty()) return Refused{Refusal::kMissingSopInstanceUid, ""};
  const PixelPolicy& policy = options_.pixels;
  const PixelRisk risk = AssessPixels(data_set);
  bool pixels_cleaned = false;
  if (!risk.burned_in.empty() && policy.burned_in != OnRisk::kAccept) {
    const bool known = !policy.blank.empty() || !risk.ultrasound_regions.empty();
    if (policy.burned_in == OnRisk::kQuarantine || !known) {
      return Refused{Refusal::kBurnedInAnnotation, risk.burned_in};
    }
    if (auto refused = BlankRectangles(data_set, policy.blank, risk.ultrasound_regions)) {
      return *refused;
    }
    pixels_cleaned = true;
  }
  if (risk.face && face.empty() && policy.faces != OnRisk::kAccept) {
    return Refused{Refusal::kRecognizableFace, TextOf(data_set, 0x00080060)};
  }
  if (!face.empty()) {
    if (auto refused = BlankMask(data_set, face)) return *refused;
  }
  DropHiddenText(data_set);

  impl->syntax = data_set.getCurrentXfer();
  if (impl->syntax == EXS_Unknown) impl->syntax = data_set.getOriginalXfer();
  const std::string patient = TextOf(data_set, kPatientId);
  impl->names = {
      pseudonymiser_.PatientPseudonym(patient.empty() ? TextOf(data_set, kStudy) : patient),
      Mapped(TextOf(data_set, kStudy)), Mapped(TextOf(data_set, kSeries)),
      Mapped(TextOf(data_set, kSopInstance))};
  const std::string sop_class = TextOf(data_set, kSopClass);
  DataSetCleaner(pseudonymiser_, options_.profile).Clean(data_set);
  // In their own VR, whatever the file's was: else DCMTK makes a UID of this machine for the file
  // meta information.
  PutText(data_set, kSopClass, "UI", sop_class);
  PutText(data_set, kSopInstance, "UI", impl->names.sop_instance_uid);
  StateMethod(data_set, options_.profile, pixels_cleaned, !face.empty());
  // Without the file's own preamble and meta information, which may hold anything.
  impl->file = std::make_unique<DcmFileFormat>(impl->file->getAndRemoveDataset(), OFFalse);
  return DeidentifiedInstance(std::move(impl));
}

}  // namespace consilium::datasets::deidentification

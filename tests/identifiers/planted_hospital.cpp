#include "tests/identifiers/planted_hospital.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/base/progress.h"
#include "common/base/text.h"
#include "datasets/synthetic/hospital.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dctk.h"
#include "tests/catch.h"
#include "tests/identifiers/identifier_scan.h"

namespace consilium::identifiers {
namespace {

struct Planted {
  std::uint16_t group, element;
  const char* place;  // follows the mark
};
// Texts, each under a name of its own place.
constexpr std::array<Planted, 46> kTexts = {{
    {0x0008, 0x0050, "ACCESSION"},
    {0x0008, 0x0080, "INSTITUTION"},
    {0x0008, 0x0081, "ADDRESS"},
    {0x0008, 0x0090, "REFERRING^PHYSICIAN"},
    {0x0008, 0x0092, "THEIRADDRESS"},
    {0x0008, 0x009c, "CONSULTING^PHYSICIAN"},
    {0x0008, 0x1010, "STATION"},
    {0x0008, 0x1030, "STUDYDESCRIPTION"},
    {0x0008, 0x103e, "SERIES"},
    {0x0008, 0x1040, "DEPARTMENT"},
    {0x0008, 0x1048, "OF^RECORD"},
    {0x0008, 0x1050, "PERFORMING"},
    {0x0008, 0x1060, "READING"},
    {0x0008, 0x1070, "OPERATOR"},
    {0x0008, 0x1080, "DIAGNOSES"},
    {0x0008, 0x2111, "DERIVATION"},
    {0x0010, 0x0010, "NAME^FIRST"},
    {0x0010, 0x1000, "OTHERID"},
    {0x0010, 0x1001, "OTHER^NAME"},
    {0x0010, 0x1005, "BIRTH^NAME"},
    {0x0010, 0x1040, "HOME"},
    {0x0010, 0x1060, "MOTHER"},
    {0x0010, 0x1090, "RECORDLOCATOR"},
    {0x0010, 0x21f0, "FAITH"},
    {0x0010, 0x2180, "OCCUPATION"},
    {0x0010, 0x21b0, "HISTORY"},
    {0x0010, 0x4000, "COMMENTS"},
    {0x0018, 0x1000, "SERIAL"},
    {0x0018, 0x1030, "PROTOCOL"},
    {0x0018, 0x1400, "PROCESSING"},
    {0x0020, 0x0010, "STUDYID"},
    {0x0020, 0x4000, "IMAGECOMMENTS"},
    {0x0032, 0x1032, "REQUESTING"},
    {0x0032, 0x1060, "REQUESTED"},
    {0x0032, 0x4000, "STUDYCOMMENTS"},
    {0x0038, 0x0010, "ADMISSION"},
    {0x0038, 0x0300, "LOCATION"},
    {0x0038, 0x0500, "STATE"},
    {0x0040, 0x0006, "SCHEDULED"},
    {0x0040, 0x0254, "STEP"},
    {0x0040, 0x1001, "PROCEDUREID"},
    {0x0040, 0x2016, "ORDER"},
    {0x0040, 0x2400, "IMAGINGCOMMENTS"},
    {0x4008, 0x010b, "INTERPRETATION"},
    {0x4008, 0x0300, "IMPRESSIONS"},
    {0x0008, 0x4000, "IDENTIFYING"},
}};

std::string Mark(std::string_view place) { return StrCat(kMark, place); }

void Put(DcmItem& item, std::uint16_t group, std::uint16_t element, const std::string& value) {
  INFO(StrCat(group, ",", element));
  REQUIRE(item.putAndInsertString(DcmTag(group, element), value.c_str()).good());
}

// Every kind of sequence that names somebody, also two deep.
void PlantItems(DcmDataset& data_set, const std::string& uid) {
  DcmItem* item = nullptr;
  REQUIRE(data_set.findOrCreateSequenceItem(DcmTag(0x0010, 0x1002), item).good());
  Put(*item, 0x0010, 0x0020, Mark("IDOFITEM"));
  REQUIRE(data_set.findOrCreateSequenceItem(DcmTag(0x0008, 0x1140), item).good());
  Put(*item, 0x0008, 0x1155, uid + ".77");
  REQUIRE(data_set.findOrCreateSequenceItem(DcmTag(0x0040, 0x0275), item).good());
  Put(*item, 0x0040, 0x0007, Mark("STEPOFITEM"));
  REQUIRE(data_set.findOrCreateSequenceItem(DcmTag(0x0400, 0x0561), item).good());
  Put(*item, 0x0400, 0x0564, Mark("SOURCE"));
  DcmItem* inner = nullptr;
  REQUIRE(item->findOrCreateSequenceItem(DcmTag(0x0400, 0x0550), inner).good());
  Put(*inner, 0x0010, 0x0010, Mark("ORIGINAL^NAME"));
}

void PlantPrivate(DcmDataset& data_set) {
  Put(data_set, 0x0009, 0x0010, Mark("CREATOR"));
  const std::string value = Mark("PRIVATE");
  REQUIRE(data_set.putAndInsertString(DcmTag(0x0009, 0x1001, EVR_LO), value.c_str()).good());
  Put(data_set, 0x0029, 0x0010, "ACME");
  REQUIRE(data_set
              .putAndInsertUint8Array(DcmTag(0x0029, 0x1010, EVR_OB),
                                      reinterpret_cast<const Uint8*>(value.data()), value.size())
              .good());
}

void PlantDataSet(DcmDataset& data_set, const std::string& patient, const std::string& uid) {
  for (const Planted& text : kTexts) {
    Put(data_set, text.group, text.element, Mark(text.place));
  }
  Put(data_set, 0x0010, 0x0020, patient);
  Put(data_set, 0x0010, 0x0030, std::string(kBirthDate));
  Put(data_set, 0x0010, 0x2154, std::string(kTelephone));
  Put(data_set, 0x0010, 0x0040, "F");
  for (const std::uint16_t date : {0x0020, 0x0021, 0x0022, 0x0023}) {
    Put(data_set, 0x0008, date, std::string(kStudyDate));
  }
  // What a catalog keeps, with the patient's name in it.
  Put(data_set, 0x0008, 0x1090, StrCat("Ray of ", Mark("NAME")));
  Put(data_set, 0x0018, 0x0015, Mark("NAME"));
  Put(data_set, 0x0008, 0x0018, uid);
  Put(data_set, 0x0008, 0x0014, uid + ".1");
  Put(data_set, 0x0020, 0x000d, uid + ".2");
  Put(data_set, 0x0020, 0x000e, uid + ".3");
  Put(data_set, 0x0020, 0x0052, uid + ".4");
  PlantItems(data_set, uid);
  PlantPrivate(data_set);
  REQUIRE(
      data_set.putAndInsertString(DcmTag(0x6000, 0x4000, EVR_LT), Mark("OVERLAY").c_str()).good());
  const std::string padding = Mark("TRAILING") + "..";
  REQUIRE(data_set
              .putAndInsertUint8Array(DcmTag(0xfffc, 0xfffc, EVR_OB),
                                      reinterpret_cast<const Uint8*>(padding.data()),
                                      padding.size())
              .good());
}

// Saves with planted file meta information and preamble, and some bytes more than belong to it.
void Save(DcmFileFormat& file, const fs::path& path, const std::string& uid) {
  DcmMetaInfo& meta = *file.getMetaInfo();
  Put(meta, 0x0002, 0x0016, Mark("AETITLE"));
  Put(meta, 0x0002, 0x0100, uid + ".9");
  const std::string secret = Mark("METAINFO") + "..";
  REQUIRE(meta.putAndInsertUint8Array(DcmTag(0x0002, 0x0102),
                                      reinterpret_cast<const Uint8*>(secret.data()), secret.size())
              .good());
  REQUIRE(EnsureFolder(path.parent_path()).ok());
  REQUIRE(file.saveFile(path.c_str(), EXS_LittleEndianExplicit, EET_ExplicitLength, EGL_recalcGL,
                        EPD_noChange, 0, 0, EWM_updateMeta)
              .good());
  auto bytes = ReadFile(path);
  REQUIRE(bytes.ok());
  const std::string preamble = Mark("PREAMBLE");
  std::copy(preamble.begin(), preamble.end(), bytes->begin());
  REQUIRE(WriteFileDurably(path, ByteView(*bytes)).ok());
}

struct Source {
  fs::path path;
  std::string patient;
};

// What will be refused, each for another reason.
void AddRefused(const fs::path& folder, const fs::path& sound, const std::string& patient) {
  REQUIRE(WriteFileDurably(folder / (Mark("NOTES") + ".txt"), Mark("NOTES") + " about her").ok());
  auto bytes = ReadFile(sound);
  REQUIRE(bytes.ok());
  const fs::path cut = folder / (Mark("CUT") + ".dcm");
  REQUIRE(WriteFileDurably(cut, ByteView(*bytes).first(bytes->size() / 2)).ok());
  const auto variant = [&](const char* name, std::uint16_t group, std::uint16_t element,
                           const char* value) {
    DcmFileFormat file;
    REQUIRE(file.loadFile(sound.c_str()).good());
    file.getDataset()->findAndDeleteElement(DcmTagKey(0xfffc, 0xfffc));
    const std::string uid = StrCat(kUidRoot, ".8", element);
    PlantDataSet(*file.getDataset(), patient, uid);
    Put(*file.getDataset(), group, element, value);
    Save(file, folder / (Mark(name) + ".dcm"), uid);
  };
  variant("SEGMENTATION", 0x0008, 0x0016, "1.2.840.10008.5.1.4.1.1.66.4");
  variant("BURNEDIN", 0x0028, 0x0301, "YES");
  variant("NOBODY", 0x0010, 0x0020, "");
  variant("UNLABELLED", 0x0010, 0x0020, Mark("UNLABELLED").c_str());
}

}  // namespace

fs::path DrawPlantedHospital(const fs::path& parent, std::uint32_t patients, std::uint64_t seed) {
  namespace synthetic = datasets::synthetic;
  const fs::path drawn = parent / "drawn", folder = parent / (Mark("ROOT") + " scans of Doe");
  NoProgress progress;
  synthetic::Scanner scanner;
  scanner.rows = scanner.columns = 64;
  scanner.spacing_mm = 5.6;
  REQUIRE(synthetic::Synthesize({"drawn", scanner, 0.4}, patients, seed, drawn, 2, progress).ok());
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(drawn)) {
    if (entry.path().extension() == ".dcm") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  fs::path sound;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string patient = files[i].parent_path().filename();
    const std::string number = patient.substr(patient.rfind('-') + 1);
    DcmFileFormat file;
    REQUIRE(file.loadFile(files[i].c_str()).good());
    const std::string uid = StrCat(kUidRoot, ".", seed, ".", i + 1);
    PlantDataSet(*file.getDataset(), Mark("ID-") + number, uid);
    sound = folder / (Mark("FOLDER-") + number) / StrCat(Mark("FILE-"), i, ".dcm");
    Save(file, sound, uid);
  }
  auto labels = ReadTextFile(drawn / "labels.csv");
  REQUIRE(labels.ok());
  for (std::size_t at = 0; (at = labels->find("drawn-", at)) != std::string::npos;) {
    labels->replace(at, 6, Mark("ID-"));
  }
  StrAppend(&*labels, Mark("STRANGER"), ",1\n");
  REQUIRE(WriteFileDurably(folder / "labels.csv", *labels).ok());
  AddRefused(folder, sound, Mark("ID-REFUSED"));
  fs::remove_all(drawn);
  return folder;
}

}  // namespace consilium::identifiers

// Burned-in text and faces: what is refused, what is blanked, what stays.

#include <unistd.h>

#include "datasets/deidentification/code_stream.h"
#include "datasets/deidentification/defacing.h"
#include "datasets/deidentification/folder.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcistrmb.h"
#include "tests/datasets/deidentification/planted.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::deidentification {
namespace {

Refusal ReasonFor(const Deidentifier& deidentifier, DcmFileFormat& file) {
  const auto instance = deidentifier.Apply(Encode(file));
  return instance.ok() ? Refusal::kNone : instance.refused().reason;
}

TEST_CASE(
    "what may have text in its pixels is quarantined, or taken when somebody answers for it") {
  const Deidentifier strict = MakeDeidentifier();
  const Deidentifier lax = MakeDeidentifier({.pixels = {.burned_in = OnRisk::kAccept}});
  struct Case {
    std::uint32_t tag;
    const char *vr, *value;
    Refusal wanted;
  };
  for (const Case& one :
       {Case{0x00280301, "CS", "YES", Refusal::kBurnedInAnnotation},
        Case{0x00280301, "CS", "NO", Refusal::kNone},
        Case{0x00080008, "CS", "DERIVED\\SECONDARY\\SCREEN SAVE", Refusal::kBurnedInAnnotation},
        Case{0x00080064, "CS", "WSD", Refusal::kBurnedInAnnotation},
        Case{0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7.2", Refusal::kBurnedInAnnotation},
        Case{0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.104.1", Refusal::kDocument},
        Case{0x00080016, "UI", "", Refusal::kNotAnInstance},
        Case{0x00080018, "UI", "", Refusal::kMissingSopInstanceUid}}) {
    DcmFileFormat file;
    FillImage(*file.getDataset());
    PutText(*file.getDataset(), one.tag, one.vr, one.value);
    INFO(one.value);
    CHECK(ReasonFor(strict, file) == one.wanted);
    if (one.wanted == Refusal::kBurnedInAnnotation) CHECK(ReasonFor(lax, file) == Refusal::kNone);
  }
  DcmFileFormat ultrasound;
  FillImage(*ultrasound.getDataset(), "US");
  CHECK(ReasonFor(strict, ultrasound) == Refusal::kBurnedInAnnotation);
  // Nothing says where the image is: it cannot be cleaned.
  CHECK(ReasonFor(MakeDeidentifier({.pixels = {.burned_in = OnRisk::kClean}}), ultrasound) ==
        Refusal::kBurnedInAnnotation);
}

TEST_CASE("of ultrasound the screen around its regions is blanked, and given rectangles") {
  DcmFileFormat file;
  FillImage(*file.getDataset(), "US");
  auto region = std::make_unique<DcmItem>();
  for (const auto& [tag, value] :
       std::initializer_list<std::pair<DcmTagKey, Uint32>>{{DCM_RegionLocationMinX0, 1},
                                                           {DCM_RegionLocationMinY0, 0},
                                                           {DCM_RegionLocationMaxX1, 3},
                                                           {DCM_RegionLocationMaxY1, 2}}) {
    region->putAndInsertUint32(tag, value);
  }
  REQUIRE(
      file.getDataset()->insertSequenceItem(DCM_SequenceOfUltrasoundRegions, region.get()).good());
  region.release();
  const Deidentifier cleaning =
      MakeDeidentifier({.pixels = {.burned_in = OnRisk::kClean, .blank = {{2, 1, 1, 1}}}});
  DcmFileFormat clean;
  Decode(Cleaned(cleaning, Encode(file)), clean);
  const Uint16* pixels = nullptr;
  REQUIRE(clean.getDataset()->findAndGetUint16Array(DCM_PixelData, pixels).good());
  for (Uint16 y = 0; y < 4; ++y) {
    for (Uint16 x = 0; x < 4; ++x) {
      const bool kept = x >= 1 && y <= 2 && !(x == 2 && y == 1);
      CHECK(pixels[y * 4 + x] == (kept ? 100 + y * 4 + x : 0));
    }
  }
  CHECK(TextOf(*clean.getDataset(), 0x00280301) == "NO");
}

TEST_CASE("bytes behind the last pixel and comments in compressed frames are blanked") {
  DcmFileFormat file;
  FillImage(*file.getDataset());
  std::vector<Uint16> pixels(16 + 8, 0x5151);
  file.getDataset()->putAndInsertUint16Array(DCM_PixelData, pixels.data(), pixels.size());
  DcmFileFormat clean;
  Decode(Cleaned(MakeDeidentifier(), Encode(file)), clean);
  DcmElement* element = nullptr;
  REQUIRE(clean.getDataset()->findAndGetElement(DCM_PixelData, element).good());
  CHECK(element->getLength() == 32);

  Bytes jpeg = {0xff, 0xd8, 0xff, 0xe0, 0,    4,    'J', 'F', 0xff, 0xe1, 0,    4,   'E',
                'x',  0xff, 0xfe, 0,    6,    'N',  'A', 'M', 'E',  0xff, 0xda, 0,   2,
                1,    0xff, 0x00, 2,    0xff, 0xfe, 0,   4,   'X',  'Y',  0xff, 0xd9};
  const std::size_t size = jpeg.size();
  BlankComments(jpeg);
  CHECK(jpeg.size() == size);
  const std::string_view text = AsText(jpeg);
  CHECK(text.find("JF") != std::string_view::npos);
  for (const char* gone : {"Ex", "NAME", "XY"}) CHECK(text.find(gone) == std::string_view::npos);
  CHECK(jpeg[26] == 1);  // entropy-coded
  Bytes truncated = {0xff, 0xd8, 0xff, 0xfe, 0xff, 0xff, 'N'};
  BlankComments(truncated);
  CHECK(truncated.back() == 'N');
}

// A head of ellipsoids: skin, skull and brain, a nose and two eyes, in patient coordinates with the
// vertex at the top of the volume. All sizes in mm, of an adult.
struct HeadPhantom {
  HeadVolume volume;
  std::vector<std::int32_t> values;
  std::vector<std::uint8_t> brain, face;  // face: eyes, nose and the surface around them

  HeadPhantom(std::array<std::array<double, 3>, 3> axes, double spacing) {
    const std::array<double, 3> box = {200, 260, 290};  // left-right, front-back, down-up
    volume.axes = axes;
    volume.spacing_mm = {spacing, spacing, spacing};
    std::array<std::size_t*, 3> counts = {&volume.columns, &volume.rows, &volume.slices};
    std::array<double, 3> origin{};
    for (int a = 0; a < 3; ++a) {
      for (int p = 0; p < 3; ++p) {
        if (std::abs(axes[a][p]) < 0.5) continue;
        *counts[a] = static_cast<std::size_t>(box[p] / spacing);
        origin[p] = axes[a][p] > 0 ? -box[p] / 2 : box[p] / 2 - spacing;
      }
    }
    for (std::size_t k = 0; k < volume.slices; ++k) {
      for (std::size_t j = 0; j < volume.rows; ++j) {
        for (std::size_t i = 0; i < volume.columns; ++i) {
          std::array<double, 3> at = origin;
          for (int p = 0; p < 3; ++p) {
            at[p] += spacing *
                     (axes[0][p] * static_cast<double>(i) + axes[1][p] * static_cast<double>(j) +
                      axes[2][p] * static_cast<double>(k));
          }
          Add(at);
        }
      }
    }
    volume.values = values;
  }

  static double Ellipsoid(const std::array<double, 3>& at, double x, double y, double z, double a,
                          double b, double c) {
    return std::hypot((at[0] - x) / a, (at[1] - y) / b, (at[2] - z) / c);
  }

  void Add(const std::array<double, 3>& at) {
    // Vertex at 120, forehead at -95, occiput at 95; brain from 108 down to 5.
    const double head = Ellipsoid(at, 0, 0, 25, 76, 95, 95);
    const double jaw = Ellipsoid(at, 0, -35, -55, 55, 62, 75);
    const double nose = Ellipsoid(at, 0, -100, -10, 14, 22, 24);
    const bool eye = std::min(Ellipsoid(at, -32, -78, 12, 12, 12, 12),
                              Ellipsoid(at, 32, -78, 12, 12, 12, 12)) < 1;
    const bool tissue = std::min({head, jaw, nose}) < 1;
    const bool in_brain =
        Ellipsoid(at, 0, 3, 62, 66, 80, 46) < 1 || Ellipsoid(at, 0, 20, 25, 55, 55, 30) < 1;
    values.push_back(in_brain                 ? 40
                     : eye                    ? 20
                     : !tissue                ? -1000
                     : head < 1 && head > 0.9 ? 900
                                              : 50);
    brain.push_back(in_brain);
    const bool surface = tissue && jaw > 0.85 && at[1] < -70 && at[2] < 20;
    face.push_back(eye || (nose < 1 && head >= 1) || surface);
  }
};

TEST_CASE("defacing takes the face and leaves the brain, in any orientation of the slices") {
  const std::array<double, 3> left = {1, 0, 0}, back = {0, 1, 0}, front = {0, -1, 0},
                              up = {0, 0, 1}, down = {0, 0, -1};
  for (const auto& axes :
       {std::array{left, back, up}, std::array{left, back, down}, std::array{left, down, back},
        std::array{back, down, left}, std::array{left, front, up}}) {
    const HeadPhantom phantom(axes, 2.5);
    const auto mask = FaceMask(phantom.volume);
    REQUIRE(mask.ok());
    std::size_t brain = 0, brain_lost = 0, face = 0, face_gone = 0;
    for (std::size_t i = 0; i < mask->size(); ++i) {
      brain += phantom.brain[i];
      face += phantom.face[i];
      brain_lost += phantom.brain[i] && (*mask)[i];
      face_gone += phantom.face[i] && (*mask)[i];
    }
    INFO("of the brain " << brain_lost << " of " << brain << ", of the face " << face_gone << " of "
                         << face);
    CHECK(brain > 40000);
    CHECK(brain_lost * 1000 <= brain);
    CHECK(face_gone * 100 >= face * 90);
  }
}

TEST_CASE("a face that cannot be found is not claimed to be gone") {
  const std::array<double, 3> left = {1, 0, 0}, back = {0, 1, 0}, up = {0, 0, 1};
  HeadPhantom phantom({left, back, up}, 4);
  // Cut below the vertex.
  HeadVolume cut = phantom.volume;
  cut.slices = cut.slices * 6 / 10;
  cut.values = cut.values.first(cut.columns * cut.rows * cut.slices);
  CHECK(!FaceMask(cut).ok());
  const std::vector<std::int32_t> air(phantom.values.size(), -1000);
  HeadVolume empty = phantom.volume;
  empty.values = air;
  CHECK(!FaceMask(empty).ok());
  HeadVolume unknown = phantom.volume;
  unknown.spacing_mm[2] = 0;
  CHECK(!FaceMask(unknown).ok());
}

void WriteHead(const fs::path& folder) {
  const std::array<double, 3> left = {1, 0, 0}, back = {0, 1, 0}, up = {0, 0, 1};
  const HeadPhantom phantom({left, back, up}, 4);
  const std::size_t pixels = phantom.volume.columns * phantom.volume.rows;
  for (std::size_t k = 0; k < phantom.volume.slices; ++k) {
    DcmFileFormat file;
    DcmDataset& data_set = *file.getDataset();
    FillImage(data_set);
    PutText(data_set, 0x00080018, "UI", "1.2.3.4.5." + std::to_string(100 + k));
    PutText(data_set, 0x00100010, "PN", "Quimby^Zacharias");
    PutText(data_set, 0x00100020, "LO", "MRN77665544");
    PutText(data_set, 0x00180015, "CS", "HEAD");
    PutText(data_set, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    PutText(data_set, 0x00200032, "DS", "0\\0\\" + std::to_string(4 * k));
    PutText(data_set, 0x00280030, "DS", "4\\4");
    data_set.putAndInsertUint16(DCM_Rows, static_cast<Uint16>(phantom.volume.rows));
    data_set.putAndInsertUint16(DCM_Columns, static_cast<Uint16>(phantom.volume.columns));
    std::vector<Uint16> slice(pixels);
    for (std::size_t i = 0; i < pixels; ++i)
      slice[i] = static_cast<Uint16>(phantom.values[k * pixels + i] + 1024);
    data_set.putAndInsertUint16Array(DCM_PixelData, slice.data(), slice.size());
    const fs::path path = folder / ("Quimby" + std::to_string(k) + ".dcm");
    REQUIRE(file.saveFile(path.c_str(), EXS_LittleEndianExplicit).good());
  }
}

TEST_CASE("a folder is de-identified once, goes on where it was, and faces go with their series") {
  const TemporaryFolder folder;
  const fs::path in = folder / "in", out = folder / "out";
  fs::create_directory(in);
  WriteHead(in);
  REQUIRE(WriteFileDurably(in / "notes.txt", "Quimby").ok());
  NoProgress progress;
  const auto refused = DeidentifyFolder(MakeDeidentifier(), in, folder / "strict", 2, progress);
  REQUIRE(refused.ok());
  CHECK(refused->written == 0);
  CHECK(refused->quarantined.at(Refusal::kRecognizableFace) == refused->files - 1);

  const Deidentifier cleaning = MakeDeidentifier({.pixels = {.faces = OnRisk::kClean}});
  const auto report = DeidentifyFolder(cleaning, in, out, 2, progress);
  REQUIRE(report.ok());
  INFO(ToText(*report, true));
  CHECK(report->written == report->files - 1);
  CHECK(report->quarantined.size() == 1);
  std::vector<fs::path> written;
  for (const auto& entry : fs::recursive_directory_iterator(out)) {
    CHECK(entry.path().string().find("Quimby") == std::string::npos);
    if (entry.path().extension() == ".dcm") written.push_back(entry.path());
  }
  REQUIRE(written.size() == report->written);
  std::size_t blanked = 0;
  for (const fs::path& path : written) {
    DcmFileFormat file;
    REQUIRE(file.loadFile(path.c_str()).good());
    CHECK(TextOf(*file.getDataset(), 0x00280302) == "NO");
    const auto bytes = ReadFile(path);
    REQUIRE(bytes.ok());
    CHECK(!Holds(*bytes, "Quimby"));
    CHECK(!Holds(*bytes, "MRN77665544"));
    const Uint16* pixels = nullptr;
    unsigned long count = 0;
    REQUIRE(file.getDataset()->findAndGetUint16Array(DCM_PixelData, pixels, &count).good());
    blanked += static_cast<std::size_t>(std::count(pixels, pixels + count, 0));
  }
  CHECK(blanked > 1000);

  fs::remove(written.front());
  const auto again = DeidentifyFolder(cleaning, in, out, 2, progress);
  REQUIRE(again.ok());
  CHECK(again->written == 1);
  CHECK(again->already_there == report->written - 1);
  const auto other_key = DeidentifyFolder(
      MakeDeidentifier({.pixels = {.faces = OnRisk::kClean}}, 8), in, out, 2, progress);
  CHECK(other_key.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(DeidentifyFolder(cleaning, in, in / "out", 2, progress).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(DeidentifyFolder(cleaning, folder / "none", folder / "new", 2, progress).status().code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("the summary in JSON is the golden one, without a file's name") {
  FolderReport report;
  report.files = 5;
  report.written = 2;
  report.already_there = 1;
  report.quarantined = {{Refusal::kNotDicom, 1}, {Refusal::kRecognizableFace, 1}};
  report.list = {{"Quimby.dcm", {Refusal::kNotDicom, ""}}};
  report.codes = {"113100", "113107"};
  report.key_name = "0123456789abcdef";
  CHECK(ToJson(report) == R"({
  "already_there": 1,
  "codes": [
    "113100",
    "113107"
  ],
  "files": 5,
  "key": "0123456789abcdef",
  "profile": "PS3.15 2024",
  "quarantined": {
    "not-dicom": 1,
    "recognizable-face": 1
  },
  "written": 2
})");
  CHECK_THAT(ToText(report, true), ContainsText("Quimby.dcm: not DICOM"));
  CHECK(ToText(report, false).find("Quimby") == std::string::npos);
}

}  // namespace
}  // namespace consilium::datasets::deidentification

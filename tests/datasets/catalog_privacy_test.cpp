// What a catalog holds of the patients: nothing that names them, and no more than the site retains.

#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "datasets/catalog.h"
#include "datasets/index_report.h"
#include "datasets/site_data.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets {
namespace {

constexpr std::string_view kCt = "1.2.840.10008.5.1.4.1.1.2";

// The elements of a file of a patient, in their order, but for the pixels.
struct Patient {
  std::string id = "kx-4711-0815", name = "DOE^JANE", sex = "F", age = "044Y", modality = "DX";
  std::string view = "PA", body_part = "CHEST", manufacturer = "Acme", model = "Ray 1";
  std::string sop_class = "1.2.840.10008.5.1.4.1.1.1.1", instance = "1.2.3.4711.1";
  std::string burned_in;
  int frames = 1;

  DicomBytes File() const {
    DicomBytes file;
    file.Text(0x0008, 0x0016, "UI", sop_class).Text(0x0008, 0x0018, "UI", instance);
    file.Text(0x0008, 0x0060, "CS", modality).Text(0x0008, 0x0070, "LO", manufacturer);
    file.Text(0x0008, 0x1030, "LO", "HEAD AND NECK").Text(0x0008, 0x1090, "LO", model);
    file.Text(0x0010, 0x0010, "PN", name).Text(0x0010, 0x0020, "LO", id);
    file.Text(0x0010, 0x0040, "CS", sex).Text(0x0010, 0x1010, "AS", age);
    file.Text(0x0018, 0x0015, "CS", body_part).Text(0x0018, 0x0050, "DS", "2.5");
    file.Text(0x0018, 0x5101, "CS", view).Text(0x0020, 0x000d, "UI", instance + ".8");
    file.Text(0x0020, 0x000e, "UI", instance + ".9").Text(0x0020, 0x0062, "CS", "L");
    file.Text(0x0028, 0x0030, "DS", "0.5\\0.25");
    if (!burned_in.empty()) file.Text(0x0028, 0x0301, "CS", burned_in);
    return file.Pixels(frames).PixelData(std::string(static_cast<std::size_t>(8 * frames), '\1'));
  }
};

struct Site {
  TemporaryFolder folder;
  fs::path images = folder / "Jane Doe's images";
  fs::path state = folder / "state";
  fs::path file = state / "catalog.db";

  Site() {
    REQUIRE(EnsureFolder(images).ok());
    REQUIRE(EnsureFolder(state).ok());
  }
  void Add(const std::string& name, const Patient& patient) { patient.File().Save(images / name); }
  Catalog Open() const {
    auto catalog = Catalog::Open(file);
    if (!catalog.ok()) FAIL(catalog.status().ToString());
    return *std::move(catalog);
  }
  IndexReport Index(const IndexPolicy& policy = {}) const {
    NoProgress progress;
    auto report = Open().Index(images, {.policy = policy}, *ReadInThisProcess(), progress);
    if (!report.ok()) FAIL(report.status().ToString());
    return *std::move(report);
  }
  std::vector<ImageDescription> Descriptions() const {
    auto descriptions = Open().Descriptions();
    REQUIRE(descriptions.ok());
    return *std::move(descriptions);
  }
  std::string Bytes() const { return *ReadTextFile(file); }
};

bool Holds(const std::string& bytes, const std::string& text) {
  return bytes.find(text) != std::string::npos;
}

// The tables of version 1, which held what files said.
const storage::Migrations kVersion1 = {R"sql(
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, patient_id TEXT NOT NULL);
CREATE TABLE labels(file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  target TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(file_id, target)) WITHOUT ROWID;
)sql"};

}  // namespace

TEST_CASE("A catalog holds no name, number, UID or path, and its key is beside it") {
  Site site;
  site.Add("doe_jane.dcm", {});
  site.Add("refused_doe_jane.dcm", {.sop_class = "1.2.840.10008.5.1.4.1.1.66.4"});
  REQUIRE(
      WriteFileDurably(site.images / "labels.csv", "patient_id,opacity\nkx-4711-0815,1\n").ok());
  const IndexReport report = site.Index();
  CHECK(report.accepted == 1);
  CHECK(report.erased == 0);
  const std::string bytes = site.Bytes();
  // None can stand by chance in what a random key makes of them: base32, hexadecimal or a number.
  for (const char* identifier :
       {"kx-4711", "4711-0815", ".4711.", "DOE^", "JANE", "doe_jane", "Jane", "1.2.3"}) {
    INFO(identifier);
    CHECK_FALSE(Holds(bytes, identifier));
  }
  CHECK(Holds(bytes, "P-"));
  // Who has the key sees the paths.
  REQUIRE(report.refused.size() == 1);
  CHECK(report.refused[0].path == "refused_doe_jane.dcm");
  CHECK_THAT(report.refused[0].refused.detail, ContainsText("a segmentation that cannot be read"));
  CHECK(site.Open().Images("opacity", {}, {})->at(0).path == "doe_jane.dcm");
  CHECK(*site.Open().Folder() == site.images);
  struct stat status {};
  REQUIRE(stat(Catalog::KeyFile(site.file).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("A catalog of version 1 is erased to its last byte and the folder is read anew") {
  Site site;
  site.Add("a.dcm", {});
  {
    auto old = storage::Database::Open(site.file, kVersion1);
    REQUIRE(old.ok());
    REQUIRE(old->Execute("INSERT INTO settings VALUES('folder', '/scans/doe_jane')").ok());
    for (int i = 0; i < 200; ++i) {
      REQUIRE(old->Execute("INSERT INTO files VALUES(?, ?, '4711-0815')", i,
                           StrCat("doe_jane/", i, ".dcm"))
                  .ok());
    }
    REQUIRE(old->Execute("INSERT INTO labels VALUES(1, 'opacity', 1)").ok());
  }
  REQUIRE(Holds(site.Bytes(), "doe_jane"));
  const auto before = fs::file_size(site.file);
  CHECK(site.Open().Report()->files == 0);
  CHECK_FALSE(Holds(site.Bytes(), "doe_jane"));
  CHECK_FALSE(Holds(site.Bytes(), "4711-0815"));
  const IndexReport report = site.Index();
  CHECK(report.erased == 200);
  CHECK_THAT(ToText(report, false), ContainsText("was erased"));
  CHECK(report.read == 1);
  CHECK(report.accepted == 1);
  CHECK(site.Index().erased == 0);
  CHECK(fs::file_size(site.file) < 4 * before);
}

TEST_CASE("A catalog of a newer program is refused") {
  Site site;
  REQUIRE(storage::Database::Open(site.file, {"", "", "", "", "CREATE TABLE future(x INTEGER)"}).ok());
  CHECK(absl::IsFailedPrecondition(Catalog::Open(site.file).status()));
}

TEST_CASE("The same key splits the same patients alike at every run; without it all is read anew") {
  Site site;
  for (int i = 0; i < 30; ++i) {
    site.Add(StrCat(i, ".dcm"), {.id = StrCat("patient ", i), .instance = StrCat("1.2.3.", i)});
  }
  const auto patients = [&] {
    std::set<std::string> all;
    for (const ImageDescription& image : site.Descriptions()) all.insert(image.patient);
    return all;
  };
  site.Index();
  const auto first = patients();
  CHECK(first.size() == 30);
  fs::remove(site.file);  // the catalog alone
  site.Index();
  CHECK(patients() == first);
  fs::remove(Catalog::KeyFile(site.file));
  const IndexReport report = site.Index();
  CHECK(report.erased == 30);
  CHECK(report.read == 30);
  const auto other = patients();
  CHECK(other.size() == 30);
  std::vector<std::string> common;
  std::set_intersection(first.begin(), first.end(), other.begin(), other.end(),
                        std::back_inserter(common));
  CHECK(common.empty());
}

TEST_CASE("What is described of an image is what its header says and the policy retains") {
  Site site;
  site.Add("a.dcm", {.age = "101Y"});
  REQUIRE(WriteFileDurably(site.images / "labels.csv",
                           "study_instance_uid,opacity,effusion\n1.2.3.4711.1.8,1,\n")
              .ok());
  CHECK(site.Index().accepted == 1);
  const ImageDescription image = site.Descriptions().at(0);
  CHECK(image.patient.starts_with("P-"));
  CHECK(image.sex == "F");
  CHECK(image.age == 90);  // and above
  CHECK(image.modality == "DX");
  CHECK(image.view == "PA");
  CHECK(image.laterality == "L");
  CHECK(image.body_part == "CHEST");
  CHECK(image.manufacturer == "Acme");
  CHECK(image.model == "Ray 1");
  CHECK((image.rows == 2 && image.columns == 2 && image.frames == 1));
  CHECK(image.row_spacing_mm == 0.5);
  CHECK(image.column_spacing_mm == 0.25);
  CHECK(image.slice_thickness_mm == 2.5);
  CHECK(image.labels == std::map<std::string, int>{{"opacity", 1}});

  // Another policy reads the files again, and what it does not retain is gone.
  const IndexReport narrow = site.Index({.retain = {plan::Retain::kDeviceIdentity}});
  CHECK(narrow.read == 1);
  CHECK(site.Descriptions().at(0).sex.empty());
  CHECK_FALSE(site.Descriptions().at(0).age.has_value());
  CHECK(site.Descriptions().at(0).model == "Ray 1");
  site.Index({.retain = {}});
  CHECK(site.Descriptions().at(0).manufacturer.empty());
  CHECK(site.Descriptions().at(0).model.empty());
  CHECK_FALSE(Holds(site.Bytes(), "Ray 1"));
}

TEST_CASE("A text that holds a name or number of the patient does not enter the catalog") {
  Site site;
  site.Add("a.dcm",
           {.body_part = "JANE", .manufacturer = "Scanner of Doe", .model = "kx-4711-0815"});
  site.Add("b.dcm", {.sex = "female", .view = "half left", .instance = "1.2.3.4711.2"});
  CHECK(site.Index().accepted == 2);
  for (const ImageDescription& image : site.Descriptions()) {
    CHECK(image.manufacturer != "Scanner of Doe");
    CHECK(image.model != "kx-4711-0815");
    CHECK(image.body_part != "JANE");
    CHECK((image.sex == "F" || image.sex.empty()));
    CHECK((image.view == "PA" || image.view.empty()));
  }
}

TEST_CASE("Burned-in text and faces are the site's to accept or refuse") {
  Site site;
  site.Add("text.dcm", {.burned_in = "YES"});
  site.Add("head.dcm", {.modality = "CT", .sop_class = std::string(kCt), .instance = "1.2.3.2"});
  using Counts = std::map<Refusal, std::uint64_t>;
  CHECK(site.Index().by_reason == Counts{{Refusal::kBurnedInAnnotation, 1}});
  CHECK(site.Index({.burned_in = PixelRule::kAccept}).by_reason == Counts{});
  CHECK(site.Index({.faces = PixelRule::kRefuse}).by_reason ==
        Counts{{Refusal::kBurnedInAnnotation, 1}, {Refusal::kRecognizableFace, 1}});
}

TEST_CASE("A plan's views, ages and frames decide what counts, and the rest is told by reason") {
  Site site;
  std::string labels = "patient_id,opacity\n";
  const auto add = [&](const std::string& id, Patient patient) {
    patient.id = id;
    patient.instance = "1.2.3." + id;
    site.Add(id + ".dcm", patient);
    labels += id + ",1\n";
  };
  add("1", {});
  add("2", {.view = "LL"});
  add("3", {.view = ""});
  add("4", {.age = "017Y"});
  add("5", {.age = ""});
  add("6", {.frames = 3});
  REQUIRE(WriteFileDurably(site.images / "labels.csv", labels).ok());
  CHECK(site.Index().accepted == 6);
  Catalog catalog = site.Open();
  const auto summary = [&](const plan::Data& data, const plan::Preprocessing& preprocessing = {}) {
    auto all = Summarise(catalog, {.name = "opacity"}, data, preprocessing);
    REQUIRE(all.ok());
    return *all;
  };
  using Counts = std::map<Refusal, std::uint64_t>;
  CHECK(summary({}).refusals == Counts{{Refusal::kSeveralFrames, 1}});
  plan::Preprocessing middle;
  middle.frame = plan::FrameChoice::kMiddle;
  CHECK(summary({}, middle).total.examples == 6);
  CHECK(summary({.views = {"PA", "AP"}}, middle).refusals == Counts{{Refusal::kUnwantedView, 2}});
  CHECK(summary({.minimum_age = 18}, middle).refusals == Counts{{Refusal::kUnwantedAge, 2}});
  CHECK(summary({.maximum_age = 17}, middle).total.examples == 1);
  CHECK(summary({.modalities = {"CR"}}, middle).refusals ==
        Counts{{Refusal::kUnwantedModality, 6}});
}

}  // namespace consilium::datasets

#include "datasets/catalog.h"

#include "common/base/text.h"

#include <fstream>
#include <thread>

#include "datasets/dicom/writer.h"
#include "datasets/index_report.h"
#include "datasets/patient_split.h"
#include "datasets/site_data.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets {
namespace {

// A site of its own: a folder of images, a catalog and a cache.
struct Site {
  TemporaryFolder folder;
  fs::path images = folder / "images";

  void Add(const std::string& patient, int number, dicom::TransferSyntax syntax = {}) {
    dicom::NewInstance instance;
    instance.modality = "DX";
    instance.patient_id = patient;
    instance.study_instance_uid = dicom::MakeUid(patient + "/study");
    instance.series_instance_uid = dicom::MakeUid(patient + "/series");
    instance.sop_instance_uid = dicom::MakeUid(patient + "/" + std::to_string(number));
    instance.rows = instance.columns = 32;
    for (int i = 0; i < 32 * 32; ++i) instance.values.push_back((i * (number + 3)) % 4096);
    instance.transfer_syntax = syntax;
    REQUIRE(EnsureFolder(images / patient).ok());
    REQUIRE(dicom::WriteFile(images / patient / (std::to_string(number) + ".dcm"), instance).ok());
  }
  void Labels(std::string_view csv) { REQUIRE(WriteFileDurably(images / "labels.csv", csv).ok()); }
  Catalog Open() {
    auto catalog = Catalog::Open(folder / "catalog.sqlite");
    REQUIRE(catalog.ok());
    return *std::move(catalog);
  }
  IndexReport Index(IndexOptions options = {}) {
    NoProgress progress;
    options.threads = 2;
    auto report = Open().Index(images, options, *ReadInThisProcess(), progress);
    if (!report.ok()) FAIL(report.status().ToString());
    return *std::move(report);
  }
  absl::StatusOr<SiteData> Data(Progress& progress) {
    Catalog catalog = Open();
    plan::Preprocessing preprocessing;
    preprocessing.image_size = 16;
    return SiteData::Open(catalog, {.name = "opacity"}, {.modalities = {"DX"}}, preprocessing,
                          {folder / "cache", 2, ReadInThisProcess()}, progress);
  }
  fs::path CacheFile() {
    for (const auto& entry : fs::directory_iterator(folder / "cache")) return entry.path();
    FAIL("no cache file");
    return {};
  }
};

// Counts what is prepared.
class Counting final : public Progress {
 public:
  void Report(std::string_view, std::uint64_t, std::uint64_t total, std::string_view) override {
    last_total = total;
  }
  std::atomic<std::uint64_t> last_total = 0;
};

Site MakeSite(int patients) {
  Site site;
  std::string labels = "patient_id,opacity\n";
  for (int i = 0; i < patients; ++i) {
    const std::string patient = "P" + std::to_string(i);
    site.Add(patient, 1);
    labels += patient + "," + std::to_string(i % 2) + "\n";
  }
  site.Labels(labels);
  return site;
}

}  // namespace

TEST_CASE("A second index reads only what changed") {
  Site site = MakeSite(5);
  CHECK(site.Index().read == 5);
  const IndexReport again = site.Index();
  CHECK(again.read == 0);
  CHECK(again.unchanged == 5);
  CHECK(again.accepted == 5);
  CHECK(again.patients == 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  site.Add("P1", 1, dicom::TransferSyntax::kImplicitLittleEndian);
  site.Add("P0", 2);
  fs::remove(site.images / "P4" / "1.dcm");
  const IndexReport changed = site.Index();
  CHECK(changed.read == 2);
  CHECK(changed.unchanged == 3);
  CHECK(changed.removed == 1);
  CHECK(changed.accepted == 5);
  CHECK(changed.labels_without_image == 1);
}

TEST_CASE("Refused files are reported with their reasons, also when they are not read again") {
  Site site = MakeSite(3);
  REQUIRE(WriteFileDurably(site.images / "notes.txt", "hello").ok());
  site.Add("P9", 1);  // without a label
  fs::copy(site.images / "P0" / "1.dcm", site.images / "P0" / "2.dcm");
  for (int round = 0; round < 2; ++round) {
    const IndexReport report = site.Index();
    CHECK(report.accepted == 3);
    CHECK(report.by_reason == std::map<Refusal, std::uint64_t>{{Refusal::kNotDicom, 1},
                                                               {Refusal::kMissingLabel, 1},
                                                               {Refusal::kDuplicateInstance, 1}});
    CHECK(ToText(report, true).find("P0/2.dcm") != std::string::npos);
    CHECK(ToJson(report).find("\"duplicate-instance\": 1") != std::string::npos);
  }
  fs::remove(site.images / "P0" / "1.dcm");  // then its duplicate takes its place
  CHECK(site.Index().by_reason.count(Refusal::kDuplicateInstance) == 0);
}

TEST_CASE("A patient with two labels is refused, a label for an unknown patient is a warning") {
  Site site = MakeSite(3);
  site.Labels("patient_id,opacity\nP0,1\nP0,0\nP1,1\nP2,0\nnobody,1\n");
  const IndexReport report = site.Index();
  CHECK(report.accepted == 2);
  CHECK(report.by_reason.at(Refusal::kConflictingLabels) == 1);
  CHECK(report.labels_without_image == 1);
  site.Labels("patient_id,opacity\nP0,1\nP1,1\nP2,0\n");  // mended
  CHECK(site.Index().accepted == 3);
}

TEST_CASE("Faults of labels.csv stop the index and leave the catalog as it was") {
  Site site = MakeSite(2);
  site.Index();
  site.Labels(StrCat("patient_id,opacity\nP0,", std::string(65, 'x'), "\n"));
  NoProgress progress;
  const auto report = site.Open().Index(site.images, {}, *ReadInThisProcess(), progress);
  CHECK(report.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ToStd(report.status().message()).find("line 2") != std::string::npos);
  CHECK(site.Open().Report()->accepted == 2);
  CHECK(site.Open()
            .Index(site.folder / "absent", {}, *ReadInThisProcess(), progress)
            .status()
            .code() == absl::StatusCode::kNotFound);
}

TEST_CASE("A dataset has the examples of its split, by patient, with their labels") {
  Site site = MakeSite(40);
  site.Index();
  NoProgress progress;
  const auto data = site.Data(progress);
  REQUIRE(data.ok());
  CHECK(data->summary().total.examples == 40);
  CHECK(data->summary().total.positives == 20);
  std::size_t sum = 0;
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    const auto examples = data->Examples(split);
    sum += examples->size();
    CHECK(Count(*examples).examples == data->summary().Of(split).examples);
    std::vector<float> pixels(16 * 16);
    for (std::size_t i = 0; i < examples->size(); ++i) {
      const auto label = examples->Get(i, pixels);
      CHECK(label.patient == examples->GetLabel(i).patient);
      CHECK(*std::max_element(pixels.begin(), pixels.end()) > 0.5f);
    }
  }
  CHECK(sum == 40);
}

TEST_CASE("A plan's target must be a column of the labels, and other modalities are not taken") {
  Site site = MakeSite(4);
  site.Index();
  Catalog catalog = site.Open();
  const auto missing = Summarise(catalog, {.name = "fracture"}, {}, {});
  CHECK(missing.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ToStd(missing.status().message()).find("opacity") != std::string::npos);
  const auto none = Summarise(catalog, {.name = "opacity"}, {.modalities = {"MR"}}, {});
  REQUIRE(none.ok());
  CHECK(none->total.examples == 0);
  CHECK(none->refusals.at(Refusal::kUnwantedModality) == 4);
}

TEST_CASE("Survival of images is read from two columns of the labels") {
  const plan::Target target{.task = Task::kSurvival, .time = "days", .event = "death"};
  Site site;
  for (int i = 0; i < 7; ++i) site.Add("P" + std::to_string(i), 1);
  const auto summarise = [&](std::string_view labels) {
    site.Labels(labels);
    site.Index();
    Catalog catalog = site.Open();
    return Summarise(catalog, target, {.modalities = {"DX"}}, {});
  };
  constexpr char kLabels[] =
      "patient_id,days,death\n"
      "P0,412.5,1\n"
      "P1,1,0\n"      // one day
      "P2,NA,1\n"     // not known how long
      "P3,90,\n"      // nor what became of them
      "P4,0,1\n"      // observed for no time
      "P5,3e2,1.0\n"  // as programs write numbers
      "P6,36525,0\n";
  const auto known = summarise(kLabels);
  REQUIRE(known.ok());
  CHECK(known->total.examples == 4);
  CHECK(known->total.positives == 2);
  CHECK(known->refusals ==
        std::map<Refusal, std::uint64_t>{{Refusal::kMissingLabel, 2}, {Refusal::kNoTime, 1}});

  NoProgress progress;
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 16;
  Catalog catalog = site.Open();
  const auto data = SiteData::Open(catalog, target, {.modalities = {"DX"}}, preprocessing,
                                   {site.folder / "cache", 2, ReadInThisProcess()}, progress);
  REQUIRE(data.ok());
  const auto examples = data->AllExamples();
  REQUIRE(examples->target_elements() == 2);
  std::map<float, float> found;  // days -> event
  for (std::size_t i = 0; i < examples->size(); ++i) {
    std::array<float, 2> days_and_event{};
    examples->GetTarget(i, days_and_event);
    found[days_and_event[0]] = days_and_event[1];
    CHECK(examples->IsPositive(i) == (days_and_event[1] == 1));
  }
  CHECK(found == std::map<float, float>{{412.5f, 1}, {1, 0}, {300, 1}, {36525, 0}});

  const auto fault = [&](std::string_view labels) {
    const auto refused = summarise(labels);
    CHECK(absl::IsFailedPrecondition(refused.status()));
    return std::string(ToStd(refused.status().message()));
  };
  CHECK_THAT(fault("patient_id,days,death\nP0,soon,1\nP1,36526,0\nP2,5,1\n"),
             ContainsText("\"days\" of the labels has 2 values (of images) that are no number of "
                          "days up to a hundred years"));
  CHECK_THAT(fault("patient_id,days,death\nP0,5,2\nP1,5,yes\n"),
             ContainsText("\"death\" of the labels has 2 values (of images) that are not 0 and 1"));
  CHECK_THAT(fault("patient_id,days\nP0,5\n"),
             ContainsText("no target \"death\" (they have: days)"));
}

TEST_CASE("A catalog has no number of the labels as it is") {
  Site site;
  site.Add("P0", 1);
  site.Labels("patient_id,days,death\nP0,48151623,1\n");
  site.Index();
  for (const auto& entry : fs::directory_iterator(site.folder.path())) {
    if (!entry.is_regular_file()) continue;
    CHECK(ReadTextFile(entry.path())->find("48151623") == std::string::npos);
  }
}

TEST_CASE("Pixels are decoded once, and only what is new is decoded later") {
  Site site = MakeSite(6);
  site.Index();
  Counting first, second, third;
  REQUIRE(site.Data(first).ok());
  CHECK(first.last_total == 6);
  REQUIRE(site.Data(second).ok());
  CHECK(second.last_total == 0);
  const auto before = ReadFile(site.CacheFile());
  // The old entries come out of the cache: their files do not decode any more, though size and time
  // say "unchanged".
  for (int i = 0; i < 6; ++i) {
    const fs::path path = site.images / ("P" + std::to_string(i)) / "1.dcm";
    const auto modified = fs::last_write_time(path);
    fs::resize_file(path, fs::file_size(path) - 100);
    fs::resize_file(path, fs::file_size(path) + 100);
    std::fstream(path, std::ios::in | std::ios::out) << "overwritten" << std::string(150, 'x');
    fs::last_write_time(path, modified);
  }
  site.Add("P6", 1);
  site.Labels("patient_id,opacity\nP0,1\nP1,1\nP2,0\nP3,1\nP4,0\nP5,0\nP6,1\n");
  site.Index();
  const auto data = site.Data(third);
  REQUIRE(data.ok());
  CHECK(data->AllExamples()->size() == 7);
  CHECK(ReadFile(site.CacheFile())->size() > before->size());
}

TEST_CASE("A damaged cache is rebuilt") {
  Site site = MakeSite(6);
  site.Index();
  NoProgress progress;
  REQUIRE(site.Data(progress).ok());
  const auto whole = ReadFile(site.CacheFile());
  REQUIRE(whole.ok());
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{33}, std::size_t{50}, whole->size() - 5}) {
    Bytes damaged = *whole;
    damaged[at] ^= 1;
    REQUIRE(WriteFileDurably(site.CacheFile(), damaged).ok());
    const auto data = site.Data(progress);
    REQUIRE(data.ok());
    CHECK(data->AllExamples()->size() == 6);
    CHECK(ReadFile(site.CacheFile())->size() == whole->size());
  }
  REQUIRE(WriteFileDurably(site.CacheFile(), ByteView(*whole).first(100)).ok());
  CHECK(site.Data(progress)->AllExamples()->size() == 6);
}

TEST_CASE("An image whose pixels do not decode is left out and refused from then on") {
  Site site = MakeSite(4);
  site.Add("P1", 1, dicom::TransferSyntax::kJpegLosslessSv1);
  const fs::path path = site.images / "P1" / "1.dcm";
  auto bytes = ReadTextFile(path);
  REQUIRE(bytes.ok());
  const auto start = bytes->find("\xff\xd8\xff");
  REQUIRE(start != std::string::npos);
  bytes->replace(start, 2, "xx");
  REQUIRE(WriteFileDurably(path, *bytes).ok());
  CHECK(site.Index().accepted == 4);
  NoProgress progress;
  const auto data = site.Data(progress);
  REQUIRE(data.ok());
  CHECK(data->AllExamples()->size() == 3);
  CHECK(data->summary().refusals.at(Refusal::kUndecodable) == 1);
  CHECK(site.Index().by_reason.at(Refusal::kUndecodable) == 1);
}

}  // namespace consilium::datasets

// Public sets become hospitals: splits, tables, who trains.

#include <set>

#include "datasets/csv.h"
#include "experiments/example_images.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/splitting.h"
#include "experiments/studies/study.h"
#include "experiments/studies/table_study.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/shared_data.h"
#include "tests/experiments/heart_files.h"

namespace consilium::experiments {
namespace {

std::vector<std::size_t> Indices(const std::vector<bool>& chosen) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) indices.push_back(i);
  }
  return indices;
}

plan::Plan PlanOf(const std::string& name) {
  const auto study = FindStudy(name);
  REQUIRE(study.ok());
  const auto plan = plan::ParsePlan((*study)->plan);
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

PreparedStudy Prepare(const std::string& name, const StudyInput& input, const fs::path& out) {
  const auto prepared = (*FindStudy(name))->prepare(input, PlanOf(name), out);
  INFO(prepared.status().ToString());
  REQUIRE(prepared.ok());
  return *prepared;
}

const StudySite& Site(const PreparedStudy& study, const std::string& name) {
  for (const StudySite& site : study.sites) {
    if (site.name == name) return site;
  }
  FAIL("no site " << name);
  std::abort();
}

datasets::CsvTable Table(const StudySite& site, const std::string& name) {
  const auto text = ReadTextFile(site.folder / (name + ".csv"));
  REQUIRE(text.ok());
  const auto table = datasets::ParseCsv(*text);
  REQUIRE(table.ok());
  return *table;
}

std::map<std::string, int> SplitsOf(const datasets::CsvTable& table) {
  std::map<std::string, int> counts;
  for (const auto& row : table.rows) ++counts[row.cells[*table.Column("split")]];
  return counts;
}

TEST_CASE("Every study's plan is a plan, of its own name") {
  for (const Study& study : Studies()) {
    INFO(study.name);
    CHECK(PlanOf(std::string(study.name)).name == study.name);
    CHECK(!study.citations.empty());
  }
  CHECK_THAT(std::string(ToStd(FindStudy("heart").status().message())),
             ContainsText("heart-disease, breast-cancer-survival"));
}

// Expected: NumPy's RandomState(43 and 7), by scikit-learn's procedure, run in Python.
TEST_CASE("A split is scikit-learn's, element by element") {
  std::vector<int> thirds, halves;
  for (int i = 0; i < 30; ++i) thirds.push_back(i % 3 == 0);
  for (int i = 0; i < 20; ++i) halves.push_back(i % 2);
  CHECK(Indices(ScikitTestSplit(30, 0.66, 43, thirds)) ==
        std::vector<std::size_t>{1, 2, 5, 6, 7, 9, 15, 17, 25, 26, 27});
  CHECK(Indices(ScikitTestSplit(20, 0.66, 43, {})) ==
        std::vector<std::size_t>{5, 6, 8, 9, 12, 14, 19});
  CHECK(Indices(ScikitTestSplit(20, 0.65, 7, halves)) ==
        std::vector<std::size_t>{6, 8, 9, 12, 13, 15, 17});
}

TEST_CASE("Folds hold equally many of each stratum, whatever the seed") {
  std::vector<std::string> keys;
  std::vector<int> strata;
  for (int i = 0; i < 60; ++i) {
    keys.push_back(StrCat("p", i));
    strata.push_back(i % 6 == 0);
  }
  for (const std::uint64_t seed : {1, 2, 3}) {
    const auto folds = StratifiedFolds(keys, strata, 5, seed);
    std::map<std::pair<std::uint32_t, int>, int> counts;
    for (std::size_t i = 0; i < keys.size(); ++i) ++counts[{folds[i], strata[i]}];
    for (std::uint32_t fold = 0; fold < 5; ++fold) {
      CHECK(counts[{fold, 0}] == 10);
      CHECK(counts[{fold, 1}] == 2);
    }
  }
  CHECK(StratifiedFolds(keys, strata, 5, 1) != StratifiedFolds(keys, strata, 5, 2));
}

TEST_CASE("Hospitals of heart patients become tables, split anew by each seed") {
  const TemporaryFolder folder;
  WriteHeartFiles(folder / "data");
  const auto one = Prepare("heart-disease", {.data = folder / "data", .seed = 1}, folder / "one");
  const auto two = Prepare("heart-disease", {.data = folder / "data", .seed = 2}, folder / "two");
  REQUIRE(one.sites.size() == 3);
  const auto table = Table(Site(one, "north"), "heart");
  // One row has a missing value, and is left out: 59 rows, of which ceil(0.34 x 59) are tested on.
  CHECK(SplitsOf(table)["test"] == 21);
  CHECK(SplitsOf(table)["train"] + SplitsOf(table)["validation"] == 38);
  CHECK(SplitsOf(table)["validation"] >= 3);
  bool has_empty = false;
  for (const auto& row : table.rows) {
    CHECK(row.cells[*table.Column("chol")] != "0");
    has_empty |= row.cells[*table.Column("chol")].empty();
  }
  CHECK(has_empty);
  const auto text = [](const StudySite& site) { return *ReadTextFile(site.folder / "heart.csv"); };
  CHECK(text(Site(one, "north")) != text(Site(two, "north")));
  const auto again =
      Prepare("heart-disease", {.data = folder / "data", .seed = 1}, folder / "again");
  CHECK(text(Site(one, "north")) == text(Site(again, "north")));
}

TEST_CASE("With a test folder all of the data is trained on, and an unseen hospital only tests") {
  const TemporaryFolder folder;
  WriteHeartFiles(folder / "data");
  WriteHeartFile(folder / "test" / "processed.north.data", 20, 9);
  WriteHeartFile(folder / "test" / "processed.unseen.data", 30, 10);
  const auto study =
      Prepare("heart-disease", {.data = folder / "data", .test = folder / "test"}, folder / "out");
  REQUIRE(study.sites.size() == 4);
  auto north = SplitsOf(Table(Site(study, "north"), "heart"));
  CHECK(north["test"] == 19);
  CHECK(north["train"] + north["validation"] == 59);
  auto south = SplitsOf(Table(Site(study, "south"), "heart"));
  CHECK(south["test"] == 0);
  CHECK(!Site(study, "unseen").trains);
  CHECK(SplitsOf(Table(Site(study, "unseen"), "heart")) ==
        std::map<std::string, int>{{"test", 29}});
}

TEST_CASE("A site can be held out; too few sites, an unknown site and a broken row are refused") {
  const TemporaryFolder folder;
  WriteHeartFiles(folder / "data");
  WriteHeartFile(folder / "data" / "processed.west.data", 60, 4);
  const auto study =
      Prepare("heart-disease", {.data = folder / "data", .held_out = {"west"}}, folder / "out");
  CHECK(!Site(study, "west").trains);
  CHECK(Site(study, "south").trains);

  const auto refused = [&](const StudyInput& input) {
    const auto prepared = PrepareHeartDisease(input, PlanOf("heart-disease"), folder / "refused");
    CHECK(!prepared.ok());
    return std::string(ToStd(prepared.status().message()));
  };
  CHECK_THAT(refused({.data = folder / "data", .held_out = {"mars"}}),
             ContainsText("there are east, north, south, west"));
  CHECK_THAT(refused({.data = folder / "data", .held_out = {"west", "east"}}),
             ContainsText("there are 2 sites to train at, the plan wants 3"));
  REQUIRE(EnsureFolder(folder / "nothing").ok());
  CHECK_THAT(refused({.data = folder / "nothing"}), ContainsText("processed.HOSPITAL.data"));
  REQUIRE(WriteFileDurably(folder / "data" / "processed.bad.data", "1,2,3\n").ok());
  CHECK_THAT(refused({.data = folder / "data"}), ContainsText("3 fields, not 14"));
}

TEST_CASE("A hospital with a handful of patients is tested on, and does not train") {
  const TemporaryFolder folder;
  WriteHeartFiles(folder / "data");
  WriteHeartFile(folder / "data" / "processed.tiny.data", 7, 4);
  const auto study = Prepare("heart-disease", {.data = folder / "data"}, folder / "out");
  CHECK(!Site(study, "tiny").trains);
  REQUIRE(!study.notes.empty());
  CHECK_THAT(study.notes.front(), ContainsText("Site tiny did not train, for it has 3 patients"));
}

TEST_CASE("Patients are dealt to splits in the asked shares, every class everywhere") {
  std::vector<std::string> patients;
  std::vector<int> strata;
  for (int i = 0; i < 100; ++i) {
    patients.push_back(StrCat("p", i));
    strata.push_back(i < 20);
  }
  const auto splits = DealPatients(patients, strata, {.validation = 0.15, .test = 0.25}, 1);
  std::map<std::pair<datasets::Split, int>, int> counts;
  for (std::size_t i = 0; i < splits.size(); ++i) ++counts[{splits[i], strata[i]}];
  CHECK(counts[{datasets::Split::kTest, 1}] == 5);
  CHECK(counts[{datasets::Split::kTest, 0}] == 20);
  CHECK(counts[{datasets::Split::kValidation, 1}] == 3);
  CHECK(counts[{datasets::Split::kTrain, 0}] == 48);
}

TEST_CASE("Seven patients are dealt in the asked shares, too") {
  const std::vector<std::string> seven = {"a", "b", "c", "d", "e", "f", "g"};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto splits =
        DealPatients(seven, std::vector<int>(7), {.validation = 0.15, .test = 0.25}, seed);
    CHECK(std::count(splits.begin(), splits.end(), datasets::Split::kTest) == 2);
    CHECK(std::count(splits.begin(), splits.end(), datasets::Split::kValidation) == 1);
    CHECK(std::count(splits.begin(), splits.end(), datasets::Split::kTrain) == 4);
  }
}

// A set as Hannover published it, drawn: every second patient needed intensive care, most of them
// imaged in bed.
void WriteCovidFiles(const fs::path& folder, int patients) {
  std::string index = "image_id,patient_id,projection,icu_ever\n";
  std::string data =
      "patient_id,image_id,sex,admission_offset,projection,crp_offset,crp_val,ldh_offset,ldh_val,"
      "lymphocytes_offset,lymphocytes_val,pco2_offset,pco2_val,po2_offset,po2_val\n";
  const std::vector<float> pixels(16 * 16, 0.5f);
  REQUIRE(EnsureFolder(folder / "png").ok());
  for (int i = 0; i < patients; ++i) {
    const std::string patient = StrCat("p", i), image = StrCat("i", i);
    const char* projection = i % 10 < 4 ? "ap" : i % 2 == 0 ? "ap" : "pa";
    StrAppend(&index, image, ",", patient, ",", projection, ",", (i + 1) % 2, "\n");
    // A value of the day, a later one, an infinite one, and one of ten days after admission.
    StrAppend(&data, patient, ",", image, ",", i % 3 ? "m" : "f", ",-5,", projection, ",-5.0,",
              10 + i, ",-4.0,200,0,9.9,-5,-inf,,\n");
    StrAppend(&data, patient, ",later-", image, ",f,-15,", projection, ",-14.0,999,-5,300,,,,,,\n");
    REQUIRE(WriteFileDurably(folder / "png" / (image + ".png"), *EncodePng(pixels, 16, 16)).ok());
  }
  REQUIRE(WriteFileDurably(folder / "index.csv", index).ok());
  REQUIRE(WriteFileDurably(folder / "data.csv", data).ok());
}

TEST_CASE("Of COVID-19 patients the table holds what is known at admission, and no projection") {
  const TemporaryFolder folder;
  WriteCovidFiles(folder / "data", 60);
  const auto study = Prepare("covid-prognosis", {.data = folder / "data"}, folder / "out");
  REQUIRE(study.sites.size() == 5);
  int tested = 0, rows = 0, by_projection = 0;
  for (const StudySite& site : study.sites) {
    const auto table = Table(site, "admission");
    const auto splits = SplitsOf(table);
    CHECK(!table.Column("projection"));
    const auto tests = splits.contains("test") ? splits.at("test") : 0;
    if (!site.trains) {
      CHECK(splits.size() == 1);
      by_projection += tests;
      continue;
    }
    tested += tests;
    rows += static_cast<int>(table.rows.size());
    for (const auto& row : table.rows) {
      CHECK(row.cells[*table.Column("crp")] != "999");
      CHECK(row.cells[*table.Column("ldh")] == "200");
      CHECK(row.cells[*table.Column("lymphocytes")].empty());
      CHECK(row.cells[*table.Column("pco2")].empty());
    }
  }
  CHECK(rows == 60);
  CHECK(tested >= 18);
  CHECK(by_projection == tested);
  for (const plan::Column& column : PlanOf("covid-prognosis").table.columns) {
    CHECK(column.name != "projection");
  }
}

TEST_CASE("The rows of FLamby's hospitals that are here are those it trains on") {
  const auto data = datasets::SharedData("tabular/heart_disease_uci");
  if (!data) return;
  const TemporaryFolder folder;
  const auto study = Prepare("heart-disease", {.data = *data}, folder / "out");
  const auto rows = [&](const char* name) { return Table(Site(study, name), "heart").rows.size(); };
  CHECK(rows("cleveland") == 199);
  CHECK(rows("hungarian") == 172);
  CHECK(rows("switzerland") == 30);
  // Of its 303 Cleveland rows (164 without disease, 139 with), FLamby trains on the first three of
  // UCI's file and not on the sixth, which is the fourth without disease.
  std::vector<int> strata(303);
  std::fill(strata.begin() + 164, strata.end(), 1);
  const std::vector<bool> test = ScikitTestSplit(303, 0.66, 43, strata);
  CHECK(Indices({test.begin(), test.begin() + 4}) == std::vector<std::size_t>{3});
}

TEST_CASE("Regions of breast-cancer patients come from their tissue source sites") {
  const auto data = datasets::SharedData("tabular/tcga_brca");
  if (!data) return;
  const TemporaryFolder folder;
  const auto study = Prepare("breast-cancer-survival", {.data = *data}, folder / "out");
  auto northeast = SplitsOf(Table(Site(study, "northeast"), "breast"));
  CHECK(northeast["train"] + northeast["validation"] == 248);
  CHECK(northeast["test"] == 63);
  const auto table = Table(Site(study, "europe"), "breast");
  std::set<std::string> stages;
  for (const auto& row : table.rows) {
    CHECK(std::atof(row.cells[*table.Column("days")].c_str()) > 0);
    stages.insert(row.cells[*table.Column("stage")]);
  }
  CHECK(stages.contains("stage iia"));
}

TEST_CASE("No outcome is among what is read of intensive care, and hospitals are tested on whole") {
  const auto data = datasets::SharedData("tabular/eicu_demo");
  if (!data) return;
  const plan::Plan plan = PlanOf("icu-mortality");
  for (const plan::Column& column : plan.table.columns) {
    CHECK(column.name.find("actual") == std::string::npos);
    CHECK(column.name.find("discharge") == std::string::npos);
    CHECK(column.name != "diedinhospital");
    CHECK(column.name != "var03hspxlos");
  }
  const TemporaryFolder folder;
  std::map<std::string, int> tested;
  std::size_t rows = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto study =
        Prepare("icu-mortality", {.data = *data, .seed = seed}, folder / StrCat("seed-", seed));
    rows = 0;
    for (const StudySite& site : study.sites) {
      const auto table = Table(site, "stays");
      rows += table.rows.size();
      tested[site.name] += SplitsOf(table)["test"];
    }
  }
  CHECK(tested["midwest"] == 718);  // five seeds test on every stay once
  CHECK(tested["northeast"] == 138);
  CHECK(rows == 1721);
}

}  // namespace
}  // namespace consilium::experiments

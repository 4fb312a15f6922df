// A site's tables as the agent sees them: in a folder without any image.

#include "site_agent/catalog_data.h"

#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::site_agent {
namespace {

plan::Plan PlanOf(std::string_view target, std::string_view columns = {}) {
  const auto plan = plan::ParsePlan(StrCat(
      "[plan]\nname = \"p\"\n[data]\nsource = \"table\"\n[model]\narchitecture = \"logistic\"\n"
      "[target]\n",
      target,
      "\n[table]\nname = \"heart\"\n[[table.columns]]\nname = \"age\"\nminimum = 0\nmaximum = "
      "120\n",
      columns));
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

class Hospital {
 public:
  explicit Hospital(std::string_view name)
      : folder_(fs::temp_directory_path() /
                StrCat("consilium-catalog-data-", name, "-", ::getpid())) {
    REQUIRE(EnsureFolder(folder_ / "data").ok());
  }
  ~Hospital() { RemoveTree(folder_).IgnoreError(); }

  void Put(int patients, std::string_view header = "patient_id,age,disease,late") {
    std::string text(header);
    for (int i = 0; i < patients; ++i) {
      StrAppend(&text, "\nP", i, ",", 20 + i % 60, ",", i % 2, ",", i % 3 == 0);
    }
    REQUIRE(WriteFileDurably(folder_ / "data" / "heart.csv", text).ok());
  }
  std::unique_ptr<CatalogData> Index() {
    NoProgress progress;
    auto data = CatalogData::Index(folder_ / "state" / "catalog.db", folder_ / "state" / "cache",
                                   folder_ / "data", {.threads = 1},
                                   datasets::ReadInThisProcess(), progress);
    INFO(data.status().ToString());
    REQUIRE(data.ok());
    return *std::move(data);
  }

 private:
  const fs::path folder_;
};

TEST_CASE("a folder that holds a table alone can be offered, opened and prepared") {
  Hospital hospital("alone");
  hospital.Put(200);
  const auto data = hospital.Index();
  NoProgress progress;
  const plan::Plan plan = PlanOf("name = \"disease\"");
  const auto offer = data->Count(plan);
  INFO(offer.status().ToString());
  REQUIRE(offer.ok());
  CHECK(offer->train.patients > 80);
  CHECK(offer->train.positives > 30);
  CHECK(offer->refused_files == 0);
  std::uint64_t examples = 0;
  for (const auto split :
       {datasets::Split::kTrain, datasets::Split::kValidation, datasets::Split::kTest}) {
    const auto opened = data->Open(plan, split, progress);
    REQUIRE(opened.ok());
    CHECK((*opened)->input_shape().columns == 1);
    examples += (*opened)->size();
  }
  CHECK(examples == 200);
  const auto sums = data->Prepare(plan, progress);
  REQUIRE(sums.ok());
  CHECK(sums->examples == offer->train.examples);
  CHECK(sums->columns.at(0).present == sums->examples);
}

TEST_CASE("a table that changed counts for the next offer") {
  Hospital hospital("changed");
  hospital.Put(50);
  const auto data = hospital.Index();
  const plan::Plan plan = PlanOf("name = \"disease\"");
  const auto before = data->Count(plan);
  hospital.Put(150);
  const auto after = data->Count(plan);
  REQUIRE(before.ok());
  REQUIRE(after.ok());
  CHECK(before->train.patients < after->train.patients);
}

TEST_CASE("plans that see other columns, targets or tasks do not share what was read") {
  Hospital hospital("other");
  hospital.Put(60);
  const auto data = hospital.Index();
  NoProgress progress;
  const auto open = [&](const plan::Plan& plan) {
    auto opened = data->Open(plan, datasets::Split::kTrain, progress);
    REQUIRE(opened.ok());
    return *std::move(opened);
  };
  const auto one = open(PlanOf("name = \"disease\""));
  const auto two = open(
      PlanOf("name = \"disease\"", "[[table.columns]]\nname = \"late\"\nminimum = 0\nmaximum = 1"));
  CHECK(one->input_shape().columns == 1);
  CHECK(two->input_shape().columns == 2);
  const auto labels = open(PlanOf("task = \"multilabel\"\nclasses = [\"disease\", \"late\"]"));
  CHECK(labels->target_elements() == 2);
  const auto other = open(PlanOf("name = \"late\""));
  int differing = 0;
  for (std::size_t i = 0; i < one->size(); ++i) {
    differing += one->GetLabel(i).target != other->GetLabel(i).target;
  }
  CHECK(differing > 0);
}

TEST_CASE("what is wrong with a table is told to who offers it") {
  Hospital hospital("wrong");
  const auto data = hospital.Index();
  NoProgress progress;
  const plan::Plan plan = PlanOf("name = \"disease\"");
  CHECK(Says(data->Count(plan).status(), "there is no table heart.csv here"));
  hospital.Put(20, "patient_id,years,disease,late");
  CHECK(Says(data->Count(plan).status(), "missing: \"age\""));
  CHECK(Says(data->Open(plan, datasets::Split::kTrain, progress).status(), "missing: \"age\""));
  CHECK(Says(data->Prepare(plan, progress).status(), "missing: \"age\""));
  const auto images = plan::ParsePlan(
      "[plan]\nname = \"p\"\n[data]\nmodalities = [\"CT\"]\n[target]\nname = \"t\"\n");
  REQUIRE(images.ok());
  CHECK(Says(data->Prepare(*images, progress).status(), "only plans with numbers in a table are prepared"));
}

}  // namespace
}  // namespace consilium::site_agent

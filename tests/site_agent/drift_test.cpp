// Baselines of what a model met, and what it says of patients who come later.

#include "site_agent/drift.h"

#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "site_agent/drift_command.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::site_agent {
namespace {

NoProgress quiet;

plan::Plan ImagePlan() {
  plan::Plan plan;
  plan.target.name = "opacity";
  plan.preprocessing.image_size = 16;
  return plan;
}

PublishedModel Published() {
  const plan::Plan plan = ImagePlan();
  return {learning::InitialModel(plan).value(), plan, {}, std::nullopt, {}, "2026-03-01T12:00:00Z"};
}

// Images that come one after another, a second apart.
class Archive final : public LocalData {
 public:
  void Take(std::uint64_t first, int patients, double brightness, std::uint64_t seed) {
    SeededRandom random(seed, "archive");
    for (int i = 0; i < patients; ++i) {
      const double of_patient = brightness + 0.1 * random.Normal();
      for (int image = 0; image < 2; ++image) {
        Kept kept{first + static_cast<std::uint64_t>(i), ++now_, {}};
        for (int pixel = 0; pixel < 256; ++pixel) {
          kept.pixels.push_back(static_cast<float>(of_patient + 0.2 * random.Normal()));
        }
        images_.push_back(std::move(kept));
      }
    }
  }
  std::int64_t now() const { return now_; }

  absl::Status SeeImages(const plan::Plan&, std::size_t, const SeeImage& see, Progress&) override {
    for (const Kept& kept : images_) {
      const absl::Status seen = see({kept.patient, kept.came, kept.patient % 2 == 0, kept.pixels});
      if (!seen.ok()) return seen;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<DataOffer> Count(const plan::Plan&) override { return Nothing(); }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan&, Progress&) override {
    return Nothing();
  }
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan&, datasets::Split,
                                                                Progress&) override {
    return Nothing();
  }

 private:
  static absl::Status Nothing() { return absl::UnimplementedError("only images are seen here"); }
  struct Kept {
    std::uint64_t patient;
    std::int64_t came;
    std::vector<float> pixels;
  };
  std::vector<Kept> images_;
  std::int64_t now_ = 0;
};

TEST_CASE("patients like those before are no reason for a round; brighter images are") {
  TemporaryFolder folder;
  const PublishedModel model = Published();
  Archive archive;
  archive.Take(0, 120, 0.5, 1);
  const auto baseline = EnsureBaseline(folder.path(), model, archive, archive.now(), quiet);
  INFO(baseline.status().message());
  REQUIRE(baseline.ok());
  CHECK(baseline->patients.size() == 120);
  CHECK(baseline->features.size() == 4);
  CHECK(baseline->features[0].values.size() == 120);
  CHECK(baseline->features[3].answer);
  CHECK(baseline->features[3].values.size() == 60);  // the patients that were not trained on

  archive.Take(1000, 80, 0.5, 2);
  const auto alike = LookForDrift(*baseline, model, archive, std::nullopt, quiet).value();
  CHECK(alike.new_patients == 80);
  REQUIRE(alike.due);
  CHECK(!*alike.due);
  CHECK_THAT(ToText(alike), ContainsText("No continual round is due"));

  const std::int64_t then = archive.now();
  archive.Take(2000, 80, 0.9, 3);
  const auto brighter = LookForDrift(*baseline, model, archive, then, quiet).value();
  CHECK(brighter.new_patients == 80);
  REQUIRE(brighter.due);
  CHECK(*brighter.due);
  CHECK_THAT(brighter.why, ContainsText("what the model sees has changed"));
  CHECK_THAT(brighter.why, ContainsText("median brightness"));
  CHECK_THAT(ToText(brighter), ContainsText("A continual round is due"));
  const auto json = nlohmann::json::parse(ToJson(brighter));
  CHECK(json["due"] == true);
  CHECK(json["features"][1]["psi"].get<double>() > 0.25);
}

TEST_CASE("a baseline is kept, and read again when the images of it are gone") {
  TemporaryFolder folder;
  const PublishedModel model = Published();
  Archive archive, another;
  archive.Take(0, 40, 0.5, 1);
  const auto made = EnsureBaseline(folder.path(), model, archive, 30, quiet).value();
  CHECK(made.patients.size() == 15);  // two images a second each: those that had begun to come
  CHECK(HasBaseline(folder.path(), model.description.id));
  const auto read = EnsureBaseline(folder.path(), model, another, 99, quiet).value();
  CHECK(read.until == 30);
  CHECK(read.patients == made.patients);
  CHECK(read.features[1].values == made.features[1].values);
}

TEST_CASE("few new patients are told nothing of, and their figures are not shown") {
  TemporaryFolder folder;
  const PublishedModel model = Published();
  Archive archive;
  archive.Take(0, 50, 0.5, 1);
  const auto baseline = EnsureBaseline(folder.path(), model, archive, archive.now(), quiet).value();
  archive.Take(100, 7, 0.9, 2);
  const auto report = LookForDrift(baseline, model, archive, std::nullopt, quiet).value();
  CHECK(!report.due);
  CHECK_THAT(report.why, ContainsText("7 new ones"));
  const auto json = nlohmann::json::parse(ToJson(report));
  CHECK(json["due"].is_null());
  CHECK(!json["features"][0].contains("now"));
}

TEST_CASE("where a baseline ends follows from who trained the model") {
  const PublishedModel model = Published();
  CHECK(BaselineEnd(model, true, 5) == 1'772'366'400);  // 2026-03-01T12:00:00Z
  CHECK(BaselineEnd(model, false, 5) == 5);
}

}  // namespace
}  // namespace consilium::site_agent

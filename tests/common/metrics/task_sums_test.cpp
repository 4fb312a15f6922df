#include "common/metrics/task_sums.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/fixed_point.h"
#include "common/base/random.h"
#include "common/metrics/evaluation_sums.h"
#include "common/metrics/json.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

using nlohmann::json;

const std::vector<TaskShape>& Shapes() {
  static const std::vector<TaskShape> shapes = {{Task::kBinary, 1},     {Task::kMulticlass, 3},
                                                {Task::kMultilabel, 2}, {Task::kSegmentation, 2},
                                                {Task::kSurvival, 1},   {Task::kDetection, 2}};
  return shapes;
}

BinarySums RandomBinary(SeededRandom& random, int count) {
  BinarySums sums;
  for (int i = 0; i < count; ++i) sums.Add(random.Uniform(), random.Chance(0.4));
  sums.patients = static_cast<std::uint64_t>(count);
  return sums;
}

MulticlassSums RandomMulticlass(SeededRandom& random, std::uint32_t classes, int count) {
  MulticlassSums sums(classes);
  for (int i = 0; i < count; ++i) {
    std::vector<float> probabilities(classes, 0.5f / static_cast<float>(classes));
    probabilities[random.Below(classes)] += 0.5f;
    sums.Add(probabilities, static_cast<std::uint32_t>(random.Below(classes)));
  }
  sums.patients = static_cast<std::uint64_t>(count);
  return sums;
}

SegmentationSums RandomSegmentation(SeededRandom& random, std::uint32_t structures, int count) {
  SegmentationSums sums(structures);
  for (int i = 0; i < count; ++i) {
    std::vector<PatientOverlap> patient(structures);
    for (auto& one : patient) {
      one.truth = 500 + random.Below(500);
      one.predicted = 400 + random.Below(600);
      one.intersection = 300 + random.Below(100);
      one.voxel_ml = 0.5;
      one.hd95_mm = 20 * random.Uniform();
    }
    sums.Add(patient, 2);
  }
  return sums;
}

SurvivalSums RandomSurvival(SeededRandom& random, int count) {
  std::vector<Survivor> patients;
  for (int i = 0; i < count; ++i) {
    patients.push_back({3000 * random.Uniform(), random.Chance(0.5), random.Normal()});
  }
  return SurvivalSums::Of(patients);
}

DetectionSums RandomDetection(SeededRandom& random, std::uint32_t kinds, int count) {
  DetectionSums sums(kinds);
  for (int i = 0; i < count; ++i) {
    ImageFindings image;
    for (std::uint32_t kind = 0; kind < kinds; ++kind) {
      const Box box{0, 0, 10, 10};
      image.findings.push_back({box, kind});
      image.boxes.push_back({box, static_cast<float>(random.Uniform(0.2, 1)), kind});
      image.boxes.push_back({{20, 0, 30, 10}, static_cast<float>(random.Uniform(0, 0.9)), kind});
    }
    sums.Add(random(), std::vector{image, image});
  }
  return sums;
}

TaskSums RandomSums(const TaskShape& shape, SeededRandom& random, int count) {
  switch (shape.task) {
    case Task::kBinary:
      break;
    case Task::kMulticlass:
      return RandomMulticlass(random, shape.classes, count);
    case Task::kMultilabel: {
      MultilabelSums sums(shape.classes);
      for (BinarySums& label : sums.labels) label = RandomBinary(random, count);
      sums.patients = static_cast<std::uint64_t>(count);
      return sums;
    }
    case Task::kSegmentation:
      return RandomSegmentation(random, shape.classes, count);
    case Task::kSurvival:
      return RandomSurvival(random, count);
    case Task::kDetection:
      return RandomDetection(random, shape.classes, count);
  }
  return RandomBinary(random, count);
}

TEST_CASE("empty sums have the shape they were asked for, and nothing in them") {
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    const TaskSums sums(shape);
    CHECK(sums.shape() == shape);
    CHECK(sums.task() == shape.task);
    CHECK(sums.Count() == 0);
    CHECK(sums.patients() == 0);
    CHECK(Check(sums, shape).ok());
    CHECK_FALSE(LargeEnoughToShow(sums));
    CHECK(Compute(sums, 0.9).status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(SiteJson(sums, 0.9) == R"({"suppressed":true})");
    CHECK(ToRing(sums) == std::vector<std::uint64_t>(RingSize(shape)));
  }
  CHECK(TaskSums().task() == Task::kBinary);
}

TEST_CASE("sums of another shape than asked for are refused") {
  for (const TaskShape& one : Shapes()) {
    for (const TaskShape& other : Shapes()) {
      CHECK(Check(TaskSums(one), other).ok() == (one == other));
    }
  }
  CHECK(Says(Check(TaskSums({Task::kMulticlass, 4}), {Task::kMulticlass, 3}), "of 4"));
  CHECK_FALSE(Check(TaskShape{Task::kBinary, 2}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kSurvival, 0}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kMulticlass, 1}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kMulticlass, kMostClasses + 1}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kMultilabel, 0}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kSegmentation, kMostStructures + 1}).ok());
  CHECK(Check(TaskShape{Task::kSegmentation, kMostStructures}).ok());
  CHECK_FALSE(Check(TaskShape{Task::kDetection, kMostKinds + 1}).ok());
  CHECK(Check(TaskShape{Task::kDetection, kMostKinds}).ok());
}

TEST_CASE("sums come back from JSON exactly") {
  const std::uint64_t seed = 61;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    const TaskSums sums = RandomSums(shape, random, 80);
    const auto back = TaskSumsFromJson(ToJson(sums));
    INFO(back.status().ToString());
    REQUIRE(back.ok());
    CHECK(*back == sums);
    CHECK(*TaskSumsFromJson(ToJson(TaskSums(shape))) == TaskSums(shape));
  }
}

TEST_CASE("a binary task's JSON is that of its sums and metrics alone") {
  SeededRandom random(62);
  const BinarySums binary = RandomBinary(random, 100);
  const TaskSums sums = binary;
  CHECK(ToJson(sums) == ToJson(binary));
  CHECK(SiteJson(sums, 0.9) == SiteJson(binary, 0.9));
  CHECK(ToJson(*Compute(sums, 0.9), false) == ToJson(*Compute(binary, 0.9), false));
  const std::map<SiteId, TaskSums> tasks = {{SiteId{"a"}, sums}, {SiteId{"b"}, sums}};
  const std::map<SiteId, BinarySums> binaries = {{SiteId{"a"}, binary}, {SiteId{"b"}, binary}};
  CHECK(PooledJson(tasks, 0.9) == PooledJson(binaries, 0.9));
}

TEST_CASE("text that is not sums, or of sums that cannot be, is refused") {
  SeededRandom random(63);
  for (const std::string_view text :
       {"", "{", "[]", "7", "{}", R"({"task":"binary"})", R"({"task":"flying","classes":1})",
        R"({"task":"multiclass","classes":100000})", R"({"task":"multiclass","classes":2})",
        R"({"task":7,"classes":2})", R"({"task":"multilabel","classes":1,"labels":[{}]})"}) {
    CAPTURE(std::string(text));
    CHECK(TaskSumsFromJson(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    json changed = json::parse(ToJson(RandomSums(shape, random, 50)));
    changed["patients"] = 1'000'000;
    CHECK(TaskSumsFromJson(changed.dump()).status().code() == absl::StatusCode::kInvalidArgument);
    changed.erase("patients");
    CHECK(TaskSumsFromJson(changed.dump()).status().code() == absl::StatusCode::kInvalidArgument);
  }
  json far = json::parse(ToJson(RandomSums({Task::kSurvival, 1}, random, 50)));
  far["events"].push_back({1'000'000, 1});
  CHECK_FALSE(TaskSumsFromJson(far.dump()).ok());
}

TEST_CASE("JSON changed anywhere is refused, or is sums that can be") {
  const std::uint64_t seed = 70;
  CAPTURE(seed);
  SeededRandom random(seed);
  constexpr std::string_view kBytes = "0123456789-.e,:[]{}\"n";
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    const std::string text = ToJson(RandomSums(shape, random, 4));
    for (int trial = 0; trial < 300; ++trial) {
      std::string changed = text;
      for (std::uint64_t i = 1 + random.Below(3); i > 0; --i) {
        changed[random.Below(changed.size())] = kBytes[random.Below(kBytes.size())];
      }
      CAPTURE(changed);
      const auto sums = TaskSumsFromJson(changed);
      if (!sums.ok()) continue;
      REQUIRE(Check(*sums, sums->shape()).ok());
      REQUIRE(TaskSumsFromJson(ToJson(*sums)).value() == *sums);
      const auto metrics = Compute(*sums, 0.9);
      if (!metrics.ok()) continue;
      for (const auto& [name, value] : metrics->Values(true)) REQUIRE(std::isfinite(value));
    }
  }
}

TEST_CASE("rings of sums add up to the ring of all, of every task, and come back") {
  const std::uint64_t seed = 64;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    constexpr int kSites = 5;
    std::vector<std::uint64_t> total(EvaluationRingSize(shape)), mask(total.size());
    TaskSums plain(shape);
    for (int site = 0; site < kSites; ++site) {
      const EvaluationSums sums{RandomSums(shape, random, 60), 1, site == 2 ? 1u : 0u};
      plain += sums.sums;
      const auto ring = ToRing(sums);
      REQUIRE(ring.size() == RingSize(shape) + 2);
      for (std::size_t i = 0; i < ring.size(); ++i) {
        // Masks that cancel.
        const std::uint64_t noise = site + 1 < kSites ? random() : ~mask[i] + 1;
        mask[i] += noise;
        total[i] += ring[i] + noise;
      }
    }
    const auto pooled = FromRing(total, shape, kSites);
    INFO(pooled.status().ToString());
    REQUIRE(pooled.ok());
    CHECK(pooled->compared == kSites);
    CHECK(pooled->worse == 1);
    CHECK(pooled->sums.Count() == plain.Count());
    CHECK(pooled->sums.patients() == plain.patients());
    const auto shown = Compute(pooled->sums, 0.9), expected = Compute(plain, 0.9);
    REQUIRE(shown.ok());
    CHECK(shown->headline == Approx(expected->headline).margin(1e-6));
    CHECK(shown->headline_95.low == Approx(expected->headline_95.low).margin(1e-5));
    const auto values = shown->Values(true), same = expected->Values(true);
    REQUIRE(values.size() == same.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(values[i].first == same[i].first);
      CHECK(values[i].second == Approx(same[i].second).margin(1e-5));
    }
    // The same through the plain ring.
    const auto alone = TaskSumsFromRing(ToRing(plain), shape);
    REQUIRE(alone.ok());
    CHECK(ToRing(*alone) == ToRing(plain));
  }
}

TEST_CASE("rings of another length or of impossible sums are refused, of every task") {
  SeededRandom random(65);
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    const EvaluationSums sums{RandomSums(shape, random, 30), 1, 0};
    auto ring = ToRing(sums);
    CHECK(FromRing(ring, shape, 1).ok());
    CHECK_FALSE(FromRing(ring, shape, 0).ok());  // one compared itself, nobody was there
    CHECK_FALSE(FromRing(std::span(ring).first(ring.size() - 1), shape, 1).ok());
    CHECK_FALSE(FromRing(ring, {Task::kMulticlass, 7}, 1).ok());
    CHECK_FALSE(FromRing(ring, {Task::kMulticlass, 0}, 1).ok());
    CHECK_FALSE(TaskSumsFromRing(ring, shape).ok());
    ring[0] = ~std::uint64_t{0};
    CHECK(FromRing(ring, shape, 1).status().code() == absl::StatusCode::kInvalidArgument);
  }
  // Any noise is refused: a wrong mask gives no evaluation.
  for (const TaskShape& shape : Shapes()) {
    std::vector<std::uint64_t> noise(RingSize(shape));
    for (auto& number : noise) number = random();
    CHECK_FALSE(TaskSumsFromRing(noise, shape).ok());
  }
}

TEST_CASE("volumes of thousands of large organs still fit in the ring") {
  SegmentationSums sums;
  for (int i = 0; i < 4000; ++i) {
    PatientOverlap liver;
    liver.truth = liver.predicted = liver.intersection = 9'000'000;
    liver.voxel_ml = 0.001;
    sums.Add(std::vector{liver}, 1);
  }
  const auto back = TaskSumsFromRing(ToRing(TaskSums(sums)), {Task::kSegmentation, 1});
  INFO(back.status().ToString());
  REQUIRE(back.ok());
  CHECK(back->As<SegmentationSums>().structures[0].truth_squared == Approx(4000 * 81e6));
}

TEST_CASE("the smallest and few volumes are not lost in rounding") {
  const std::uint64_t seed = 69;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (int trial = 0; trial < 300; ++trial) {
    CAPTURE(trial);
    const double voxel_ml = std::pow(10.0, -6 + 4 * random.Uniform());
    std::vector<std::uint64_t> total(RingSize({Task::kSegmentation, 1}));
    SegmentationSums plain;
    const std::uint64_t sites = 1 + random.Below(30);
    for (std::uint64_t site = 0; site < sites; ++site) {
      SegmentationSums sums;
      PatientOverlap lesion;
      lesion.truth = lesion.predicted = lesion.intersection = 1 + random.Below(50);
      lesion.voxel_ml = voxel_ml;
      lesion.hd95_mm = 0.001 * random.Uniform();
      sums.Add(std::vector{lesion}, 1);
      plain += sums;
      const auto ring = ToRing(TaskSums(sums));
      for (std::size_t i = 0; i < ring.size(); ++i) total[i] += ring[i];
    }
    const auto pooled = TaskSumsFromRing(total, {Task::kSegmentation, 1});
    INFO(pooled.status().ToString());
    REQUIRE(pooled.ok());
    const auto metrics = Compute(pooled->As<SegmentationSums>());
    REQUIRE(metrics.ok());
    const double exact = plain.structures[0].truth_squared;
    CHECK(pooled->As<SegmentationSums>().structures[0].truth_squared ==
          Approx(exact).margin(3e-6 * static_cast<double>(sites)));
    if (sites > 1) CHECK(std::abs(*metrics->structures[0]->bias_ml) < 1e-5);
  }
}

TEST_CASE("outlines that are all as good have an interval, through the ring, too") {
  std::vector<std::uint64_t> total(RingSize({Task::kSegmentation, 1}));
  for (int site = 0; site < 7; ++site) {
    SegmentationSums sums;
    for (int i = 0; i < 3; ++i) sums.Add(std::vector<PatientOverlap>{{7, 9, 12, 0.001, 2.0}}, 1);
    const auto ring = ToRing(TaskSums(sums));
    for (std::size_t i = 0; i < ring.size(); ++i) total[i] += ring[i];
  }
  const auto pooled = TaskSumsFromRing(total, {Task::kSegmentation, 1});
  REQUIRE(pooled.ok());
  const auto metrics = Compute(*pooled, 0.9);
  REQUIRE(metrics.ok());
  CHECK(metrics->headline == Approx(2.0 / 3));
  CHECK(metrics->headline_95.low < 0.5);
  CHECK(metrics->headline_95.high > 0.8);
  CHECK_FALSE(std::get<SegmentationMetrics>(metrics->all).structures[0]->concordance_correlation);
}

TEST_CASE("the headline comes first in a task's values, by its name, with its interval") {
  const std::uint64_t seed = 66;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const TaskShape& shape : Shapes()) {
    CAPTURE(Name(shape.task));
    const auto metrics = Compute(RandomSums(shape, random, 120), 0.9);
    REQUIRE(metrics.ok());
    CHECK(metrics->shape == shape);
    const std::string name(HeadlineName(shape.task));
    const auto values = metrics->Values(false);
    REQUIRE(values.size() >= 3);
    CHECK(values[0] == std::pair{name, metrics->headline});
    CHECK(values[1] == std::pair{name + "_low", metrics->headline_95.low});
    CHECK(values[2] == std::pair{name + "_high", metrics->headline_95.high});
    CHECK(metrics->headline_95.low < metrics->headline);
    CHECK(metrics->headline_95.high > metrics->headline);
    // Each is in the JSON, and counts only with counts.
    const json shown = json::parse(ToJson(*metrics)), bare = json::parse(ToJson(*metrics, false));
    for (const auto& [key, value] : metrics->Values(true)) {
      CAPTURE(key);
      REQUIRE(shown.contains(key));
      CHECK(shown.at(key).get<double>() == value);
    }
    for (const auto& [key, value] : values) CHECK(bare.contains(key));
    CHECK(shown.contains("patients"));
    for (const char* count :
         {"patients", "examples", "images", "events", "positives", "confusion", "findings"}) {
      CHECK_FALSE(bare.contains(count));
    }
    CHECK(metrics->patients == 120);
    if (shape.task == Task::kBinary) continue;
    CHECK(shown.at("task") == Name(shape.task));
    CHECK(shown.at("patients").is_number_integer());
  }
}

TEST_CASE("an event of a binary run carries the AUROC, and counts where they may be shown") {
  SeededRandom random(67);
  const auto metrics = Compute(TaskSums(RandomBinary(random, 60)), 0.9);
  REQUIRE(metrics.ok());
  std::vector<std::string> names;
  for (const auto& [name, value] : metrics->Values(true)) names.push_back(name);
  CHECK(names == std::vector<std::string>{"auroc", "auroc_low", "auroc_high", "positives",
                                          "negatives", "patients"});
  CHECK(metrics->Values(false).size() == 3);
}

TEST_CASE(
    "details of classes, structures and thirds are in the JSON, without counts where hidden") {
  SeededRandom random(68);
  const auto parsed = [&](const TaskShape& shape, bool with_counts) {
    return json::parse(ToJson(*Compute(RandomSums(shape, random, 120), 0.9), with_counts));
  };
  const json classes = parsed({Task::kMulticlass, 3}, true);
  CHECK(classes.at("classes").size() == 3);
  CHECK(classes.at("confusion").size() == 3);
  CHECK(classes.at("classes")[0].contains("sensitivity"));
  CHECK(classes.contains("quadratic_kappa"));
  CHECK_FALSE(parsed({Task::kMulticlass, 3}, false).at("classes")[0].contains("positives"));
  const json labels = parsed({Task::kMultilabel, 2}, false);
  CHECK(labels.at("labels").size() == 2);
  CHECK_FALSE(labels.at("labels")[1].contains("positives"));
  const json outlines = parsed({Task::kSegmentation, 2}, true);
  CHECK(outlines.at("structures")[1].contains("hd95_mm"));
  CHECK(outlines.at("structures")[1].contains("concordance_correlation"));
  CHECK(outlines.contains("hd95_mm"));
  const json boxes = parsed({Task::kDetection, 2}, true);
  CHECK(boxes.at("kinds").size() == 2);
  CHECK(boxes.at("kinds")[1].at("sensitivities").size() == 7);
  CHECK(boxes.at("kinds")[1].at("froc")[0] == json{0.0, 0.0});
  CHECK(boxes.at("findings") == 480);
  CHECK_FALSE(parsed({Task::kDetection, 2}, false).at("kinds")[0].contains("findings"));
  const json survival = parsed({Task::kSurvival, 1}, true);
  CHECK(survival.at("by_risk").size() == 3);
  CHECK(survival.at("by_risk")[0][0].size() == 3);
  CHECK(survival.contains("integrated_brier"));
  CHECK(parsed({Task::kSurvival, 1}, false).at("by_risk")[0][0].size() == 2);
}

}  // namespace
}  // namespace consilium::metrics

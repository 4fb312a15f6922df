#include "coordinator/researcher/model_card.h"

#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"

using namespace consilium;
using namespace consilium::researcher;

namespace {

constexpr char kPlan[] = R"([plan]
name = "opacity"
description = "Tells <opacity> from none."
[target]
name = "opacity"
[data]
modalities = ["DX"]
)";

std::string Record(const std::string& test) {
  return StrCat(R"({"model": "aa11", "plan": "opacity", "plan_sha256": ")",
                crypto::Sha256(AsBytes(std::string(kPlan))).Hex(),
                R"(", "federation": "rhine", "run": "opacity-0001", "round": 4, "parent": null,
  "parameters": 97521, "created": "2026-11-23T09:00:00Z", "sites": ["north", "south", "east"],
  "gate": ["pooled AUROC 0.910 is at least 0.700"], "privacy": "none", "signing_key": "bb",
  "coordinator_version": "0.4.0", "secure": {"threshold": 3, "survivors": ["a", "b", "c"]},
  "participation": [{"round": 1, "counted": ["north", "south"], "lost": {"east": "was away"},
                     "evaluated": ["north"]}],
  "test": )",
                test, "}");
}

constexpr char kTest[] = R"({"auroc": 0.9104, "auroc_low": 0.871, "auroc_high": 0.94,
  "positives": 120, "negatives": 130, "patients": 240, "sites": 3, "brier": 0.11,
  "calibration": [[0.1, 0.08, 50], [0.8, 0.77, 60]]})";

}  // namespace

TEST_CASE("A model's card tells the result with its interval, who took part, and what is unknown") {
  const auto card = ModelCard(Record(kTest), std::string(kPlan), {});
  REQUIRE(card.ok());
  const std::string markdown = card->Markdown(), html = card->Html();
  CHECK_THAT(markdown, ContainsText("0.910 (0.871 to 0.940)"));
  CHECK_THAT(markdown, ContainsText("| 1 | north, south | east: was away | north |"));
  CHECK_THAT(markdown, ContainsText("No site has given its own results away"));
  CHECK_THAT(markdown, ContainsText("no results by group"));
  CHECK_THAT(html, ContainsText("sums over 3 sites (threshold 3)"));
  // The plan's own words are text, never markup.
  CHECK_THAT(html, ContainsText("Tells &lt;opacity&gt; from none."));
  CHECK_THAT(html, ContainsText("<svg"));
}

TEST_CASE("Places that took no part are shown as external, and the worst group by name") {
  const std::vector<SiteResult> results = {
      {"north", R"({"model": "aa11", "metrics": {"auroc": 0.93, "patients": 80},
                    "groups": [{"group": "sex", "value": "F", "metrics": {"auroc": 0.95}},
                               {"group": "age", "value": "80 and more", "metrics": {"auroc": 0.81}},
                               {"group": "sex", "value": "O", "metrics": {"suppressed": true}}]})"},
      {"lakeside", R"({"model": "aa11", "metrics": {"suppressed": true}})"}};
  const auto card = ModelCard(Record(kTest), std::nullopt, results);
  REQUIRE(card.ok());
  const std::string markdown = card->Markdown();
  CHECK_THAT(markdown, ContainsText("| north | trained | 0.930 | 80 |"));
  CHECK_THAT(markdown, ContainsText("| lakeside | external | too few to show | - |"));
  CHECK_THAT(markdown, ContainsText("Worst of these: age 80 and more at north, 0.810."));
  CHECK_THAT(markdown, ContainsText("| north | sex | O | too few to show | - |"));
}

TEST_CASE(
    "What a place says of itself fills the card: external, against another, of use, its scores") {
  const std::vector<SiteResult> results = {
      {"lakeside", R"({"model": "aa11", "task": "binary",
        "published": {"federation": "rhine", "run": "opacity-0001", "trained_here": false},
        "metrics": {"auroc": 0.88, "auroc_low": 0.85, "auroc_high": 0.91, "patients": 210},
        "headline": {"low": 0.84, "high": 0.92, "by_patient": true},
        "decision_curves": [{"of": "opacity", "points": [[0.1, 0.4, 0.39], [0.5, 0.2, -0.3]]}],
        "groups": [{"group": "sex", "value": "F", "low": 0.8, "high": 0.93, "by_patient": true,
                    "metrics": {"auroc": 0.87, "auroc_low": 0.82, "auroc_high": 0.91,
                                "patients": 100}}],
        "scores": [{"of": "opacity", "quantiles": [0.01, 0.1, 0.3, 0.6, 0.97]}],
        "comparison": {"against": "cc22", "model": 0.88, "other": 0.85, "difference": 0.03,
                       "low": 0.01, "high": 0.05, "p": 0.004, "test": "bootstrap by patient"}})"},
      // Named as a site that trained, and says itself that it did not.
      {"north", R"({"model": "aa11", "published": {"trained_here": false},
                    "metrics": {"auroc": 0.9, "patients": 50}})"}};
  const auto card = ModelCard(Record(kTest), std::nullopt, results);
  REQUIRE(card.ok());
  const std::string markdown = card->Markdown();
  CHECK_THAT(markdown, ContainsText("## External validation"));
  CHECK_THAT(markdown, ContainsText("lakeside: AUROC 0.880 (0.840 to 0.920) on 210 patients, "
                                    "-0.030 against the sites that trained it."));
  CHECK_THAT(markdown, ContainsText("| north | external | 0.900 | 50 |"));
  CHECK_THAT(markdown, ContainsText("| lakeside | sex | F | 0.870 (0.800 to 0.930) | 100 |"));
  CHECK_THAT(markdown, ContainsText("| lakeside | cc22 | 0.880 | 0.850 | +0.030 (+0.010 to +0.050) "
                                    "| 0.004 | bootstrap by patient |"));
  CHECK_THAT(markdown, ContainsText("Decision curve of opacity, lakeside"));
  CHECK_THAT(markdown,
             ContainsText("| lakeside | opacity | 0.010 | 0.100 | 0.300 | 0.600 | 0.970 |"));
  CHECK_THAT(markdown, !ContainsText("no results by group"));
  CHECK_THAT(markdown, !ContainsText("none has validated it"));
}

TEST_CASE("A record that says its task gives that task's headline, whatever else it holds") {
  std::string record = Record(R"({"auroc": 0.9, "dice": 0.81, "patients": 40})");
  CHECK_THAT(ModelCard(record, std::nullopt, {})->Markdown(), ContainsText("AUROC on all test"));
  record.insert(1, R"("task": "segmentation", )");
  CHECK_THAT(ModelCard(record, std::nullopt, {})->Markdown(), ContainsText("Dice on all test"));
}

TEST_CASE("A card of other tasks shows their measures, a row for each structure") {
  const auto card =
      ModelCard(Record(R"({"dice": 0.87, "dice_low": 0.85, "dice_high": 0.9, "patients": 40,
                 "structures": [{"dice": 0.9, "hd95_mm": 3.25}, null]})"),
                std::nullopt, {});
  REQUIRE(card.ok());
  CHECK_THAT(card->Markdown(), ContainsText("| Dice | 0.870 (0.850 to 0.900) |"));
  CHECK_THAT(card->Markdown(), ContainsText("| 1 | 0.900 | 3.250 |"));
  CHECK_THAT(card->Markdown(), ContainsText("| 2 | - | - |"));
}

TEST_CASE("A card refuses another plan, results of another model, and what is no record") {
  CHECK(
      absl::IsInvalidArgument(ModelCard(Record(kTest), StrCat(kPlan, "# changed\n"), {}).status()));
  CHECK(absl::IsInvalidArgument(
      ModelCard(Record(kTest), std::nullopt, {{"north", R"({"model": "cc", "metrics": {}})"}})
          .status()));
  CHECK(absl::IsInvalidArgument(
      ModelCard(Record(kTest), std::nullopt, {{"north", "nonsense"}}).status()));
  CHECK(absl::IsInvalidArgument(ModelCard("[]", std::nullopt, {}).status()));
}

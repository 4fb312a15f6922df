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
  CHECK_THAT(markdown, ContainsText("| north | sex | O | too few to show |"));
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

#include "coordinator/researcher/model_card.h"

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"
#include "coordinator/researcher/card_measures.h"
#include "coordinator/researcher/card_places.h"
#include "coordinator/researcher/card_plots.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;
using report::Document;

std::string Joined(const json& list) {
  std::vector<std::string> items;
  if (list.is_array()) {
    for (const json& item : list) {
      items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    }
  }
  return items.empty() ? "none" : absl::StrJoin(items, ", ");
}

std::string TextOf(const json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return "none";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// ---- the sections

void AddPurpose(const json& record, const std::optional<plan::Plan>& plan, Document* card) {
  card->Heading("What it is for");
  if (plan) {
    if (!plan->description.empty()) card->Paragraph(plan->description);
    card->Code(plan::Describe(*plan));
  } else {
    card->Paragraph(StrCat("It was trained by the plan ", TextOf(record, "plan"),
                           ", whose text is not at hand here (--plan)."));
  }
  card->Paragraph(
      "A research model. It is no medical device, was not examined as one, and must not decide "
      "about a patient. Data of other kinds, machines or patients than those described below "
      "are outside of what is known of it.");
}

void AddPerformance(const CardMetrics& test, const std::vector<std::string>& classes,
                    Document* card) {
  card->Heading("How well it does, all sites together");
  if (test.suppressed) {
    card->Paragraph("The sites' test sets together are too small to show a result.");
    return;
  }
  card->Paragraph(
      "On the test patients of all sites, whom no training and no choice between models has seen; "
      "intervals are of 95 %.");
  card->Table({"measure", "value"}, MeasureRows(test.numbers));
  AddParts(test, classes, card);
  std::vector<report::LinePlot> plots;
  if (auto plot = Roc(test, "all sites")) plots.push_back(*std::move(plot));
  if (auto plot = Calibration(test, "all sites")) plots.push_back(*std::move(plot));
  if (!plots.empty()) card->Plots(plots);
}

void AddMaking(const json& record, Document* card) {
  card->Heading("Who made it, and how");
  std::vector<std::pair<std::string, std::string>> terms = {
      {"task", TextOf(record, "task")},
      {"federation", TextOf(record, "federation")},
      {"sites", Joined(record.value("sites", json::array()))},
      {"plan", StrCat(TextOf(record, "plan"), ", SHA-256 ", TextOf(record, "plan_sha256"))},
      {"run, round", StrCat(TextOf(record, "run"), ", ", TextOf(record, "round"))},
      {"trained from", TextOf(record, "parent")},
      {"parameters", TextOf(record, "parameters")},
      {"published", TextOf(record, "created")},
      {"release gate", Joined(record.value("gate", json::array()))},
  };
  const auto secure = record.find("secure");
  if (secure != record.end() && secure->is_object()) {
    terms.push_back(
        {"protection",
         StrCat("secure aggregation: the coordinator saw sums over ",
                secure->value("survivors", json::array()).size(), " sites (threshold ",
                secure->value("threshold", json(0)).dump(), "), and no site's own update")});
  } else {
    terms.push_back({"protection", "updates were sealed to the coordinator, which saw each"});
  }
  terms.push_back({"privacy noise", TextOf(record, "privacy")});
  card->Terms(terms);

  std::vector<std::vector<std::string>> rounds;
  const json participation = record.value("participation", json::array());
  for (const json& round : participation) {
    std::vector<std::string> lost;
    const json absent = round.value("lost", json::object());
    for (const auto& [site, why] : absent.items()) {
      lost.push_back(StrCat(site, ": ", why.is_string() ? why.get<std::string>() : why.dump()));
    }
    rounds.push_back({round.value("round", json(0)).dump(),
                      Joined(round.value("counted", json::array())),
                      lost.empty() ? "none" : absl::StrJoin(lost, "; "),
                      Joined(round.value("evaluated", json::array()))});
  }
  if (rounds.empty()) return;
  card->Heading("Who took part in which round");
  card->Table({"round", "counted", "lost", "evaluated"}, rounds);
}

void AddLimits(const CardMetrics& test, const PlacesFound& found, Document* card) {
  card->Heading("What is not known");
  std::vector<std::string> limits;
  if (test.suppressed) limits.push_back("How good it is: too few test patients.");
  if (!found.any) limits.push_back("How much the sites differ.");
  if (!found.groups) {
    limits.push_back("Whether it does worse for one sex, age or machine: no results by group.");
  }
  limits.push_back(found.external
                       ? "How it does at a place that has never seen it, beyond those above."
                       : "How it does at a place that took no part: none has validated it.");
  if (!found.comparison) limits.push_back("Whether it is better than another model.");
  limits.push_back("Whether the sites' labels are right.");
  limits.push_back("Whether anyone is better off for its use: that is a trial's question.");
  card->List(limits);
}

}  // namespace

absl::StatusOr<Document> ModelCard(std::string_view record_json,
                                   const std::optional<std::string>& plan_toml,
                                   const std::vector<SiteResult>& results) {
  const json record = json::parse(record_json, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("model")) {
    return absl::InvalidArgumentError("this is no model's record");
  }
  const std::string model = TextOf(record, "model");
  std::optional<plan::Plan> plan;
  if (plan_toml) {
    const std::string hash = crypto::Sha256(AsBytes(*plan_toml)).Hex();
    if (hash != TextOf(record, "plan_sha256")) {
      return absl::InvalidArgumentError(StrCat(
          "the plan's SHA-256 is ", hash.substr(0, 12), "..., the record names ",
          TextOf(record, "plan_sha256").substr(0, 12), "...: give the plan as it was submitted"));
    }
    ASSIGN_OR_RETURN(plan, plan::ParsePlan(*plan_toml));
  }
  CardModel made{.id = model,
                 .task = record.value("task", std::string()),
                 .test = ParseMetrics(record.value("test", json::object()).dump()),
                 .trained = {}};
  const json sites = record.value("sites", json::array());
  for (const json& site : sites) {
    if (site.is_string()) made.trained.insert(site.get<std::string>());
  }
  Document card(StrCat("Model card: ", TextOf(record, "plan")),
                StrCat("model ", model.substr(0, 12), " of ", TextOf(record, "federation"),
                       ", published ", TextOf(record, "created")));
  std::vector<std::pair<std::string, std::string>> tiles;
  if (const std::string key = made.test.HeadlineKey(made.task);
      !made.test.suppressed && !key.empty()) {
    tiles.push_back(
        {made.test.numbers.at(key).Text(),
         StrCat(WordsOf(key), " on all test patients: ", made.test.Headline(made.task))});
  }
  tiles.push_back({StrCat(made.trained.size()), "sites trained it"});
  if (made.test.numbers.contains("patients")) {
    tiles.push_back({made.test.Patients(), "test patients"});
  }
  card.Tiles(tiles);
  AddPurpose(record, plan, &card);
  AddPerformance(made.test, plan ? plan->target.classes : std::vector<std::string>(), &card);
  ASSIGN_OR_RETURN(const PlacesFound found, AddPlaces(made, results, &card));
  AddMaking(record, &card);
  AddLimits(made.test, found, &card);
  card.Heading("Proof");
  card.Terms({{"model", model},
              {"signed by", TextOf(record, "signing_key")},
              {"coordinator", TextOf(record, "coordinator_version")}});
  card.Code(StrCat("consilium model verify MODEL.safetensors   # SHA-256 ", model));
  return card;
}

}  // namespace consilium::researcher

#include "coordinator/researcher/card_places.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "coordinator/researcher/card_measures.h"
#include "coordinator/researcher/card_plots.h"

namespace consilium::researcher {
namespace {

using report::Document;

// A site says itself whether it took part; results of before it did are known by their name.
bool Trained(const PlaceResult& place, const CardModel& model) {
  return place.trained_here.value_or(model.trained.contains(place.name));
}

absl::StatusOr<std::vector<PlaceResult>> Read(const CardModel& model,
                                              const std::vector<SiteResult>& results) {
  std::vector<PlaceResult> places;
  for (const SiteResult& result : results) {
    ASSIGN_OR_RETURN(PlaceResult place, ParseResult(result.name, result.json));
    if (place.model != model.id) {
      return absl::InvalidArgumentError(StrCat("the results of ", result.name, " are of model ",
                                               place.model.substr(0, 12), ", not of ",
                                               model.id.substr(0, 12)));
    }
    if (place.task.empty()) place.task = model.task;
    places.push_back(std::move(place));
  }
  return places;
}

// With the interval by patient where a site gives it: images of one patient are alike.
std::string ResultText(const CardMetrics& metrics, const std::optional<Range>& by_patient,
                       const std::string& task) {
  const std::string key = metrics.HeadlineKey(task);
  if (metrics.suppressed || key.empty() || !by_patient) return metrics.Headline(task);
  return absl::StrFormat("%s (%.3f to %.3f)", metrics.numbers.at(key).Text(), by_patient->low,
                         by_patient->high);
}

std::string ResultText(const PlaceResult& place) {
  return ResultText(place.metrics, place.headline, place.task);
}

void AddTable(const CardModel& model, const std::vector<PlaceResult>& places, Document* card) {
  std::vector<std::vector<std::string>> rows;
  std::vector<report::LinePlot> plots;
  for (const PlaceResult& place : places) {
    rows.push_back({place.name, Trained(place, model) ? "trained" : "external", ResultText(place),
                    place.metrics.Patients()});
    if (place.metrics.suppressed) continue;
    if (auto plot = Calibration(place.metrics, place.name)) plots.push_back(*std::move(plot));
  }
  const std::string measure(WordsOf(model.test.HeadlineKey(model.task)));
  card->Table({"place", "", measure, "patients"}, rows);
  card->Note(
      "\"trained\": a site whose training patients the model was made of; these are its test "
      "patients. \"external\": a place that took no part, which is the harder test.");
  if (!plots.empty()) card->Plots(plots);
}

bool AddExternal(const CardModel& model, const std::vector<PlaceResult>& places, Document* card) {
  std::vector<std::string> items;
  for (const PlaceResult& place : places) {
    const std::string key = place.metrics.HeadlineKey(place.task);
    if (Trained(place, model) || place.metrics.suppressed || key.empty()) continue;
    std::string item = StrCat(place.name, ": ", WordsOf(key), " ", ResultText(place), " on ",
                              place.metrics.Patients(), " patients");
    if (const auto pooled = model.test.numbers.find(key);
        pooled != model.test.numbers.end() && !model.test.suppressed) {
      const double difference = place.metrics.numbers.at(key).value - pooled->second.value;
      StrAppend(&item, absl::StrFormat(", %+.3f against the sites that trained it", difference));
    }
    items.push_back(item + ".");
  }
  if (items.empty()) return false;
  card->Heading("External validation");
  card->Paragraph("At places that took no part in making it, none of whose patients it has seen:");
  card->List(items);
  return true;
}

bool AddGroups(const std::vector<PlaceResult>& places, Document* card) {
  struct Worst {
    std::string name, text;
    std::string_view measure;
    double headline = 0;
  };
  std::vector<std::vector<std::string>> rows;
  std::optional<Worst> worst;
  for (const PlaceResult& place : places) {
    for (const PlaceResult::Group& group : place.groups) {
      const std::string key = group.metrics.HeadlineKey(place.task);
      const std::string text = ResultText(group.metrics, group.headline, place.task);
      rows.push_back({place.name, group.group, group.value, text, group.metrics.Patients()});
      if (group.metrics.suppressed || key.empty()) continue;
      const double headline = group.metrics.numbers.at(key).value;
      if (worst && worst->headline <= headline) continue;
      worst = Worst{StrCat(group.group, " ", group.value, " at ", place.name), text, WordsOf(key),
                    headline};
    }
  }
  if (rows.empty()) return false;
  card->Heading("Groups of patients");
  card->Table({"at", "group", "", std::string(worst ? worst->measure : "result"), "patients"},
              rows);
  if (worst) card->Paragraph(StrCat("Worst of these: ", worst->name, ", ", worst->text, "."));
  card->Note(
      "Groups that are too small are not shown, with others so that nothing can be subtracted. The "
      "worst of many groups is worse than its true figure more often than not.");
  return true;
}

bool AddComparisons(const std::vector<PlaceResult>& places, Document* card) {
  std::vector<std::vector<std::string>> rows;
  for (const PlaceResult& place : places) {
    if (!place.comparison) continue;
    const auto number = [&](const char* key, bool sign) {
      const auto found = place.comparison->numbers.find(key);
      if (found == place.comparison->numbers.end()) return std::string("-");
      return sign ? absl::StrFormat("%+.3f", found->second.value)
                  : absl::StrFormat("%.3f", found->second.value);
    };
    rows.push_back({place.name, place.comparison->against.substr(0, 12), number("model", false),
                    number("other", false),
                    StrCat(number("difference", true), " (", number("low", true), " to ",
                           number("high", true), ")"),
                    number("p", false), place.comparison->test});
  }
  if (rows.empty()) return false;
  card->Heading("Against another model");
  card->Paragraph(
      "Both on the same patients, at one place at a time. Above 0, this model is the better one.");
  card->Table({"at", "other model", "this", "other", "difference", "p", "test"}, rows);
  return true;
}

void AddUsefulness(const std::vector<PlaceResult>& places, Document* card) {
  std::vector<report::LinePlot> plots;
  for (const PlaceResult& place : places) {
    for (const PlaceResult::Curve& curve : place.curves) {
      if (auto plot = DecisionCurve(curve, place.name)) plots.push_back(*std::move(plot));
    }
  }
  if (plots.empty()) return;
  card->Heading("Is acting on it of use?");
  card->Plots(plots);
}

// What later patients are held against (consilium-site drift).
void AddScores(const std::vector<PlaceResult>& places, Document* card) {
  std::vector<std::vector<std::string>> rows;
  for (const PlaceResult& place : places) {
    for (const PlaceResult::Score& score : place.scores) {
      std::vector<std::string> row = {place.name, score.of};
      for (const Number& quantile : score.quantiles) row.push_back(quantile.Text());
      if (row.size() == 7) rows.push_back(std::move(row));
    }
  }
  if (rows.empty()) return;
  card->Heading("Drift baseline");
  card->Paragraph(
      "What the model said of these patients. Where it says something else of later ones, a "
      "continual round is due; each site looks with consilium-site drift.");
  card->Table({"at", "answer", "5 %", "25 %", "median", "75 %", "95 %"}, rows);
}

}  // namespace

absl::StatusOr<PlacesFound> AddPlaces(const CardModel& model,
                                      const std::vector<SiteResult>& results, Document* card) {
  card->Heading("Place by place");
  if (results.empty()) {
    card->Paragraph(
        "No site has given its own results away. With secure aggregation the coordinator knows "
        "only their sum; each site may print its own (consilium-site evaluate --json).");
    return PlacesFound();
  }
  ASSIGN_OR_RETURN(const std::vector<PlaceResult> places, Read(model, results));
  AddTable(model, places, card);
  PlacesFound found;
  found.any = true;
  found.external = AddExternal(model, places, card);
  found.groups = AddGroups(places, card);
  found.comparison = AddComparisons(places, card);
  AddUsefulness(places, card);
  AddScores(places, card);
  return found;
}

}  // namespace consilium::researcher

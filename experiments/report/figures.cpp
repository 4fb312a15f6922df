#include "experiments/report/figures.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace consilium::report {
namespace {

using experiments::ModelKind;
using experiments::Part;
using experiments::Results;
using experiments::RoundHistory;
using experiments::RunHistory;
using experiments::SiteInfo;
using experiments::SiteRound;
using experiments::TestedModel;
using experiments::TestResult;
using metrics::BinaryMetrics;

constexpr int kAllSites = 0;  // colour

Series SiteSeries(const std::vector<SiteInfo>& sites, std::size_t index) {
  const int number = static_cast<int>(index);
  return {.name = sites[index].name,
          .colour = 1 + number % (kSeriesColours - 1),
          .dashed = number >= kSeriesColours - 1,
          .markers = true};
}

const SiteRound* Find(const RoundHistory& round, const std::string& site) {
  const auto found = round.sites.find(site);
  return found == round.sites.end() ? nullptr : &found->second;
}

// One series for all sites together and one a site, each made from a test result by `points`.
template <class Points>
std::vector<Series> PerTestSet(const TestedModel& model, const std::vector<SiteInfo>& sites,
                               const Points& points) {
  std::vector<Series> all;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    Series series = SiteSeries(sites, i);
    const auto found = model.by_site.find(sites[i].name);
    if (found == model.by_site.end() || !found->second || !found->second->binary) continue;
    points(*found->second->binary, series);
    all.push_back(std::move(series));
  }
  if (model.pooled && model.pooled->binary) {
    Series series{.name = "all sites", .colour = kAllSites, .emphasized = true, .markers = true};
    points(*model.pooled->binary, series);
    all.push_back(std::move(series));
  }
  return all;
}

}  // namespace

LinePlot ValidationCurve(const RunHistory& history, const std::vector<SiteInfo>& sites, Task task) {
  const std::string headline(HeadlineTitle(task));
  LinePlot plot{
      .title = StrCat("Validation ", headline, " by round"),
      .description =
          "Area under the ROC curve of each round's model on the validation patients, per site "
          "and for all sites together with its 95 % interval.",
      .x = {.label = "round", .whole_numbers = true},
      .y = {.label = headline}};
  Band band{.colour = kAllSites};
  Series pooled{.name = "all sites", .colour = kAllSites, .emphasized = true, .markers = true};
  for (const RoundHistory& round : history.rounds) {
    if (!round.pooled_validation) continue;
    const auto& [value, low, high] = *round.pooled_validation;
    pooled.points.push_back({double(round.round), value});
    band.edges.push_back({double(round.round), low, high});
  }
  for (std::size_t i = 0; i < sites.size(); ++i) {
    Series series = SiteSeries(sites, i);
    for (const RoundHistory& round : history.rounds) {
      const SiteRound* site = Find(round, sites[i].name);
      if (site != nullptr && site->validation) {
        series.points.push_back({double(round.round), *site->validation});
      }
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  plot.series.push_back(std::move(pooled));
  plot.bands.push_back(std::move(band));
  return plot;
}

LinePlot LossCurve(const RunHistory& history, const std::vector<SiteInfo>& sites) {
  LinePlot plot{
      .title = "Training loss by round",
      .description =
          "Mean training loss of each site's last local epoch in each round, and their mean "
          "weighted as the updates are.",
      .x = {.label = "round", .whole_numbers = true},
      .y = {.label = "loss"}};
  Series mean{.name = "mean", .colour = kAllSites, .emphasized = true, .markers = true};
  for (std::size_t i = 0; i < sites.size(); ++i) {
    Series series = SiteSeries(sites, i);
    for (const RoundHistory& round : history.rounds) {
      const SiteRound* site = Find(round, sites[i].name);
      if (site != nullptr && site->fate == SiteRound::Fate::kCounted && site->loss) {
        series.points.push_back({double(round.round), *site->loss});
      }
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  for (const RoundHistory& round : history.rounds) {
    if (const auto loss = round.MeanLoss()) mean.points.push_back({double(round.round), *loss});
  }
  plot.series.push_back(std::move(mean));
  return plot;
}

LinePlot RocCurves(const TestedModel& model, const std::vector<SiteInfo>& sites) {
  LinePlot plot{
      .title = "ROC curves of the federated model",
      .description = "True positive rate against false positive rate on each site's test patients.",
      .x = {"false positive rate (1 − specificity)", 0, 1},
      .y = {"true positive rate (sensitivity)", 0, 1},
      .height = 400};
  plot.series = PerTestSet(model, sites, [](const BinaryMetrics& m, Series& series) {
    StrAppend(&series.name, absl::StrFormat(" %.3f", m.auroc));
    series.markers = false;
    for (const auto& point : m.roc)
      series.points.push_back({point.false_positive_rate, point.true_positive_rate});
  });
  plot.series.insert(
      plot.series.begin(),
      {.name = "chance", .points = {{0, 0}, {1, 1}}, .colour = kReferenceColour, .dashed = true});
  return plot;
}

LinePlot CalibrationCurve(const TestedModel& model, const std::vector<SiteInfo>& sites) {
  LinePlot plot{
      .title = "Calibration of the federated model",
      .description =
          "Observed share of positives against the mean predicted probability, in ten bins; bins "
          "with fewer than 10 examples are left out.",
      .x = {"mean predicted probability", 0, 1},
      .y = {"observed share of positives", 0, 1},
      .height = 400};
  plot.series = PerTestSet(model, sites, [](const BinaryMetrics& m, Series& series) {
    for (const auto& point : m.calibration)
      series.points.push_back({point.mean_score, point.observed});
  });
  std::erase_if(plot.series, [](const Series& series) { return series.points.empty(); });
  plot.series.insert(
      plot.series.begin(),
      {.name = "perfect", .points = {{0, 0}, {1, 1}}, .colour = kReferenceColour, .dashed = true});
  return plot;
}

HeatMap ValidationMatrix(const Results& results) {
  const std::string headline(HeadlineTitle(experiments::TaskOf(results)));
  HeatMap map{.title = "Validation matrix",
              .description = StrCat(headline, " of every model on every site's test patients."),
              .row_label = "model",
              .column_label = "test patients of"};
  for (const SiteInfo& site : results.sites) map.column_names.push_back(site.name);
  map.rule_before_column = static_cast<int>(map.column_names.size());
  map.column_names.push_back("all sites");
  const auto add = [&](const TestedModel& model, const std::string& column,
                       const TestResult* result) {
    HeatMap::Cell cell{.text = "–", .hover = StrCat(model.Name(), " on ", column, ": not tested")};
    if (result != nullptr && !*result) {
      cell.hover = StrCat(model.Name(), " on ", column, ": fewer than 10 of a class, not shown");
    } else if (result != nullptr) {
      const experiments::TestFigures& m = **result;
      cell = {m.headline, absl::StrFormat("%.3f", m.headline),
              absl::StrFormat("%s on %s: %s %.3f (95 %% %.3f to %.3f)", model.Name(), column,
                              headline, m.headline, m.headline_95.low, m.headline_95.high)};
    }
    map.cells.back().push_back(std::move(cell));
  };
  for (const ModelKind kind : {ModelKind::kLocal, ModelKind::kFederated, ModelKind::kPooled}) {
    if (kind == ModelKind::kFederated) map.rule_before_row = static_cast<int>(map.row_names.size());
    for (const TestedModel& model : results.models) {
      if (model.kind != kind) continue;
      map.row_names.push_back(model.Name());
      map.cells.emplace_back();
      for (const SiteInfo& site : results.sites) {
        const auto found = model.by_site.find(site.name);
        add(model, site.name, found == model.by_site.end() ? nullptr : &found->second);
      }
      add(model, "all sites", &model.pooled);
    }
  }
  return map;
}

StackedBars RoundTimes(const RunHistory& history) {
  StackedBars bars{.title = "Time of each round",
                   .description = "Seconds for training and upload, aggregation and evaluation.",
                   .value_label = "seconds",
                   .part_names = {"training and upload", "aggregation", "evaluation"}};
  for (const RoundHistory& round : history.rounds) {
    bars.rows.push_back(
        {StrCat("round ", round.round),
         {round.training_seconds, round.aggregation_seconds, round.evaluation_seconds}});
  }
  return bars;
}

StackedBars PartTimes(const std::vector<Part>& parts) {
  StackedBars bars{.title = "Time of the experiment's parts",
                   .description = "Seconds for each part of the experiment, one after another.",
                   .value_label = "seconds",
                   .part_names = {"part"}};
  for (const Part& part : parts) bars.rows.push_back({part.name, {part.seconds}});
  return bars;
}

}  // namespace consilium::report

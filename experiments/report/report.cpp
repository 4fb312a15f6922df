#include "experiments/report/report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/report/page_style.h"
#include "common/report/plot.h"
#include "experiments/comparison.h"
#include "experiments/report/figures.h"
#include "experiments/run_history.h"

namespace consilium::report {
namespace {

using experiments::Comparison;
using experiments::ExampleImage;
using experiments::Results;
using experiments::RoundHistory;
using experiments::RunHistory;
using experiments::SiteInfo;
using experiments::SiteRound;
using experiments::TestedModel;

std::string Paragraph(std::string_view text, std::string_view css = "") {
  return StrCat("<p", css.empty() ? "" : StrCat(" class=\"", css, "\""), ">", EscapeMarkup(text),
                "</p>\n");
}

std::string Heading(std::string_view text) { return StrCat("<h2>", EscapeMarkup(text), "</h2>\n"); }

template <class Plot>
std::string Figure(const Plot& plot, std::string_view caption, std::string_view css = "") {
  std::string legend;
  if constexpr (requires { LegendOf(plot); }) legend = LegendOf(plot);
  return StrCat("<figure class=\"", css, "\"><h3>", EscapeMarkup(plot.title), "</h3>\n", legend,
                Draw(plot), "<figcaption>", EscapeMarkup(caption), "</figcaption></figure>\n");
}

std::string Table(const std::vector<std::string>& header,
                  const std::vector<std::vector<std::string>>& rows, std::size_t totals_from) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& cell : header) StrAppend(&html, "<th>", EscapeMarkup(cell), "</th>");
  html += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    html += i >= totals_from ? "<tr class=\"total\">" : "<tr>";
    for (const std::string& cell : rows[i]) StrAppend(&html, "<td>", EscapeMarkup(cell), "</td>");
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string Tile(std::string_view value, std::string_view words, std::string_view css = "") {
  return StrCat("<div class=\"tile\"><b class=\"", css, "\">", EscapeMarkup(value), "</b><span>",
                EscapeMarkup(words), "</span></div>\n");
}

std::string Head(const Results& results, const RunHistory& history) {
  std::string html = StrCat("<h1>", EscapeMarkup(results.title), "</h1>\n");
  html += Paragraph(StrCat("Run ", results.run, " of plan ", results.plan_name, " · ",
                           results.sites.size(), " sites · ", history.rounds.size(), " rounds · ",
                           ToRfc3339(results.created), " · consilium ", results.program_version),
                    "quiet");
  return html;
}

std::string Tiles(const Results& results) {
  const Comparison c = experiments::Compare(results);
  std::string html = "<div class=\"tiles\">\n";
  if (c.federated != nullptr && c.federated->pooled) {
    const experiments::TestFigures& m = *c.federated->pooled;
    html += Tile(absl::StrFormat("%.3f", m.headline),
                 absl::StrFormat(
                     "%s of the federated model, all test patients (95 %% interval %.3f to %.3f)",
                     HeadlineTitle(m.task), m.headline_95.low, m.headline_95.high));
  }
  if (c.over_best_local) {
    html += Tile(absl::StrFormat("%+.3f", *c.over_best_local),
                 StrCat("against the best model one site trained alone (", c.best_local->site, ")"),
                 *c.over_best_local > 0 ? "good" : "bad");
  }
  if (c.below_pooled_data) {
    html += Tile(absl::StrFormat("%+.3f", -*c.below_pooled_data),
                 "against a model trained on all images in one place");
  }
  html += Tile(results.published ? "published" : "not published",
               results.published
                   ? (results.verified ? "signed, and the signature was verified" : "signed")
                   : "the release gate did not let it through",
               results.published ? "good" : "bad");
  return html + "</div>\n";
}

std::string HeadlineInWords(const Results& results) {
  switch (experiments::TaskOf(results)) {
    case Task::kSegmentation:
      return "Dice with its 95 % interval: how far the outlines overlap with those that people "
             "drew, mean over patients. 0 is not at all, 1 is perfect.";
    case Task::kDetection:
      return "Average precision with its 95 % interval: the mean precision over all recalls of the "
             "boxes that overlap a true finding by half or more. 0 is none right, 1 is perfect.";
    case Task::kSurvival:
      return "Concordance with its 95 % interval: the probability that of two patients of a site "
             "the one who lived longer was given the lower risk. 0.5 is guessing, 1 is perfect.";
    case Task::kMulticlass:
    case Task::kMultilabel:
      return "AUROC with its 95 % interval, mean over the classes, each against the rest. 0.5 is "
             "guessing, 1 is perfect.";
    case Task::kBinary:
      break;
  }
  return "AUROC with its 95 % interval: the probability that an image with " + results.target +
         " gets a higher score than one without. 0.5 is guessing, 1 is perfect.";
}

std::string ResultSection(const Results& results) {
  const experiments::ResultTable table = experiments::TableOf(results);
  std::string html = Heading("Results on the test patients");
  html += Paragraph(
      HeadlineInWords(results) + " No test patient was used for training or for choosing a model.",
      "note");
  html += Table(table.header, table.rows, results.sites.size());
  if (results.baseline_epochs > 0) {
    html += Paragraph(
        StrCat("The sites' own models and the pooled-data model were trained for ",
               results.baseline_epochs,
               " epochs, as many as the federated model's rounds times its local epochs. The row "
               "\"all "
               "sites\" gives, for the sites' own models, the best of them on all test patients."),
        "note");
  }
  return html;
}

std::string BinaryMeasures(const Results& results, const TestedModel& federated) {
  std::vector<std::vector<std::string>> rows;
  double at_specificity = 0;
  const auto add = [&](const std::string& name, const experiments::TestResult& result) {
    if (!result || !result->binary) {
      rows.push_back({name, "too few to show", "", "", "", "", "", ""});
      return;
    }
    const metrics::BinaryMetrics& m = *result->binary;
    at_specificity = m.at_specificity;
    rows.push_back({name, StrCat(m.positives), StrCat(m.negatives),
                    absl::StrFormat("%.3f", m.auprc), absl::StrFormat("%.3f", m.sensitivity),
                    absl::StrFormat("%.3f", m.accuracy), absl::StrFormat("%.3f", m.brier),
                    absl::StrFormat("± %.5f", m.auroc_error_bound)});
  };
  for (const SiteInfo& site : results.sites) {
    const auto found = federated.by_site.find(site.name);
    if (found != federated.by_site.end()) add(site.name, found->second);
  }
  add("all sites", federated.pooled);
  std::string html = Heading("More measures of the federated model");
  html += Table({"test set", "with " + results.target, "without", "AUPRC",
                 absl::StrFormat("sensitivity at %.0f %% specificity", 100 * at_specificity),
                 "accuracy at 0.5", "Brier score", "AUROC error of binning"},
                rows, rows.size() - 1);
  return html + Paragraph(
                    "Only sums leave a site, never a score of one image. The last column bounds "
                    "how far the AUROC "
                    "from those sums can lie from the exact one.",
                    "note");
}

// Of another task: a row a measure, a column a test set.
std::string OtherMeasures(const Results& results, const TestedModel& federated) {
  std::vector<std::string> header = {"measure"};
  std::vector<const experiments::TestFigures*> figures;
  const auto add = [&](const std::string& name, const experiments::TestResult& result) {
    if (!result) return;
    header.push_back(name);
    figures.push_back(&*result);
  };
  for (const SiteInfo& site : results.sites) {
    const auto found = federated.by_site.find(site.name);
    if (found != federated.by_site.end()) add(site.name, found->second);
  }
  add("all sites", federated.pooled);
  if (figures.empty()) return "";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : figures.back()->values) {
    rows.push_back({key});
    for (const experiments::TestFigures* figure : figures) {
      const auto found = figure->values.find(key);
      rows.back().push_back(found == figure->values.end() ? "–"
                                                          : absl::StrFormat("%.6g", found->second));
    }
  }
  return Heading("All measures of the federated model") + Table(header, rows, rows.size());
}

std::string MeasuresSection(const Results& results, const TestedModel& federated) {
  return experiments::TaskOf(results) == Task::kBinary ? BinaryMeasures(results, federated)
                                                       : OtherMeasures(results, federated);
}

std::string FigureSection(const Results& results, const RunHistory& history,
                          const TestedModel* federated) {
  std::string html = Heading("Learning") + "<div class=\"figures\">\n";
  html += Figure(
      ValidationCurve(history, results.sites, experiments::TaskOf(results)),
      "On the validation patients. The shaded band is the 95 % interval for all sites together.");
  html += Figure(LossCurve(history, results.sites),
                 "Mean loss of the last local epoch, before the updates are averaged.");
  html += "</div>\n";
  if (federated == nullptr) return html;
  html += Heading("The final model") + "<div class=\"figures\">\n";
  const Task task = experiments::TaskOf(results);
  if (task == Task::kBinary) {
    html += Figure(RocCurves(*federated, results.sites),
                   "On the test patients. The legend gives the AUROC.");
    html += Figure(CalibrationCurve(*federated, results.sites),
                   "On the diagonal, a probability of 0.7 means that 7 of 10 such images are "
                   "positive. Bins with fewer than "
                   "10 images are left out.");
  }
  html += Figure(ValidationMatrix(results),
                 StrCat("Each model on each site's test patients (", HeadlineTitle(task),
                        "). The diagonal of the upper part "
                        "is each hospital's own "
                        "model at home; beside it, the same model at the other hospitals."),
                 "wide");
  return html + "</div>\n";
}

std::string Cell(const SiteRound& site) {
  switch (site.fate) {
    case SiteRound::Fate::kCounted:
      if (!site.train_seconds) return absl::StrFormat("masked, %.2f s", site.upload_seconds);
      return absl::StrFormat("%.1f s + %.2f s", *site.train_seconds, site.upload_seconds);
    case SiteRound::Fate::kLost:
      return "lost: " + site.lost_reason;
    case SiteRound::Fate::kNotInvited:
      return "joined later";
    case SiteRound::Fate::kInvited:
      return "invited, nothing received";
  }
  return "";
}

std::string RefusedFiles(const SiteInfo& site, const RunHistory& history) {
  const auto found = history.participation.find(site.name);
  const bool why = found != history.participation.end() && !found->second.refusals.empty();
  return why ? StrCat(site.refused_files, ": ", found->second.refusals)
             : StrCat(site.refused_files);
}

std::string RoundsOf(const SiteInfo& site, const RunHistory& history) {
  const auto found = history.participation.find(site.name);
  if (found == history.participation.end()) return "–";
  const experiments::SiteParticipation& p = found->second;
  return StrCat(p.asked, " / ", p.trained, " / ", p.uploaded, " / ", p.counted);
}

std::string ParticipationSection(const Results& results, const RunHistory& history) {
  std::vector<std::string> header = {"round"};
  for (const SiteInfo& site : results.sites) header.push_back(site.name);
  header.push_back(StrCat(HeadlineTitle(experiments::TaskOf(results)), ", validation"));
  std::vector<std::vector<std::string>> rows;
  for (const RoundHistory& round : history.rounds) {
    rows.push_back({round.attempts > 1 ? StrCat(round.round, " (", round.attempts, " attempts)")
                                       : StrCat(round.round)});
    for (const SiteInfo& site : results.sites) {
      const auto found = round.sites.find(site.name);
      rows.back().push_back(found == round.sites.end() ? "–" : Cell(found->second));
    }
    rows.back().push_back(
        round.pooled_validation
            ? absl::StrFormat("%.3f%s", round.pooled_validation->value, round.best ? " ★" : "")
            : "–");
  }
  std::string html = Heading("Who took part, and how long it took");
  std::vector<std::vector<std::string>> sites;
  for (const SiteInfo& site : results.sites) {
    const auto declined = history.declined.find(site.name);
    sites.push_back({site.name, site.description,
                     declined == history.declined.end()
                         ? StrCat(site.train_patients, " patients, ", site.train_examples,
                                  " images for training")
                         : "declined: " + declined->second,
                     RefusedFiles(site, history), RoundsOf(site, history)});
  }
  html += Table(
      {"site", "images", "in this run", "files refused", "rounds asked / trained / sent / counted"},
      sites, sites.size());
  html += Paragraph(experiments::ProtectionInWords(history));
  html += Table(header, rows, rows.size());
  html += Paragraph(
      "A counted contribution shows the seconds of training (unless it is masked) and of sending; "
      "any other says why it was not counted. ★ is the best round so far. The run stopped "
      "because: " +
          (history.stop_reason.empty() ? "unknown" : history.stop_reason) + ".",
      "note");
  html += "<div class=\"figures\">\n";
  html += Figure(RoundTimes(history),
                 "From the opening of a round to the result on the validation patients.");
  html += Figure(PartTimes(results.parts), "The whole experiment, one part after another.");
  return html + "</div>\n";
}

std::string ExampleSection(const Results& results) {
  std::string html = Heading("Example images");
  if (results.examples.empty()) return html + Paragraph(results.examples_note, "note");
  html +=
      Paragraph("As the network sees them, after preprocessing. " + results.examples_note, "note");
  html += "<div class=\"images\">\n";
  for (const SiteInfo& site : results.sites) {
    std::string images;
    for (const ExampleImage& example : results.examples) {
      if (example.site != site.name) continue;
      const std::string words = StrCat(example.target == 1 ? "with " : "without ", results.target);
      StrAppend(&images, "<div><img alt=\"",
                EscapeMarkup(StrCat("Image of ", site.name, " ", words)),
                "\" src=\"data:image/png;base64,", EscapeMarkup(example.png_base64), "\">",
                EscapeMarkup(words), "</div>");
    }
    if (images.empty()) continue;
    StrAppend(&html, "<figure><figcaption><b>", EscapeMarkup(site.name), "</b></figcaption>",
              images, "</figure>\n");
  }
  return html + "</div>\n";
}

std::string Definition(std::string_view term, std::string_view text, bool code = false) {
  return StrCat("<dt>", EscapeMarkup(term), "</dt><dd>", code ? "<code>" : "", EscapeMarkup(text),
                code ? "</code>" : "", "</dd>\n");
}

std::string ReleaseSection(const Results& results, const RunHistory& history) {
  std::string html = Heading("Release");
  html +=
      Paragraph(history.gate_decided ? (history.gate_passed ? "The release gate passed the model:"
                                                            : "The release gate refused the model:")
                                     : "The run ended before the release gate was reached.");
  if (!history.gate_text.empty()) {
    html += "<ul class=\"gate\">\n";
    std::string_view text = history.gate_text;
    while (!text.empty()) {  // conditions stand one a line, or separated by "; "
      const std::size_t end = std::min(text.find('\n'), text.find("; "));
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) StrAppend(&html, "<li>", EscapeMarkup(line), "</li>\n");
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + (text[end] == ';' ? 2 : 1));
    }
    html += "</ul>\n";
  }
  html += "<dl>\n" + Definition("Outcome", history.outcome);
  if (!results.model_id.empty()) html += Definition("Model (SHA-256)", results.model_id, true);
  if (!results.model_path.empty()) html += Definition("File", results.model_path, true);
  if (!results.verify_command.empty())
    html += Definition("To verify it", results.verify_command, true);
  return html + "</dl>\n";
}

}  // namespace

std::string RenderReport(const Results& results) {
  const RunHistory history = experiments::ReadHistory(results.events);
  const TestedModel* federated = experiments::Compare(results).federated;
  std::string html = StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src "
      "'unsafe-inline'\">\n<title>",
      EscapeMarkup(results.title), "</title>\n<style>", kPageStyle,
      "</style></head>\n<body><main>\n");
  html += Head(results, history) + Tiles(results);
  for (const std::string& sentence : experiments::Verdict(results)) html += Paragraph(sentence);
  html += ResultSection(results);
  html += FigureSection(results, history, federated);
  if (federated != nullptr) html += MeasuresSection(results, *federated);
  html += ParticipationSection(results, history);
  html += ExampleSection(results);
  html += ReleaseSection(results, history);
  html += Heading("The plan");
  if (!results.plan_description.empty()) html += Paragraph(results.plan_description);
  StrAppend(&html, "<pre>", EscapeMarkup(results.plan_toml), "</pre>\n");
  return html + "</main></body></html>\n";
}

}  // namespace consilium::report

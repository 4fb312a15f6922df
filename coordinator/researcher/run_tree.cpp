#include "coordinator/researcher/run_tree.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace consilium::researcher {
namespace {

using wire::RunEvent;
using wire::RunEventKind;

constexpr int kLabelWidth = 20;

double Value(const RunEvent& event, const std::string& key) {
  const auto found = event.values.find(key);
  return found == event.values.end() ? 0 : found->second;
}

bool Has(const RunEvent& event, const std::string& key) { return event.values.contains(key); }

std::string Whole(double number) { return absl::StrFormat("%.0f", number); }

// "1.2 of 44.7 MB of the model travel"
std::string Travelling(const RunEvent& event) {
  const auto megabytes = [&](const char* key) { return 4e-6 * Value(event, key); };
  return absl::StrFormat("%.*f of %.1f MB of the model travel",
                         megabytes("travelling") < 0.1 ? 3 : 1, megabytes("travelling"),
                         megabytes("parameters"));
}

std::string SecondsText(double s) { return ToReadable(FromSeconds(s)); }

std::string Sites(double n) { return n == 1 ? "1 site" : Whole(n) + " sites"; }

// What sites and plans say is shown on a terminal: it ends no line and moves no cursor (control
// characters of ASCII, and those of U+0080 to U+009F in UTF-8).
std::string OnOneLine(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto before = static_cast<unsigned char>(i == 0 ? 0 : text[i - 1]);
    if (byte < 0x20 || byte == 0x7f) text[i] = ' ';
    if (before == 0xc2 && byte >= 0x80 && byte <= 0x9f) text[i - 1] = text[i] = ' ';
  }
  return text;
}

}  // namespace

std::string MetricText(const std::map<std::string, double>& values) {
  const auto get = [&](const char* key) {
    const auto found = values.find(key);
    return found == values.end() ? 0.0 : found->second;
  };
  if (get("suppressed") != 0) return "too few patients of a class to show (fewer than 10)";
  for (const Task task : {Task::kSegmentation, Task::kSurvival, Task::kDetection}) {
    const std::string key(HeadlineName(task));
    if (!values.contains(key)) continue;
    std::string text = absl::StrFormat("%s %.3f", ForAbsl(HeadlineTitle(task)), get(key.c_str()));
    if (values.contains(key + "_low")) {
      text += absl::StrFormat(" (%.3f to %.3f)", get((key + "_low").c_str()),
                              get((key + "_high").c_str()));
    }
    if (values.contains("patients")) text += absl::StrFormat("  %.0f patients", get("patients"));
    if (values.contains("events")) text += absl::StrFormat(", %.0f events", get("events"));
    return text;
  }
  if (!values.contains("auroc")) return "no AUROC: one class only";
  std::string text = absl::StrFormat("AUROC %.3f", get("auroc"));
  if (values.contains("auroc_low")) {
    text += absl::StrFormat(" (%.3f to %.3f)", get("auroc_low"), get("auroc_high"));
  }
  if (values.contains("accuracy") && !values.contains("positives")) {
    text += absl::StrFormat("  accuracy %.3f", get("accuracy"));
  }
  if (values.contains("positives")) {
    text += absl::StrFormat("  %.0f positive, %.0f negative", get("positives"), get("negatives"));
  }
  return text;
}

std::string RunTree::Line(const RunEvent& event, std::string_view label, std::string_view text,
                          bool last) {
  const bool inside = (round_open_ && event.round == open_round_) || final_open_;
  std::string line(inside ? "│  " : "");
  StrAppend(&line, last ? "└─ " : "├─ ", label);
  if (!text.empty()) {
    // Both depths line their text up.
    const int indent = inside ? kLabelWidth : kLabelWidth + 3;
    const int padding = std::max<int>(2, indent - static_cast<int>(label.size()));
    StrAppend(&line, std::string(padding, ' '), text);
  }
  return line + "\n";
}

std::string RunTree::CloseRound(const RunEvent& event) {
  if (!round_open_) return "";
  std::string parts;
  const auto part = [&](std::string_view name, Time from, Time to) {
    if (from == Time{} || to < from) return;
    StrAppend(&parts, parts.empty() ? "" : ", ", name, " ", ToReadable(to - from));
  };
  part("training and upload", opened_, last_update_);
  part("aggregation", last_update_, aggregated_);
  part("evaluation", aggregated_, event.time);
  const std::string text =
      Line(event, StrCat("took ", ToReadable(event.time - opened_)), parts, /*last=*/true);
  round_open_ = false;
  work_.clear();
  return text;
}

std::string RunTree::SecureStep(const RunEvent& event) {
  const double did = Value(event, "sites"), asked = Value(event, "asked"),
               threshold = Value(event, "threshold"), survivors = Value(event, "survivors"),
               recovered = Value(event, "recovered");
  const bool evaluation = Value(event, "evaluation") != 0;
  const std::string count = StrCat(Whole(did), " of ", Sites(asked));
  if (event.text == "unmask") {
    const bool first = opened_sums_++ == 0;
    fewest_survivors_ = first ? survivors : std::min(fewest_survivors_, survivors);
    lowest_threshold_ = first ? threshold : std::min(lowest_threshold_, threshold);
    recovered_ += recovered;
    const std::string lost = recovered > 0 ? StrCat("; the masks of ", Sites(recovered),
                                                    " lost on the way were taken out")
                                           : std::string();
    describes_ = Has(event, "description");
    if (evaluation) {
      const bool of_results = !Has(event, "description") && !Has(event, "preparation");
      return Line(event, of_results ? "evaluated" : "opened",
                  StrCat("by ", Sites(survivors), "; only their sum was opened", lost));
    }
    return Line(event, "unmasked",
                StrCat("the sum of ", Whole(survivors), " updates, nobody's own", lost));
  }
  if (evaluation) return "";
  if (event.text == "advertise") {
    return Line(event, "keys advertised",
                StrCat(count, " (", Whole(threshold), " must stay to the end)"));
  }
  if (event.text == "share") return Line(event, "keys shared", count);
  if (event.text == "agree") return Line(event, "agreed", count + " signed who delivered");
  return "";  // "upload": each site's line said so
}

std::string RunTree::Protection(const RunEvent& event) {
  if (opened_sums_ == 0) return "";
  return Line(
      event, "protection",
      StrCat("the coordinator saw ", Whole(opened_sums_),
             opened_sums_ == 1 ? " sum, over " : " sums, each over ", Whole(fewest_survivors_),
             " sites or more (threshold ", Whole(lowest_threshold_), "), and nobody's own ",
             describes_ ? "counts" : "update, loss or results",
             recovered_ > 0
                 ? StrCat("; ", Whole(recovered_),
                          recovered_ == 1 ? " dropout was recovered" : " dropouts were recovered")
                 : std::string()));
}

std::string RunTree::On(const RunEvent& as_it_came) {
  RunEvent event = as_it_came;
  event.text = OnOneLine(std::move(event.text));
  const std::string& site = event.site.value;
  switch (event.kind) {
    case RunEventKind::kSubmitted:
      started_ = event.time;
      return StrCat("plan ", event.text, "\n");
    case RunEventKind::kSiteInvited:
    case RunEventKind::kTaskSent:
    case RunEventKind::kSiteConnected:
      return "";
    case RunEventKind::kSiteAccepted: {
      if (!Has(event, "patients")) return Line(event, site + " accepted", "");
      std::string text = StrCat(Whole(Value(event, "patients")), " patients, ",
                                Whole(Value(event, "examples")), " images for training");
      if (Value(event, "refused_files") > 0) {
        StrAppend(&text, ", ", Whole(Value(event, "refused_files")), " files refused",
                  event.text.empty() ? "" : ": ", event.text);
      }
      return Line(event, site + " accepted", text);
    }
    case RunEventKind::kSiteDeclined:
      return Line(event, site + " declined", event.text);
    case RunEventKind::kSiteDisconnected:
      work_.erase(event.site);
      return Line(event, site, "connection lost");
    case RunEventKind::kWaiting:
      return Line(event, "waiting", event.text);
    case RunEventKind::kRestarted:
      return Line(event, "restarted",
                  event.text.empty() ? "the coordinator came back and goes on" : event.text);
    case RunEventKind::kRoundOpened: {
      std::string text;
      if (event.round == 0) {
        return Line(event, "first model", "made at one site from the plan's seed");
      }
      if (!round_open_ || event.round != open_round_) {
        round_open_ = false;
        text = Line(event, StrCat("round ", event.round),
                    StrCat(Sites(Value(event, "sites")),
                           Has(event, "parameters")
                               ? StrCat(", ", Whole(Value(event, "parameters")), " parameters")
                               : std::string(),
                           Has(event, "travelling") ? StrCat(", ", Travelling(event)) : ""));
        opened_ = event.time;
        last_update_ = aggregated_ = Time{};
      } else {
        text = Line(event, StrCat("attempt ", event.attempt), Sites(Value(event, "sites")));
      }
      round_open_ = true;
      open_round_ = event.round;
      return text;
    }
    case RunEventKind::kProgress:
      work_[event.site] = {event.text, Value(event, "done"), Value(event, "total"),
                           Value(event, "loss")};
      return "";
    case RunEventKind::kTrained: {
      const double patients = Value(event, "patients");
      const std::string on = StrCat(Whole(patients), patients == 1 ? " patient, " : " patients, ",
                                    Whole(Value(event, "examples")), " images");
      return Line(event, site + " trained",
                  Value(event, "before") != 0
                      ? StrCat(on, "; kept from before, nothing was trained again")
                      : StrCat(on, " in ", SecondsText(Value(event, "seconds"))));
    }
    case RunEventKind::kUpdateReceived:
      work_.erase(event.site);
      last_update_ = event.time;
      if (event.round == 0) return "";
      if (!Has(event, "loss")) {
        return Line(
            event, site,
            absl::StrFormat("sent %.1f MB masked in %s  weight %.0f", Value(event, "bytes") / 1e6,
                            SecondsText(Value(event, "upload_seconds")), Value(event, "weight")));
      }
      return Line(event, site,
                  absl::StrFormat("trained %s  loss %.3f  weight %.0f  sent %.1f MB in %s",
                                  SecondsText(Value(event, "train_seconds")), Value(event, "loss"),
                                  Value(event, "weight"), Value(event, "bytes") / 1e6,
                                  SecondsText(Value(event, "upload_seconds"))));
    case RunEventKind::kContributionLost:
      work_.erase(event.site);
      return Line(event, site + " lost", event.text);
    case RunEventKind::kAggregated:
      aggregated_ = event.time;
      work_.clear();
      return Line(event, "aggregated",
                  absl::StrFormat(
                      "%.0f contribution%s in %s -> %s%s", Value(event, "contributions"),
                      Value(event, "contributions") == 1 ? "" : "s",
                      SecondsText(Value(event, "seconds")), event.text.substr(0, 12),
                      Has(event, "loss") ? absl::StrFormat("  mean loss %.3f", Value(event, "loss"))
                                         : std::string()));
    case RunEventKind::kSiteEvaluated:
      return Line(event, site, MetricText(event.values));
    case RunEventKind::kRoundEvaluated: {
      std::string text = MetricText(event.values);
      if (Value(event, "best") != 0) text += "  best so far";
      if (!event.text.empty()) StrAppend(&text, "  ", event.text);
      if (final_open_) {
        text = Line(event, "all sites", text, /*last=*/true);
        final_open_ = false;
        return text;
      }
      text = Line(event, "all sites", text);
      return text + CloseRound(event);
    }
    case RunEventKind::kDescribed:
      return Line(event, "described",
                  Has(event, "images") ? StrCat(Whole(Value(event, "images")), " images of ",
                                                Whole(Value(event, "patients")), " patients")
                                       : std::string("too few patients to show anything"));
    case RunEventKind::kPrepared:
      return Line(event, "prepared",
                  StrCat(Whole(Value(event, "columns")), " columns brought to one scale, that of ",
                         Whole(Value(event, "sites")), " sites together"));
    case RunEventKind::kSecureStep:
      return SecureStep(event);
    case RunEventKind::kRoundFailed:
      return Line(event, "attempt failed", event.text);
    case RunEventKind::kStopping: {
      std::string text = CloseRound(event);
      return text + Line(event, "stopping", event.text);
    }
    case RunEventKind::kFinalEvaluation: {
      const std::string text = Line(event, "final evaluation",
                                    StrCat(event.text.substr(0, 12), " on every site's test set"));
      final_open_ = true;
      return text;
    }
    case RunEventKind::kGatePassed:
    case RunEventKind::kGateFailed: {
      final_open_ = false;
      return Line(event, event.kind == RunEventKind::kGatePassed ? "gate passed" : "gate refused",
                  event.text);
    }
    case RunEventKind::kPublished:
      return Line(event, "published", event.text);
    case RunEventKind::kEnded: {
      std::string text = CloseRound(event);
      final_open_ = false;
      const double seconds =
          Has(event, "seconds") ? Value(event, "seconds") : Seconds(event.time - started_);
      text += Protection(event);
      return text + Line(event, "ended", StrCat(event.text, " after ", SecondsText(seconds)),
                         /*last=*/true);
    }
  }
  return "";
}

std::string RunTree::StatusLine() const {
  std::string line;
  for (const auto& [site, work] : work_) {
    StrAppend(&line, line.empty() ? "" : "   ", site.value, ": ", work.step);
    if (work.total > 0) StrAppend(&line, absl::StrFormat(" %.0f%%", 100 * work.done / work.total));
    if (work.loss > 0) StrAppend(&line, absl::StrFormat(" loss %.3f", work.loss));
  }
  return line;
}

}  // namespace consilium::researcher

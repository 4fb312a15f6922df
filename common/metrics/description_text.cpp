// A shown description for a terminal.

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/base/text_table.h"
#include "common/metrics/shown_description.h"

namespace consilium::metrics {
namespace {

constexpr int kBarCells = 24;

// "█████▍": eighths of a cell.
std::string Bar(double share) {
  static constexpr std::string_view kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarCells * 8 + 0.5);
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  return bar.append(kEighths[eighths % 8]);
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

void AddTable(const ShownTable& table, const ShownDescription& shown, bool with_bars,
              std::string* text) {
  std::vector<std::string> header = {table.title, "patients", "images", "share"};
  if (with_bars) header.emplace_back("");
  TextTable lines(header);
  bool any = false;
  for (const ShownRow& row : table.rows) {
    if (!row.suppressed && row.counts.images == 0) continue;  // nobody: not worth a line
    any = true;
    std::vector<std::string> cells = {row.name};
    if (row.suppressed) {
      cells.insert(cells.end(), {"*", "*", "-"});
    } else {
      const double share = static_cast<double>(row.counts.images) /
                           std::max<double>(1, static_cast<double>(shown.total.counts.images));
      cells.insert(cells.end(),
                   {StrCat(row.counts.patients), StrCat(row.counts.images), Percent(share)});
      if (with_bars) cells.push_back(Bar(share));
    }
    cells.resize(header.size());
    lines.AddRow(std::move(cells));
  }
  if (any) StrAppend(text, "\n", lines.ToString());
}

void AddRefused(const ShownDescription& shown, std::string* text) {
  TextTable lines({"Refused files", "files"});
  bool any = false;
  for (const ShownRow& row : shown.refused.rows) {
    if (!row.suppressed && row.counts.images == 0) continue;
    any = true;
    lines.AddRow({row.name, row.suppressed ? "*" : StrCat(row.counts.images)});
  }
  if (any) StrAppend(text, "\n", lines.ToString());
}

// One character a bin: how much of the brightest bin it has.
std::string Sparkline(const std::vector<double>& shares) {
  static constexpr std::string_view kLevels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double most = *std::max_element(shares.begin(), shares.end());
  std::string line;
  for (const double share : shares) {
    line += kLevels[most > 0 ? static_cast<int>(share / most * 8 + 0.5) : 0];
  }
  return line;
}

// The value below which this much of the picture lies, to a bin.
double Quantile(const ShownHistogram& h, double part) {
  double sum = 0;
  for (std::size_t bin = 0; bin < h.shares.size(); ++bin) {
    sum += h.shares[bin];
    if (sum >= part) return h.low + (h.high - h.low) * (bin + 0.5) / h.shares.size();
  }
  return h.high;
}

void AddHistograms(const ShownDescription& shown, bool with_bars, std::string* text) {
  if (shown.histograms.empty()) return;
  TextTable lines({"Intensity", "images", "5 %", "median", "95 %", "scale"});
  for (const ShownHistogram& h : shown.histograms) {
    const auto value = [&](double part) {
      return absl::StrFormat(h.high > 1 ? "%.0f" : "%.2f", Quantile(h, part));
    };
    lines.AddRow({h.modality, StrCat(h.images), value(0.05), value(0.5), value(0.95), h.unit});
  }
  StrAppend(text, "\n", lines.ToString());
  if (!with_bars) return;
  for (const ShownHistogram& h : shown.histograms) {
    absl::StrAppendFormat(text, "%-3s |%s|\n", h.modality, Sparkline(h.shares));
  }
}

}  // namespace

std::string ToText(const ShownDescription& shown, bool with_bars) {
  if (shown.total.suppressed) {
    return StrCat("fewer than ", shown.smallest, " patients together: nothing is shown\n");
  }
  const RowCounts& total = shown.total.counts;
  std::string text = StrCat(total.images, " images of ", total.patients, " patients");
  if (!shown.target.empty()) StrAppend(&text, "; labels of \"", shown.target, "\"");
  text += "\n";
  for (const ShownTable& table : shown.tables) AddTable(table, shown, with_bars, &text);
  AddRefused(shown, &text);
  AddHistograms(shown, with_bars, &text);
  const auto any_hidden = [](const ShownTable& table) {
    return std::any_of(table.rows.begin(), table.rows.end(),
                       [](const ShownRow& row) { return row.suppressed; });
  };
  if (any_hidden(shown.refused) ||
      std::any_of(shown.tables.begin(), shown.tables.end(), any_hidden)) {
    StrAppend(&text, "\n* suppressed: fewer than ", shown.smallest,
              " patients, or hiding a row that has fewer\n");
  }
  return text;
}

}  // namespace consilium::metrics

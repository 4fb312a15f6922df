#include "common/report/description_page.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/report/document.h"
#include "common/report/plot.h"

namespace consilium::report {
namespace {

using metrics::ShownHistogram;
using metrics::ShownRow;
using metrics::ShownTable;

// 1234567 as "1 234 567", with thin spaces that do not break.
std::string Grouped(std::uint64_t number) {
  const std::string digits = StrCat(number);
  std::string grouped;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += "\u202f";
    grouped += digits[i];
  }
  return grouped;
}

// Columns of a table's figure, in SVG units.
constexpr double kWidth = 480, kBarsFrom = 206, kBarsTo = 350, kPatientsAt = 412, kLine = 22;

std::string Text(double x, double y, std::string_view what, std::string_view attributes = "") {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\"%s>%s</text>", x, y, std::string(attributes),
                         EscapeMarkup(what));
}

constexpr char kRight[] = " text-anchor=\"end\"";
constexpr char kRightHead[] = " text-anchor=\"end\" class=\"tick\"";

std::string Bars(const ShownTable& table, bool files) {
  std::vector<const ShownRow*> rows;
  std::uint64_t most = 1;
  for (const ShownRow& row : table.rows) {
    if (!row.suppressed && row.counts.images == 0) continue;
    rows.push_back(&row);
    most = std::max(most, row.counts.images);
  }
  if (rows.empty()) return {};
  const double height = kLine * (rows.size() + 1) + 4;
  std::string svg = absl::StrFormat(
      "<figure><h3>%s</h3><svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" "
      "role=\"img\"><title>%s</title>",
      EscapeMarkup(table.title), kWidth, height, EscapeMarkup(table.title));
  if (!files) svg += Text(kPatientsAt, 13, "patients", kRightHead);
  svg += Text(kWidth, 13, files ? "files" : "images", kRightHead);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ShownRow& row = *rows[i];
    const double y = kLine * (i + 1), middle = y + 15;
    svg += Text(kBarsFrom - 8, middle, row.name, kRight);
    absl::StrAppendFormat(&svg,
                          "<rect class=\"cell none\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"15\" rx=\"2\"/>",
                          kBarsFrom, y + 3.5, kBarsTo - kBarsFrom);
    if (row.suppressed) {
      svg += Text(kBarsFrom + 6, middle, "suppressed", " class=\"tick\"");
      continue;
    }
    const double width = (kBarsTo - kBarsFrom) * row.counts.images / most;
    const bool missing = !table.missing.empty() && row.name == table.missing;
    absl::StrAppendFormat(&svg,
                          "<rect class=\"bar series-%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" "
                          "height=\"15\" rx=\"2\"/>",
                          missing ? 1 : 0, kBarsFrom, y + 3.5, std::max(width, 1.0));
    if (!files) svg += Text(kPatientsAt, middle, Grouped(row.counts.patients), kRight);
    svg += Text(kWidth, middle, Grouped(row.counts.images), kRight);
  }
  return svg + "</svg></figure>\n";
}

std::string HistogramPlot(const ShownHistogram& h) {
  constexpr double kHeight = 150, kFloor = 124, kTop = 8;
  const double most = *std::max_element(h.shares.begin(), h.shares.end());
  std::string svg = absl::StrFormat(
      "<figure><h3>%s</h3><svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" "
      "role=\"img\"><title>Intensities of %s"
      "</title>",
      EscapeMarkup(h.modality), kWidth, kHeight, EscapeMarkup(h.modality));
  const double step = kWidth / h.shares.size();
  const auto value_at = [&](double part) { return h.low + (h.high - h.low) * part; };
  const auto number = [&](double value) {
    return h.high > 1 ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.2f", value);
  };
  for (std::size_t bin = 0; bin < h.shares.size(); ++bin) {
    const double height = most > 0 ? (kFloor - kTop) * h.shares[bin] / most : 0;
    const double parts = static_cast<double>(h.shares.size());
    absl::StrAppendFormat(&svg,
                          "<rect class=\"bar series-0\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" "
                          "height=\"%.2f\"><title>%s to %s: "
                          "%.2f %%</title></rect>",
                          bin * step + 0.5, kFloor - height, step - 1, height,
                          number(value_at(bin / parts)), number(value_at((bin + 1) / parts)),
                          100 * h.shares[bin]);
  }
  absl::StrAppendFormat(&svg, "<line class=\"axis\" x1=\"0\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                        kWidth, kFloor + 0.5, kFloor + 0.5);
  for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const char* anchor = part == 0   ? " class=\"tick\""
                         : part == 1 ? " class=\"tick\" text-anchor=\"end\""
                                     : " class=\"tick\" text-anchor=\"middle\"";
    svg += Text(kWidth * part, kFloor + 17, number(value_at(part)), anchor);
  }
  return StrCat(svg, "</svg><figcaption>", EscapeMarkup(h.unit), "; ", Grouped(h.images),
                h.images == 1 ? " image" : " images, each of another patient",
                "</figcaption></figure>\n");
}

}  // namespace

std::string DescriptionPage(const metrics::ShownDescription& shown, std::string_view heading,
                            const std::vector<std::string>& notes) {
  Document page{std::string(heading)};
  for (const std::string& note : notes) page.Note(note);
  if (shown.total.suppressed) {
    page.Paragraph(StrCat("Fewer than ", shown.smallest, " patients together: nothing is shown."));
    return page.Html();
  }
  std::vector<std::pair<std::string, std::string>> tiles = {
      {Grouped(shown.total.counts.patients), "patients"},
      {Grouped(shown.total.counts.images), "images"}};
  if (!shown.target.empty()) tiles.push_back({shown.target, "target of the labels"});
  if (shown.smallest > 0) {
    tiles.push_back({StrCat(shown.smallest), "patients a row shows at least"});
  }
  page.Tiles(tiles);
  page.Heading("Patients and images");
  std::string how =
      "A patient is counted once in every row in which he has an image; bars are of images; what "
      "an image does not say is orange. Rows of nobody are left out.";
  if (shown.smallest > 0) {
    StrAppend(&how, " A suppressed row has 1 to ", shown.smallest - 1,
              " patients, or hides one that has.");
  }
  page.Note(how);
  std::string figures;
  for (const ShownTable& table : shown.tables) figures += Bars(table, false);
  page.Figures(figures + Bars(shown.refused, true));
  if (!shown.histograms.empty()) {
    page.Heading("Intensities");
    page.Note(
        "Every image counts the same. What is at the very bottom of the scale (padding, "
        "collimation, air around a scan) is left out.");
    std::string histograms;
    for (const ShownHistogram& histogram : shown.histograms) histograms += HistogramPlot(histogram);
    page.Figures(histograms);
  }
  return page.Html();
}

}  // namespace consilium::report

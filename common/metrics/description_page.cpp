// A shown description as one HTML page with inline SVG.

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "common/metrics/shown_description.h"

namespace consilium::metrics {
namespace {

constexpr char kStyle[] = R"css(
:root { color-scheme: light dark;
  --ground: #fff; --panel: #f6f7f9; --text: #1b2027; --quiet: #5b6570; --rule: #dde1e6;
  --bar: #1f5fbf; --missing: #c25e00; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171b; --panel: #1d2126; --text: #e6e9ed; --quiet: #9aa4af; --rule: #343b43;
  --bar: #6ea2ff; --missing: #f0a04b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, "DejaVu Sans", "Liberation Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 0 0 6px; }
p { margin: 6px 0 10px; max-width: 78ch; } .quiet { color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px;
  margin: 22px 0 16px; }
.tile { background: var(--panel); border-radius: 10px; padding: 13px 16px; }
.tile b { display: block; font-size: 27px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 13px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr));
  gap: 26px 34px; align-items: start; margin-top: 14px; }
figure { margin: 0; break-inside: avoid; }
figcaption { color: var(--quiet); font-size: 13px; }
svg { width: 100%; height: auto; display: block; max-width: 520px; }
text { font-family: inherit; font-size: 12.5px; fill: var(--text); font-variant-numeric: tabular-nums; }
text.head, text.tick { font-size: 11.5px; fill: var(--quiet); }
.bar { fill: var(--bar); } .bar.missing { fill: var(--missing); }
.track { fill: var(--panel); } .axis { stroke: var(--quiet); }
@media print { :root { color-scheme: light; } main { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) escaped += c;
    }
  }
  return escaped;
}

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
                         Escaped(what));
}

constexpr char kRight[] = " text-anchor=\"end\"";
constexpr char kRightHead[] = " text-anchor=\"end\" class=\"head\"";

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
      "<figure><h3>%s</h3><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\"><title>%s</title>",
      Escaped(table.title), kWidth, height, Escaped(table.title));
  if (!files) svg += Text(kPatientsAt, 13, "patients", kRightHead);
  svg += Text(kWidth, 13, files ? "files" : "images", kRightHead);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ShownRow& row = *rows[i];
    const double y = kLine * (i + 1), middle = y + 15;
    svg += Text(kBarsFrom - 8, middle, row.name, kRight);
    absl::StrAppendFormat(&svg,
                          "<rect class=\"track\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"15\" rx=\"2\"/>",
                          kBarsFrom, y + 3.5, kBarsTo - kBarsFrom);
    if (row.suppressed) {
      svg += Text(kBarsFrom + 6, middle, "suppressed", " class=\"head\"");
      continue;
    }
    const double width = (kBarsTo - kBarsFrom) * row.counts.images / most;
    const bool missing = !table.missing.empty() && row.name == table.missing;
    absl::StrAppendFormat(&svg,
                          "<rect class=\"bar%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" "
                          "height=\"15\" rx=\"2\"/>",
                          missing ? " missing" : "", kBarsFrom, y + 3.5, std::max(width, 1.0));
    if (!files) svg += Text(kPatientsAt, middle, Grouped(row.counts.patients), kRight);
    svg += Text(kWidth, middle, Grouped(row.counts.images), kRight);
  }
  return svg + "</svg></figure>\n";
}

std::string HistogramPlot(const ShownHistogram& h) {
  constexpr double kHeight = 150, kFloor = 124, kTop = 8;
  const double most = *std::max_element(h.shares.begin(), h.shares.end());
  std::string svg = absl::StrFormat(
      "<figure><h3>%s</h3><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\"><title>Intensities of %s"
      "</title>",
      Escaped(h.modality), kWidth, kHeight, Escaped(h.modality));
  const double step = kWidth / h.shares.size();
  const auto value_at = [&](double part) { return h.low + (h.high - h.low) * part; };
  const auto number = [&](double value) {
    return h.high > 1 ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.2f", value);
  };
  for (std::size_t bin = 0; bin < h.shares.size(); ++bin) {
    const double height = most > 0 ? (kFloor - kTop) * h.shares[bin] / most : 0;
    const double parts = static_cast<double>(h.shares.size());
    absl::StrAppendFormat(
        &svg,
        "<rect class=\"bar\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>%s to %s: "
        "%.2f %%</title></rect>",
        bin * step + 0.5, kFloor - height, step - 1, height, number(value_at(bin / parts)),
        number(value_at((bin + 1) / parts)), 100 * h.shares[bin]);
  }
  absl::StrAppendFormat(&svg, "<line class=\"axis\" x1=\"0\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                        kWidth, kFloor + 0.5, kFloor + 0.5);
  for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const char* anchor = part == 0   ? " class=\"tick\""
                         : part == 1 ? " class=\"tick\" text-anchor=\"end\""
                                     : " class=\"tick\" text-anchor=\"middle\"";
    svg += Text(kWidth * part, kFloor + 17, number(value_at(part)), anchor);
  }
  return StrCat(svg, "</svg><figcaption>", Escaped(h.unit), "; ", Grouped(h.images),
                h.images == 1 ? " image" : " images, each of another patient",
                "</figcaption></figure>\n");
}

std::string Tile(std::string_view number, std::string_view what) {
  return StrCat("<div class=\"tile\"><b>", Escaped(number), "</b><span>", Escaped(what),
                "</span></div>");
}

}  // namespace

std::string ToPage(const ShownDescription& shown, std::string_view heading,
                   const std::vector<std::string>& notes) {
  std::string page = StrCat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      Escaped(heading), "</title>\n<style>", kStyle, "</style></head>\n<body><main>\n<h1>",
      Escaped(heading), "</h1>\n");
  for (const std::string& note : notes) {
    StrAppend(&page, "<p class=\"quiet\">", Escaped(note), "</p>\n");
  }
  if (shown.total.suppressed) {
    return StrCat(page, "<p>Fewer than ", shown.smallest,
                  " patients together: nothing is shown.</p>\n</main></body></html>\n");
  }
  StrAppend(&page, "<div class=\"tiles\">", Tile(Grouped(shown.total.counts.patients), "patients"),
            Tile(Grouped(shown.total.counts.images), "images"));
  if (!shown.target.empty()) StrAppend(&page, Tile(shown.target, "target of the labels"));
  if (shown.smallest > 0) {
    StrAppend(&page, Tile(StrCat(shown.smallest), "patients a row shows at least"));
  }
  StrAppend(&page, "</div>\n<h2>Patients and images</h2>\n<p class=\"quiet\">",
            "A patient is counted once in every row in which he has an image; bars are of images; "
            "what an image does not say is orange. Rows of nobody are left out.");
  if (shown.smallest > 0) {
    StrAppend(&page, " A suppressed row has 1 to ", shown.smallest - 1,
              " patients, or hides one that has.");
  }
  StrAppend(&page, "</p>\n<div class=\"figures\">\n");
  for (const ShownTable& table : shown.tables) StrAppend(&page, Bars(table, false));
  StrAppend(&page, Bars(shown.refused, true), "</div>\n");
  if (!shown.histograms.empty()) {
    StrAppend(&page,
              "<h2>Intensities</h2>\n<p class=\"quiet\">Every image counts the same. What "
              "is at the very bottom of the scale (padding, collimation, air around a scan) "
              "is left out.</p>\n<div class=\"figures\">\n");
    for (const ShownHistogram& histogram : shown.histograms) {
      StrAppend(&page, HistogramPlot(histogram));
    }
    page += "</div>\n";
  }
  return page + "</main></body></html>\n";
}

}  // namespace consilium::metrics

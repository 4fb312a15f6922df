#include "common/report/plot.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace consilium::report {
namespace {

constexpr int kLeft = 52, kRight = 14, kTop = 12, kBottom = 44;

std::string Number(double value) {
  std::string text = absl::StrFormat("%.2f", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string ColourClass(int colour) {
  return colour == kReferenceColour ? "series-reference"
                                    : StrCat("series-", colour % kSeriesColours);
}

bool Finite(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

// The opening tag with what a screen reader says.
std::string Open(double width, double height, std::string_view title, std::string_view description,
                 std::string_view css = "plot") {
  return StrCat("<svg class=\"", css, "\" role=\"img\" viewBox=\"0 0 ", Number(width), " ",
                Number(height), "\" xmlns=\"http://www.w3.org/2000/svg\"><title>",
                EscapeMarkup(title), "</title><desc>", EscapeMarkup(description), "</desc>");
}

enum class Anchor { kStart, kMiddle, kEnd };

std::string Text(double x, double y, std::string_view text, Anchor anchor, std::string_view css,
                 double rotate = 0) {
  static constexpr const char* kAnchors[] = {"start", "middle", "end"};
  std::string turn;
  if (rotate != 0)
    turn = StrCat(" transform=\"rotate(", Number(rotate), " ", Number(x), " ", Number(y), ")\"");
  return StrCat("<text class=\"", css, "\" x=\"", Number(x), "\" y=\"", Number(y),
                "\" text-anchor=\"", kAnchors[static_cast<int>(anchor)], "\"", turn, ">",
                EscapeMarkup(text), "</text>");
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view css) {
  return StrCat("<line class=\"", css, "\" x1=\"", Number(x1), "\" y1=\"", Number(y1), "\" x2=\"",
                Number(x2), "\" y2=\"", Number(y2), "\"/>");
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void Cover(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// An axis as drawn: its ticks, and where a value falls between two pixels.
struct Scale {
  std::vector<double> ticks;
  double low = 0, high = 1, from = 0, to = 1;
  double At(double value) const { return from + (value - low) / (high - low) * (to - from); }
  double step() const { return ticks.size() > 1 ? ticks[1] - ticks[0] : 1; }
};

Scale MakeScale(const Axis& axis, const Range& data, double from, double to, int about) {
  const double low = axis.low.value_or(data.low), high = axis.high.value_or(data.high);
  Scale scale;
  scale.ticks = NiceTicks(low, high, about);
  scale.from = from;
  scale.to = to;
  if (axis.whole_numbers && scale.step() < 1) {
    scale.ticks.clear();
    for (double tick = std::floor(low); tick <= std::ceil(high); ++tick)
      scale.ticks.push_back(tick);
    if (scale.ticks.size() < 2) scale.ticks.push_back(scale.ticks.front() + 1);
  }
  scale.low = axis.low.value_or(scale.ticks.front());
  scale.high = axis.high.value_or(scale.ticks.back());
  if (axis.whole_numbers && std::isfinite(low) &&
      low < high) {  // no empty space beyond the first and last round
    scale.low = low;
    scale.high = high;
  }
  std::erase_if(scale.ticks, [&](double tick) {
    const double slack = 1e-9 * (scale.high - scale.low);
    return tick < scale.low - slack || tick > scale.high + slack;
  });
  return scale;
}

std::string DrawAxes(const LinePlot& plot, const Scale& x, const Scale& y) {
  std::string svg;
  for (const double tick : y.ticks) {
    StrAppend(&svg, Line(x.from, y.At(tick), x.to, y.At(tick), "grid"),
              Text(x.from - 7, y.At(tick) + 4, FormatTick(tick, y.step()), Anchor::kEnd, "tick"));
  }
  for (const double tick : x.ticks) {
    StrAppend(&svg, Line(x.At(tick), y.from, x.At(tick), y.from + 4, "axis"),
              Text(x.At(tick), y.from + 17, FormatTick(tick, x.step()), Anchor::kMiddle, "tick"));
  }
  StrAppend(&svg, Line(x.from, y.from, x.to, y.from, "axis"));
  StrAppend(&svg,
            Text((x.from + x.to) / 2, plot.height - 6, plot.x.label, Anchor::kMiddle, "label"));
  StrAppend(&svg, Text(13, (y.from + y.to) / 2, plot.y.label, Anchor::kMiddle, "label", -90));
  return svg;
}

std::string DrawBand(const Band& band, const Scale& x, const Scale& y) {
  std::string there, back;
  for (const Band::Edge& edge : band.edges) {
    if (!std::isfinite(edge.low) || !std::isfinite(edge.high)) continue;
    const double high = std::clamp(edge.high, y.low, y.high),
                 low = std::clamp(edge.low, y.low, y.high);
    StrAppend(&there, Number(x.At(edge.x)), ",", Number(y.At(high)), " ");
    back = StrCat(Number(x.At(edge.x)), ",", Number(y.At(low)), " ", back);
  }
  if (there.empty()) return "";
  return StrCat("<polygon class=\"band ", ColourClass(band.colour), "\" points=\"", there, back,
                "\"/>");
}

std::string DrawSeries(const Series& series, const LinePlot& plot, const Scale& x, const Scale& y) {
  std::string points, markers;
  int drawn = 0;
  for (const Point& point : series.points) {
    if (!Finite(point)) continue;
    ++drawn;
    const double at_x = x.At(point.x), at_y = y.At(std::clamp(point.y, y.low, y.high));
    StrAppend(&points, Number(at_x), ",", Number(at_y), " ");
    const std::string hover =
        StrCat(series.name, ": ", plot.x.label, " ", FormatTick(point.x, x.step() / 10), ", ",
               plot.y.label, " ", FormatTick(point.y, y.step() / 10));
    StrAppend(&markers, "<circle class=\"marker ", ColourClass(series.colour), "\" cx=\"",
              Number(at_x), "\" cy=\"", Number(at_y), "\" r=\"", series.emphasized ? "3.4" : "2.6",
              "\"><title>", EscapeMarkup(hover), "</title></circle>");
  }
  if (drawn == 0) return "";
  std::string svg =
      StrCat("<polyline class=\"line ", ColourClass(series.colour), series.dashed ? " dashed" : "",
             series.emphasized ? " emphasized" : "", "\" points=\"", points, "\"><title>",
             EscapeMarkup(series.name), "</title></polyline>");
  if (series.markers || drawn == 1) svg += markers;
  return svg;
}

int LongestName(const std::vector<std::string>& names) {
  std::size_t longest = 0;
  for (const std::string& name : names) longest = std::max(longest, name.size());
  return static_cast<int>(longest);
}

}  // namespace

std::string EscapeMarkup(std::string_view text) {
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
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') escaped += c;
    }
  }
  return escaped;
}

std::vector<double> NiceTicks(double low, double high, int about) {
  if (!std::isfinite(low) || !std::isfinite(high)) return {0, 1};
  if (low > high) std::swap(low, high);
  if (high - low < 1e-12 * std::max(std::abs(low), std::abs(high)) || high == low) {
    const double around = low == 0 ? 0.5 : std::abs(low) / 10;
    low -= around;
    high += around;
  }
  const double rough = (high - low) / std::max(1, about);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (rough <= factor * power * (1 + 1e-9)) {
      step = factor * power;
      break;
    }
  }
  const auto first = std::llround(std::floor(low / step + 1e-9));
  const auto last = std::llround(std::ceil(high / step - 1e-9));
  std::vector<double> ticks;
  for (auto i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

std::string FormatTick(double value, double step) {
  int decimals = 0;
  for (double scaled = std::abs(step); decimals < 6; scaled *= 10, ++decimals) {
    if (std::abs(scaled - std::round(scaled)) < 1e-6 * std::max(1.0, scaled) &&
        std::round(scaled) > 0)
      break;
  }
  const std::string text = absl::StrFormat("%.*f", decimals, value);
  return text.find_first_not_of("-0.") == std::string::npos && text[0] == '-' ? text.substr(1)
                                                                              : text;
}

std::string Draw(const LinePlot& plot) {
  Range x_data, y_data;
  for (const Series& series : plot.series) {
    for (const Point& point : series.points) {
      if (!Finite(point)) continue;
      x_data.Cover(point.x);
      y_data.Cover(point.y);
    }
  }
  const bool empty = x_data.low > x_data.high;
  for (const Band& band : plot.bands) {
    for (const Band::Edge& edge : band.edges) {
      y_data.Cover(edge.low);
      y_data.Cover(edge.high);
    }
  }
  const Scale x = MakeScale(plot.x, x_data, kLeft, plot.width - kRight, 6);
  const Scale y = MakeScale(plot.y, y_data, plot.height - kBottom, kTop, 5);
  std::string svg =
      Open(plot.width, plot.height, plot.title, plot.description) + DrawAxes(plot, x, y);
  if (empty)
    svg += Text((x.from + x.to) / 2, (y.from + y.to) / 2, "no data", Anchor::kMiddle, "label");
  for (const Band& band : plot.bands) svg += DrawBand(band, x, y);
  for (const Series& series : plot.series) svg += DrawSeries(series, plot, x, y);
  return svg + "</svg>\n";
}

std::string Draw(const StackedBars& plot) {
  constexpr double kRow = 24, kBar = 16;
  std::vector<std::string> names;
  Range totals;
  totals.Cover(0);
  for (const StackedBars::Row& row : plot.rows) {
    names.push_back(row.name);
    double total = 0;
    for (const double part : row.parts) total += part;
    totals.Cover(total);
  }
  const double height = kTop + kRow * static_cast<double>(plot.rows.size()) + kBottom;
  const double left = std::min(7.0 * LongestName(names) + 16, plot.width / 2.0);
  const Axis axis{plot.value_label, 0, std::nullopt};
  const Scale x = MakeScale(axis, totals, left, plot.width - kRight - 34, 5);
  const double floor = height - kBottom;
  std::string svg = Open(plot.width, height, plot.title, plot.description);
  for (const double tick : x.ticks) {
    StrAppend(&svg, Line(x.At(tick), kTop, x.At(tick), floor, "grid"),
              Text(x.At(tick), floor + 17, FormatTick(tick, x.step()), Anchor::kMiddle, "tick"));
  }
  StrAppend(&svg, Line(left, kTop, left, floor, "axis"),
            Text((x.from + x.to) / 2, height - 6, plot.value_label, Anchor::kMiddle, "label"));
  double top = kTop + (kRow - kBar) / 2;
  for (const StackedBars::Row& row : plot.rows) {
    StrAppend(&svg, Text(left - 8, top + kBar - 4, row.name, Anchor::kEnd, "tick"));
    double total = 0;
    for (std::size_t i = 0; i < row.parts.size(); ++i) {
      const double begin = x.At(total), end = x.At(total += row.parts[i]);
      if (row.parts[i] <= 0) continue;
      StrAppend(
          &svg, "<rect class=\"bar ", ColourClass(static_cast<int>(i)), "\" x=\"", Number(begin),
          "\" y=\"", Number(top), "\" width=\"", Number(std::max(0.5, end - begin)), "\" height=\"",
          Number(kBar), "\"><title>",
          EscapeMarkup(StrCat(row.name, ", ", plot.part_names[i], ": ",
                              FormatTick(row.parts[i], x.step() / 100), " ", plot.value_label)),
          "</title></rect>");
    }
    StrAppend(&svg, Text(x.At(total) + 5, top + kBar - 4, FormatTick(total, x.step() / 10),
                         Anchor::kStart, "tick"));
    top += kRow;
  }
  if (plot.rows.empty())
    svg += Text(plot.width / 2.0, kTop + 12, "no data", Anchor::kMiddle, "label");
  return svg + "</svg>\n";
}

std::string Draw(const HeatMap& plot) {
  constexpr double kCellHeight = 34, kGap = 8;
  const double cell_width = std::max(76.0, 7.0 * LongestName(plot.column_names) + 14);
  const double left = 7.0 * LongestName(plot.row_names) + 40, top = 44;
  const auto rows = plot.row_names.size(), columns = plot.column_names.size();
  const auto x_of = [&](std::size_t column) {
    const bool after =
        plot.rule_before_column >= 0 && static_cast<int>(column) >= plot.rule_before_column;
    return left + cell_width * static_cast<double>(column) + (after ? kGap : 0);
  };
  const auto y_of = [&](std::size_t row) {
    const bool after = plot.rule_before_row >= 0 && static_cast<int>(row) >= plot.rule_before_row;
    return top + kCellHeight * static_cast<double>(row) + (after ? kGap : 0);
  };
  const double width = x_of(columns) + 2, height = y_of(rows) + 2;
  std::string svg = Open(width, height, plot.title, plot.description, "plot heat");
  // As wide as drawn: stretched, its text would outgrow the page's.
  svg.insert(4, StrCat(" width=\"", Number(width), "\""));
  if (rows == 0 || columns == 0)
    return svg + Text(10, 20, "no data", Anchor::kStart, "label") + "</svg>\n";
  StrAppend(&svg, Text((left + width) / 2, 13, plot.column_label, Anchor::kMiddle, "label"),
            Text(13, (top + height) / 2, plot.row_label, Anchor::kMiddle, "label", -90));
  for (std::size_t column = 0; column < columns; ++column) {
    StrAppend(&svg, Text(x_of(column) + cell_width / 2, top - 9, plot.column_names[column],
                         Anchor::kMiddle, "tick"));
  }
  for (std::size_t row = 0; row < rows; ++row) {
    StrAppend(&svg, Text(left - 8, y_of(row) + kCellHeight / 2 + 4, plot.row_names[row],
                         Anchor::kEnd, "tick"));
    for (std::size_t column = 0; column < columns; ++column) {
      const HeatMap::Cell& cell = plot.cells[row][column];
      const double share =
          cell.value ? std::clamp((*cell.value - plot.low) / (plot.high - plot.low), 0.0, 1.0) : 0;
      StrAppend(&svg, "<rect class=\"", cell.value ? "cell" : "cell none", "\" x=\"",
                Number(x_of(column) + 1), "\" y=\"", Number(y_of(row) + 1), "\" width=\"",
                Number(cell_width - 2), "\" height=\"", Number(kCellHeight - 2),
                "\" style=\"fill-opacity:", Number(cell.value ? 0.05 + 0.95 * share : 1),
                "\"><title>", EscapeMarkup(cell.hover), "</title></rect>",
                Text(x_of(column) + cell_width / 2, y_of(row) + kCellHeight / 2 + 4, cell.text,
                     Anchor::kMiddle, share > 0.55 ? "cell-text strong" : "cell-text"));
    }
  }
  return svg + "</svg>\n";
}

std::string Legend(const std::vector<LegendEntry>& entries) {
  if (entries.size() < 2) return "";
  std::string html = "<ul class=\"legend\">";
  for (const LegendEntry& entry : entries) {
    StrAppend(&html,
              "<li><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><line class=\"line emphasized ",
              ColourClass(entry.colour), entry.dashed ? " dashed" : "",
              "\" x1=\"1\" y1=\"5\" x2=\"21\" y2=\"5\"/></svg>", EscapeMarkup(entry.name), "</li>");
  }
  return html + "</ul>\n";
}

std::string LegendOf(const LinePlot& plot) {
  std::vector<LegendEntry> entries;
  for (const Series& series : plot.series)
    entries.push_back({series.name, series.colour, series.dashed});
  return Legend(entries);
}

std::string LegendOf(const StackedBars& plot) {
  std::vector<LegendEntry> entries;
  for (std::size_t i = 0; i < plot.part_names.size(); ++i) {
    entries.push_back({plot.part_names[i], static_cast<int>(i), false});
  }
  return Legend(entries);
}

}  // namespace consilium::report

#pragma once

// Plots as inline SVG, for the HTML report: no scripts, no fonts of their own. Colours, text sizes
// and the dark theme come from the page's style sheet (page_style.h) through class names: series-0
// .. series-7 and series-reference for colours. Every plot has a title and a description for screen
// readers, and every mark a hover title. All text is escaped.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consilium::report {

// Text as HTML or SVG content or attribute value: & < > " ' escaped, control characters dropped.
std::string EscapeMarkup(std::string_view text);

// About `about` round numbers (1, 2 or 5 times a power of ten apart) covering [low, high]; the
// first is at or below low and the last at or above high. low = high gives an interval around it;
// not finite gives {0, 1}.
std::vector<double> NiceTicks(double low, double high, int about);
// A tick's number with as many decimals as `step` between ticks needs: FormatTick(0.5, 0.25) =
// "0.50".
std::string FormatTick(double value, double step);

inline constexpr int kSeriesColours = 8;
inline constexpr int kReferenceColour = -1;  // grey: what others are compared with

struct Point {
  double x = 0, y = 0;
};

struct Series {
  std::string name;
  std::vector<Point> points;  // those that are not finite are left out
  int colour = 0;             // modulo kSeriesColours, or kReferenceColour
  bool dashed = false;
  bool emphasized = false;  // a thicker line
  bool markers = false;
};

struct Band {  // between low and high at each x
  struct Edge {
    double x = 0, low = 0, high = 0;
  };
  std::vector<Edge> edges;
  int colour = 0;
};

struct Axis {
  std::string label;
  std::optional<double> low, high;  // not given: from the data
  bool whole_numbers = false;       // ticks at whole numbers only
};

struct LinePlot {
  std::string title, description;
  Axis x, y;
  std::vector<Series> series;
  std::vector<Band> bands;
  int width = 460, height = 300;
};

// A plot without a single point says "no data" in place of the lines.
std::string Draw(const LinePlot& plot);

// Horizontal bars, one a row, each made of parts one after another.
struct StackedBars {
  std::string title, description;
  std::string value_label;              // "seconds"
  std::vector<std::string> part_names;  // colours in this order
  struct Row {
    std::string name;
    std::vector<double> parts;  // as many as part_names, not negative
  };
  std::vector<Row> rows;
  int width = 460;
};
std::string Draw(const StackedBars& plot);

// A table of coloured cells.
struct HeatMap {
  std::string title, description;
  std::string row_label, column_label;
  std::vector<std::string> row_names, column_names;
  struct Cell {
    std::optional<double> value;  // none: an empty cell
    std::string text;             // shown in the cell
    std::string hover;
  };
  std::vector<std::vector<Cell>> cells;  // [row][column]
  double low = 0.5, high = 1.0;          // values of the palest and the strongest colour
  int rule_before_row = -1;              // a gap before this row and this column sets groups apart
  int rule_before_column = -1;
};
std::string Draw(const HeatMap& plot);

// The names of series with their colours, as HTML. Empty for one series or none.
struct LegendEntry {
  std::string name;
  int colour = 0;
  bool dashed = false;
};
std::string Legend(const std::vector<LegendEntry>& entries);
std::string LegendOf(const LinePlot& plot);
std::string LegendOf(const StackedBars& plot);

}  // namespace consilium::report

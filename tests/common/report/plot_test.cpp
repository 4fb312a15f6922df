#include "common/report/plot.h"

#include <cmath>
#include <limits>

#include "tests/catch.h"

namespace consilium::report {
namespace {

int Occurrences(const std::string& text, const std::string& of) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(of, at)) != std::string::npos; at += of.size()) ++count;
  return count;
}

TEST_CASE("ticks are round numbers that cover the data") {
  CHECK(NiceTicks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  std::string texts;
  for (const double tick : NiceTicks(0.52, 0.94, 4)) texts += FormatTick(tick, 0.2) + " ";
  CHECK(texts == "0.4 0.6 0.8 1.0 ");
  CHECK(NiceTicks(-3, 7, 2) == std::vector<double>{-5, 0, 5, 10});
  for (const double scale : {1e-9, 1e-3, 1.0, 1e6, 1e12}) {
    for (const double low : {-0.7, 0.0, 0.31}) {
      const double high = low + 0.9;
      const std::vector<double> ticks = NiceTicks(low * scale, high * scale, 5);
      INFO("from " << low * scale << " to " << high * scale);
      CHECK(ticks.front() <= low * scale + 1e-9 * scale);
      CHECK(ticks.back() >= high * scale - 1e-9 * scale);
      CHECK(ticks.size() >= 4);
      CHECK(ticks.size() <= 12);
    }
  }
}

TEST_CASE("ticks survive one value, none and values that are not numbers") {
  CHECK(NiceTicks(3, 3, 5).front() < 3);
  CHECK(NiceTicks(3, 3, 5).back() > 3);
  CHECK(NiceTicks(0, 0, 5).size() >= 2);
  CHECK(NiceTicks(INFINITY, -INFINITY, 5) == std::vector<double>{0, 1});
  CHECK(NiceTicks(std::numeric_limits<double>::quiet_NaN(), 1, 5) == std::vector<double>{0, 1});
  CHECK(NiceTicks(5, 1, 4) == NiceTicks(1, 5, 4));
}

TEST_CASE("a tick's number has the decimals that its step needs") {
  CHECK(FormatTick(0.5, 0.25) == "0.50");
  CHECK(FormatTick(0.30000000000000004, 0.1) == "0.3");
  CHECK(FormatTick(20, 5) == "20");
  CHECK(FormatTick(-0.0, 0.5) == "0.0");
  CHECK(FormatTick(-1.5, 0.5) == "-1.5");
  CHECK(FormatTick(0.002, 0.002) == "0.002");
}

TEST_CASE("text of a plot cannot break out of the page") {
  const std::string hostile = "<script>alert('x')</script> & \"more\"\x01";
  CHECK(EscapeMarkup(hostile) ==
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;");
  LinePlot plot{
      .title = hostile, .description = hostile, .x = {.label = hostile}, .y = {.label = hostile}};
  plot.series = {{.name = hostile, .points = {{1, 2}}}, {.name = hostile}};
  HeatMap map{
      .title = hostile, .row_label = hostile, .row_names = {hostile}, .column_names = {hostile}};
  map.cells = {{{0.7, hostile, hostile}}};
  const StackedBars bars{.title = hostile,
                         .value_label = hostile,
                         .part_names = {hostile, "b"},
                         .rows = {{hostile, {1, 2}}}};
  for (const std::string& svg :
       {Draw(plot), LegendOf(plot), Draw(map), Draw(bars), LegendOf(bars)}) {
    CHECK(svg.find("<script") == std::string::npos);
    CHECK(svg.find("&lt;script&gt;") != std::string::npos);
  }
}

TEST_CASE("a plot without data says so") {
  CHECK_THAT(Draw(LinePlot{.title = "t"}), ContainsText(">no data<"));
  CHECK_THAT(Draw(HeatMap{.title = "t"}), ContainsText(">no data<"));
  CHECK_THAT(Draw(StackedBars{.title = "t"}), ContainsText(">no data<"));
  LinePlot nothing_finite{.title = "t"};
  nothing_finite.series = {{.name = "a", .points = {{NAN, 1}, {1, INFINITY}}}};
  const std::string svg = Draw(nothing_finite);
  CHECK_THAT(svg, ContainsText(">no data<"));
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}

TEST_CASE("a line plot draws each series once and a marker for each point") {
  LinePlot plot{.title = "Curve",
                .description = "A curve.",
                .x = {"round", {}, {}, true},
                .y = {"AUROC", 0, 1}};
  plot.series = {
      {.name = "north", .points = {{1, 0.5}, {2, NAN}, {3, 0.75}}, .colour = 1, .markers = true},
      {.name = "chance", .points = {{1, 0}, {3, 1}}, .colour = kReferenceColour, .dashed = true}};
  const std::string svg = Draw(plot);
  CHECK(Occurrences(svg, "<polyline") == 2);
  CHECK(Occurrences(svg, "<circle") == 2);
  CHECK_THAT(svg, ContainsText("<title>Curve</title><desc>A curve.</desc>"));
  CHECK_THAT(svg, ContainsText("line series-reference dashed"));
  CHECK_THAT(svg, ContainsText("north: round 3.0, AUROC 0.75"));
  CHECK_THAT(svg, !ContainsText(">1.5<"));  // a round is a whole number
}

TEST_CASE("points lie where their values say") {
  LinePlot plot{.title = "t", .x = {"x", 0, 1}, .y = {"y", 0, 1}, .width = 166, .height = 156};
  plot.series = {{.name = "diagonal", .points = {{0, 0}, {0.5, 0.5}, {1, 1}}}};
  // A plotting area of 100 x 100 pixels from (52, 112) up to (152, 12).
  CHECK_THAT(Draw(plot), ContainsText("points=\"52,112 102,62 152,12 \""));
}

TEST_CASE("bars stand one after another in their row") {
  const StackedBars bars{.title = "t",
                         .value_label = "seconds",
                         .part_names = {"train", "send"},
                         .rows = {{"round 1", {6, 4}}, {"round 2", {0, 5}}}};
  const std::string svg = Draw(bars);
  CHECK(Occurrences(svg, "<rect") == 3);  // a part of no length is not drawn
  CHECK_THAT(svg, ContainsText("round 1, send: 4"));
  CHECK(LegendOf(bars).find("train") < LegendOf(bars).find("send"));
}

TEST_CASE("a cell of the heat map is paler the smaller its value, and an empty one is marked") {
  HeatMap map{
      .title = "t", .row_names = {"a"}, .column_names = {"x", "y", "z"}, .low = 0, .high = 1};
  map.cells = {{{0.0, "0.0", ""}, {1.0, "1.0", ""}, {std::nullopt, "-", ""}}};
  const std::string svg = Draw(map);
  CHECK_THAT(svg, ContainsText("fill-opacity:0.05"));
  CHECK_THAT(svg, ContainsText("class=\"cell none\""));
  CHECK(Occurrences(svg, "cell-text strong") == 1);
}

TEST_CASE("one series alone needs no legend") {
  CHECK(Legend({{"only", 0, false}}).empty());
  CHECK(Occurrences(Legend({{"a", 0, false}, {"b", 1, true}}), "<li>") == 2);
}

}  // namespace
}  // namespace consilium::report

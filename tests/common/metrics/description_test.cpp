#include "common/metrics/description.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "common/metrics/shown_description.h"
#include "common/report/description_page.h"
#include "tests/catch.h"

namespace consilium::metrics {
namespace {

// The row of a table, by name.
const RowCounts& Row(const Description& d, std::string_view table, std::string_view row) {
  const auto& tables = DescriptionTables();
  const auto t = std::find_if(tables.begin(), tables.end(),
                              [&](const TableLayout& layout) { return layout.name == table; });
  REQUIRE(t != tables.end());
  const auto r = std::find(t->rows.begin(), t->rows.end(), row);
  REQUIRE(r != t->rows.end());
  return d.tables[t - tables.begin()][r - t->rows.begin()];
}

ImageFacts Image(std::string_view patient) {
  return {.patient = patient,
          .modality = "CT",
          .sex = "F",
          .age_years = 61.5,
          .manufacturer = "SIEMENS Healthineers",
          .view = "",
          .spacing_mm = 0.7,
          .thickness_mm = 1.5,
          .rows = 512,
          .columns = 512,
          .label = 1};
}

Description Some(std::uint64_t seed, int images) {
  std::mt19937_64 random(seed);
  const auto any = [&](int below) { return static_cast<int>(random() % below); };
  DescriptionBuilder builder(true);
  constexpr std::string_view kModalities[] = {"CT", "DX", "MR", "XX"};
  constexpr std::string_view kSexes[] = {"F", "M", ""};
  std::vector<std::string> names;
  for (int i = 0; i < images; ++i) names.push_back(std::to_string(any(images)));
  for (const std::string& name : names) {
    ImageFacts image = Image(name);
    image.modality = kModalities[any(4)];
    image.sex = kSexes[any(3)];
    image.age_years = any(5) == 0 ? std::nullopt : std::optional<double>(any(110));
    image.label = any(3) == 0 ? std::nullopt : std::optional<int>(any(2));
    builder.Add(image);
  }
  builder.AddRefused("damaged", any(20));
  builder.AddRefused("something of a later version", 2);
  return builder.description();
}

TEST_CASE("A patient is counted once in every row in which he has an image") {
  DescriptionBuilder builder(true);
  ImageFacts image = Image("p1");
  builder.Add(image);
  builder.Add(image);
  image.age_years = 62;
  image.modality = "MR";
  builder.Add(image);
  builder.Add(Image("p2"));
  const Description& d = builder.description();
  CHECK(d.total == RowCounts{2, 4});
  CHECK(Row(d, "modality", "CT") == RowCounts{2, 3});
  CHECK(Row(d, "modality", "MR") == RowCounts{1, 1});
  CHECK(Row(d, "sex", "F") == RowCounts{2, 4});
  CHECK(Row(d, "age", "60-69") == RowCounts{2, 4});
  CHECK(Row(d, "manufacturer", "Siemens") == RowCounts{2, 4});
  CHECK(Row(d, "view", "not said") == RowCounts{2, 4});
  CHECK(Row(d, "pixel_spacing", "0.5-0.75") == RowCounts{2, 4});
  CHECK(Row(d, "slice_thickness", "1-2") == RowCounts{2, 4});
  CHECK(Row(d, "image_size", "512-1023") == RowCounts{2, 4});
  CHECK(Row(d, "label", "positive") == RowCounts{2, 4});
  CHECK(Check(d, true).ok());
}

TEST_CASE("Ages fall into bands of whole years") {
  const auto row_of = [](std::optional<double> age) {
    DescriptionBuilder builder(false);
    ImageFacts image = Image("p");
    image.age_years = age;
    builder.Add(image);
    const auto& rows = builder.description().tables[2];
    const auto found = std::find(rows.begin(), rows.end(), RowCounts{1, 1});
    return std::string(DescriptionTables()[2].rows[found - rows.begin()]);
  };
  CHECK(row_of(0) == "0-17");
  CHECK(row_of(17.99) == "0-17");
  CHECK(row_of(18) == "18-29");
  CHECK(row_of(39) == "30-39");
  CHECK(row_of(90) == "90+");
  CHECK(row_of(120) == "90+");
  CHECK(row_of(std::nullopt) == "not said");
}

TEST_CASE("A manufacturer is known by any of its names, and a rare one is just another") {
  CHECK(ManufacturerRow("SIEMENS") == "Siemens");
  CHECK(ManufacturerRow("GE MEDICAL SYSTEMS") == "GE");
  CHECK(ManufacturerRow("GE Healthcare") == "GE");
  CHECK(ManufacturerRow("ge") == "GE");
  CHECK(ManufacturerRow("TOSHIBA_MEC") == "Canon / Toshiba");
  CHECK(ManufacturerRow("Philips Medical Systems") == "Philips");
  CHECK(ManufacturerRow("FUJI PHOTO FILM Co., ltd.") == "Fujifilm");
  CHECK(ManufacturerRow("Workshop of St. Mary's") == "other");
  CHECK(ManufacturerRow("") == "not said");
  CHECK(ManufacturerRow("  ") == "not said");
}

TEST_CASE("Every image has the same mass in a histogram, and its background none") {
  DescriptionBuilder builder(false);
  for (const char* patient : {"a", "b"}) builder.Add(Image(patient));
  builder.AddPixels("CT", std::vector<float>{0, 0, 0, 0.5f, 1.0f, 1.5f});
  builder.AddPixels("CT", std::vector<float>(1000, 0.5f));
  builder.AddPixels("CT", std::vector<float>(10, 0.0f));  // nothing but background
  builder.AddPixels("XA", std::vector<float>(10, 0.5f));  // of which there is no histogram
  const Histogram& ct = builder.description().histograms[1];
  CHECK(ct.images == 2);
  CHECK(ct.mass[32] == 333'333 + kImageMass);
  CHECK(ct.mass[63] == 666'667);
  CHECK(Check(builder.description(), false).ok());
}

TEST_CASE("Descriptions come back from the ring, and their sum is the sum of their counts") {
  const Description a = Some(1, 200), b = Some(2, 300);
  CHECK(DescriptionFromRing(ToRing(a), true).value() == a);
  std::vector<std::uint64_t> sum = ToRing(a);
  const std::vector<std::uint64_t> other = ToRing(b);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
  const auto pooled = DescriptionFromRing(sum, true);
  REQUIRE(pooled.ok());
  CHECK(pooled->total.patients == a.total.patients + b.total.patients);
  CHECK(Row(*pooled, "sex", "F").images == Row(a, "sex", "F").images + Row(b, "sex", "F").images);
}

TEST_CASE("Sums that cannot be are refused") {
  const Description good = Some(3, 100);
  CHECK_FALSE(DescriptionFromRing(std::vector<std::uint64_t>(7), true).ok());
  CHECK_FALSE(DescriptionFromRing(ToRing(good), false).ok());  // labels that nobody asked for
  const auto refused = [&](const std::function<void(Description&)>& change) {
    Description bad = good;
    change(bad);
    return !DescriptionFromRing(ToRing(bad), true).ok();
  };
  CHECK(refused([](Description& d) { d.total.patients = d.total.images + 1; }));
  CHECK(refused([](Description& d) { ++d.total.images; }));
  CHECK(refused([](Description& d) { ++d.tables[1][0].images; }));
  CHECK(refused([](Description& d) { d.tables[1][0].patients = 0; }));
  CHECK(refused([](Description& d) { d.tables[1][0].patients = d.total.patients + 1; }));
  CHECK(refused([](Description& d) { d.histograms[1].images = 1; }));
  CHECK(refused([](Description& d) { d.histograms[1].mass[5] = kImageMass; }));
  CHECK(refused([](Description& d) { d.refused[0] = std::uint64_t{1} << 50; }));
  CHECK(refused([](Description& d) {
    d.total.images += std::uint64_t{1} << 60;
    for (auto& table : d.tables) table[0].images += std::uint64_t{1} << 60;
  }));
}

// ---- suppression

TEST_CASE("Of a table with one small row the next smallest is suppressed, too") {
  CHECK(SuppressedRows({3, 50, 20, 0}, 10) == std::vector<bool>{true, false, true, false});
  CHECK(SuppressedRows({50, 20, 0}, 10) == std::vector<bool>{false, false, false});
}

TEST_CASE("Small rows that are few patients together hide another one") {
  CHECK(SuppressedRows({1, 2, 30, 40}, 10) == std::vector<bool>{true, true, true, false});
  CHECK(SuppressedRows({6, 7, 30, 40}, 10) == std::vector<bool>{true, true, false, false});
}

// Calls `take` with every way to give `total` to `parts` rows.
void ForEveryWay(std::size_t parts, std::uint64_t total,
                 const std::function<void(const std::vector<std::uint64_t>&)>& take) {
  std::vector<std::uint64_t> way;
  const std::function<void(std::uint64_t)> give = [&](std::uint64_t left) {
    if (way.size() + 1 == parts) {
      way.push_back(left);
      take(way);
      way.pop_back();
      return;
    }
    for (std::uint64_t own = 0; own <= left; ++own) {
      way.push_back(own);
      give(left - own);
      way.pop_back();
    }
  };
  give(total);
}

TEST_CASE("No suppressed row can be computed from what is shown of its table") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t kSmallest = 5;
  for (int i = 0; i < 400; ++i) {
    std::vector<std::uint64_t> counts(2 + random() % 4);
    for (auto& count : counts) count = random() % (random() % 2 ? 6 : 16);
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) total += count;
    if (total < kSmallest) continue;  // then nothing is shown
    CAPTURE(counts);
    const std::vector<bool> suppressed = SuppressedRows(counts, kSmallest);
    std::vector<std::uint64_t> hidden;
    std::uint64_t together = 0;
    for (std::size_t row = 0; row < counts.size(); ++row) {
      const bool small = counts[row] > 0 && counts[row] < kSmallest;
      CHECK((suppressed[row] || !small));
      CHECK((counts[row] > 0 || !suppressed[row]));
      if (!suppressed[row]) continue;
      hidden.push_back(counts[row]);
      together += counts[row];
    }
    if (hidden.empty()) continue;
    // Whoever knows the rule knows: none of them is 0, and one at least is small.
    std::vector<std::set<std::uint64_t>> could_be(hidden.size());
    ForEveryWay(hidden.size(), together, [&](const std::vector<std::uint64_t>& way) {
      const bool none_is_zero = std::find(way.begin(), way.end(), 0u) == way.end();
      const bool one_is_small = std::any_of(way.begin(), way.end(),
                                            [](std::uint64_t count) { return count < kSmallest; });
      if (!none_is_zero || !one_is_small) return;
      for (std::size_t row = 0; row < way.size(); ++row) could_be[row].insert(way[row]);
    });
    for (const auto& values : could_be) CHECK(values.size() >= 2);
  }
}

TEST_CASE("A smaller smallest count never helps to compute what a greater one suppressed") {
  std::mt19937_64 random(11);
  for (int i = 0; i < 200; ++i) {
    std::vector<std::uint64_t> counts(3 + random() % 4);
    for (auto& count : counts) count = random() % 30;
    const auto few = SuppressedRows(counts, 5), many = SuppressedRows(counts, 10);
    for (std::size_t row = 0; row < counts.size(); ++row) CHECK((many[row] || !few[row]));
  }
}

const ShownTable& TableOf(const ShownDescription& shown, std::string_view name) {
  const auto found = std::find_if(shown.tables.begin(), shown.tables.end(),
                                  [&](const ShownTable& table) { return table.name == name; });
  REQUIRE(found != shown.tables.end());
  return *found;
}

TEST_CASE("What is shown of sites together has no row of few patients, and no histogram of them") {
  DescriptionBuilder builder(false);
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) names.push_back(std::to_string(i));
  for (int i = 0; i < 40; ++i) {
    ImageFacts image = Image(names[i]);
    image.modality = i < 3 ? "MR" : i < 18 ? "CT" : "DX";
    builder.Add(image);
    if (i == 0 || i >= 3) builder.AddPixels(image.modality, std::vector<float>(16, 0.4f));
  }
  const ShownDescription shown = Suppress(builder.description(), "", 10);
  CHECK(shown.total.counts == RowCounts{40, 40});
  for (const ShownRow& row : TableOf(shown, "modality").rows) {
    CHECK(row.suppressed == (row.name == "MR" || row.name == "CT"));
    if (row.suppressed) CHECK(row.counts == RowCounts{});
  }
  REQUIRE(shown.histograms.size() == 1);
  CHECK(shown.histograms[0].modality == "DX");
  const ShownDescription own = ShowAll(builder.description(), "");
  CHECK(own.histograms.size() == 3);
  CHECK(TableOf(own, "modality").rows[5].counts == RowCounts{3, 3});
}

TEST_CASE("Of fewer patients than the smallest count nothing is shown") {
  DescriptionBuilder builder(true);
  for (const char* patient : {"a", "b", "c"}) builder.Add(Image(patient));
  builder.AddRefused("damaged", 100);
  const ShownDescription shown = Suppress(builder.description(), "opacity", 10);
  CHECK(shown.total.suppressed);
  for (const ShownTable& table : shown.tables) {
    for (const ShownRow& row : table.rows) CHECK(row.suppressed);
  }
  for (const ShownRow& row : shown.refused.rows) CHECK(row.suppressed);
  CHECK_THAT(ToText(shown, false), ContainsText("fewer than 10 patients"));
  CHECK_THAT(report::DescriptionPage(shown, "x", {}), ContainsText("Fewer than 10 patients"));
}

// ---- for people and programs

TEST_CASE("What is shown comes back from its JSON") {
  const Description d = Some(5, 400);
  for (const ShownDescription& shown :
       {ShowAll(d, "opacity"), Suppress(d, "opacity", 10), Suppress(Some(6, 4), "opacity", 10)}) {
    const auto back = ShownDescriptionFromJson(ToJson(shown));
    REQUIRE(back.ok());
    CHECK(*back == shown);
    const std::string sorted = nlohmann::json::parse(ToJson(shown)).dump();  // keys by the alphabet
    CHECK(ShownDescriptionFromJson(sorted).value() == shown);
  }
  for (const char* bad : {"", "{", "[]", "{\"target\": 7}", "null"}) {
    CHECK_FALSE(ShownDescriptionFromJson(bad).ok());
  }
}

TEST_CASE("The table says counts and shares, and leaves rows of nobody out") {
  DescriptionBuilder builder(true);
  for (const char* patient : {"a", "b", "c"}) builder.Add(Image(patient));
  builder.AddRefused("damaged", 2);
  const std::string text = ToText(ShowAll(builder.description(), "opacity"), false);
  CHECK_THAT(text, ContainsText("3 images of 3 patients; labels of \"opacity\""));
  CHECK_THAT(text, ContainsText("60-69"));
  CHECK_THAT(text, ContainsText("100.0 %"));
  CHECK_THAT(text, ContainsText("damaged"));
  CHECK_THAT(text, !ContainsText("70-79"));
  CHECK_THAT(text, !ContainsText("█"));
  CHECK_THAT(ToText(ShowAll(builder.description(), "opacity"), true), ContainsText("████"));
}

TEST_CASE("The page escapes what is in it, and fetches nothing") {
  DescriptionBuilder builder(true);
  builder.Add(Image("a"));
  builder.AddPixels("CT", std::vector<float>(16, 0.4f));
  const std::string page =
      report::DescriptionPage(ShowAll(builder.description(), "<b>&"), "A \"site\"", {"<script>"});
  CHECK_THAT(page, ContainsText("&lt;b&gt;&amp;"));
  CHECK_THAT(page, ContainsText("&lt;script&gt;"));
  for (const char* fetched : {"<script", "http://", "https://", "<link", "url("}) {
    CHECK_THAT(page, !ContainsText(fetched));
  }
  CHECK_THAT(page, ContainsText("Hounsfield units"));
}

}  // namespace
}  // namespace consilium::metrics

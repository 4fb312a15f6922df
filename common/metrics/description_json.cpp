// A shown description as JSON, and back.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/metrics/shown_description.h"

namespace consilium::metrics {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestDocument = 4 << 20;

Json CountsOf(const ShownRow& row) {
  if (row.suppressed) return {{"suppressed", true}};
  return {{"patients", row.counts.patients}, {"images", row.counts.images}};
}

// Throws what nlohmann throws when a field is missing or of another type.
ShownRow RowFrom(const Json& json, std::string name) {
  if (json.contains("suppressed")) {
    return {std::move(name), json.at("suppressed").get<bool>(), {}};
  }
  return {std::move(name),
          false,
          {json.at("patients").get<std::uint64_t>(), json.at("images").get<std::uint64_t>()}};
}

ShownRow FilesFrom(const Json& json) {
  ShownRow row{json.at("reason").get<std::string>(), json.contains("suppressed"), {}};
  if (!row.suppressed) row.counts.images = json.at("files").get<std::uint64_t>();
  return row;
}

ShownHistogram HistogramFrom(const std::string& modality, const Json& json) {
  ShownHistogram histogram{modality,
                           json.at("unit").get<std::string>(),
                           json.at("low").get<double>(),
                           json.at("high").get<double>(),
                           json.at("images").get<std::uint64_t>(),
                           json.at("shares").get<std::vector<double>>()};
  if (histogram.shares.size() != kHistogramBins) {
    throw std::invalid_argument(StrCat("a histogram of ", histogram.shares.size(), " bins"));
  }
  for (const double share : histogram.shares) {
    if (!(share >= 0 && share <= 1)) throw std::invalid_argument("a share beyond 0 to 1");
  }
  if (!(std::abs(histogram.low) <= 1e9 && std::abs(histogram.high) <= 1e9)) {
    throw std::invalid_argument("a histogram without ends");
  }
  return histogram;
}

std::size_t PlaceOf(std::string_view table) {
  const auto& tables = DescriptionTables();
  return std::find_if(tables.begin(), tables.end(),
                      [&](const TableLayout& layout) { return layout.name == table; }) -
         tables.begin();
}

ShownDescription From(const Json& json) {
  ShownDescription shown;
  shown.target = json.at("target").is_null() ? "" : json.at("target").get<std::string>();
  shown.smallest = json.at("smallest_count").get<std::uint64_t>();
  shown.total = RowFrom(json.at("total"), "all");
  for (const auto& [name, table] : json.at("tables").items()) {
    ShownTable to{name,
                  table.at("title").get<std::string>(),
                  table.at("missing").is_null() ? "" : table.at("missing").get<std::string>(),
                  {}};
    for (const Json& row : table.at("rows")) {
      to.rows.push_back(RowFrom(row, row.at("row").get<std::string>()));
    }
    shown.tables.push_back(std::move(to));
  }
  // Who carried the document here may have sorted its keys.
  std::stable_sort(
      shown.tables.begin(), shown.tables.end(),
      [](const ShownTable& a, const ShownTable& b) { return PlaceOf(a.name) < PlaceOf(b.name); });
  shown.refused = {"refused", "Refused files", {}, {}};
  for (const Json& row : json.at("refused_files")) shown.refused.rows.push_back(FilesFrom(row));
  for (const auto& [modality, histogram] : json.at("intensities").items()) {
    shown.histograms.push_back(HistogramFrom(modality, histogram));
  }
  return shown;
}

}  // namespace

std::string ToJson(const ShownDescription& shown) {
  Json json = {{"target", shown.target.empty() ? Json() : Json(shown.target)},
               {"smallest_count", shown.smallest},
               {"total", CountsOf(shown.total)},
               {"tables", Json::object()},
               {"refused_files", Json::array()},
               {"intensities", Json::object()}};
  for (const ShownTable& table : shown.tables) {
    Json rows = Json::array();
    for (const ShownRow& row : table.rows) {
      Json one = {{"row", row.name}};
      one.update(CountsOf(row));
      rows.push_back(std::move(one));
    }
    json["tables"][table.name] = {{"title", table.title},
                                  {"missing", table.missing.empty() ? Json() : Json(table.missing)},
                                  {"rows", std::move(rows)}};
  }
  for (const ShownRow& row : shown.refused.rows) {
    Json one = {{"reason", row.name}};
    if (row.suppressed) {
      one["suppressed"] = true;
    } else {
      one["files"] = row.counts.images;
    }
    json["refused_files"].push_back(std::move(one));
  }
  for (const ShownHistogram& histogram : shown.histograms) {
    json["intensities"][histogram.modality] = {{"unit", histogram.unit},
                                               {"low", histogram.low},
                                               {"high", histogram.high},
                                               {"images", histogram.images},
                                               {"shares", histogram.shares}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<ShownDescription> ShownDescriptionFromJson(std::string_view text) {
  if (text.size() > kLongestDocument) {
    return absl::InvalidArgumentError(
        StrCat("a description of ", text.size(), " bytes: at most ", kLongestDocument));
  }
  try {
    return From(Json::parse(text));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(StrCat("this is no description: ", error.what()));
  }
}

}  // namespace consilium::metrics

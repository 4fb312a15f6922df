#pragma once

// A description as people see it. A site's own is shown whole; one of several sites together with
// its small counts suppressed, so that no row that few patients are in can be read or computed.
//
// The rule, for a smallest count k, table by table:
// 1. A row with 1 to k-1 patients is suppressed: its patients and its images.
// 2. The images of a table add up to the total, which is shown; and often the patients do. So that
//    no suppressed row can be computed from the others, the next smallest rows are suppressed too,
//    until two or more are, with k or more patients together.
// 3. A row of nobody is shown as 0 and never hides another: everybody would guess it. That a cohort
//    has none of something is told.
// 4. When all patients together are fewer than k, nothing is shown but that.
// Refused files are counted by the file, and treated the same. A histogram is shown when its
// modality's row is and it is of k images or more, each of another patient; then as shares.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/description.h"

namespace consilium::metrics {

inline constexpr std::uint64_t kLeastSmallestCount = 5, kDefaultSmallestCount = 10;

struct ShownRow {
  std::string name;
  bool suppressed = false;
  RowCounts counts;  // 0 when suppressed; of refused files only `images`
  bool operator==(const ShownRow&) const = default;
};

struct ShownTable {
  std::string name, title;
  std::string missing;  // name of the row of what does not say it; empty: there is none
  std::vector<ShownRow> rows;
  bool operator==(const ShownTable&) const = default;
};

struct ShownHistogram {
  std::string modality, unit;
  double low = 0, high = 1;
  std::uint64_t images = 0;
  std::vector<double> shares;  // kHistogramBins, together 1
  bool operator==(const ShownHistogram&) const = default;
};

struct ShownDescription {
  std::string target;          // of the labels; empty: none was asked for
  std::uint64_t smallest = 0;  // k; 0: nothing is suppressed
  ShownRow total;
  std::vector<ShownTable> tables;          // "label" only with a target
  ShownTable refused;                      // files by reason
  std::vector<ShownHistogram> histograms;  // those that there are
  bool operator==(const ShownDescription&) const = default;
};

ShownDescription ShowAll(const Description& description, std::string_view target);
// k: kLeastSmallestCount or more.
ShownDescription Suppress(const Description& description, std::string_view target, std::uint64_t k);

// Which rows are suppressed, of a table whose total is shown.
std::vector<bool> SuppressedRows(const std::vector<std::uint64_t>& counts, std::uint64_t k);

// {target, smallest_count, patients, images, suppressed, tables: {NAME: [{row, patients, images} |
// {row, suppressed: true}]}, missing: {NAME: {patients, images} | {suppressed}}, refused: [{reason,
// files}], intensities: {MODALITY: {unit, low, high, images, shares[]}}}
std::string ToJson(const ShownDescription& description);
// kInvalidArgument: not such a document.
absl::StatusOr<ShownDescription> ShownDescriptionFromJson(std::string_view json);

// Tables for a terminal, with bars, or plain.
std::string ToText(const ShownDescription& description, bool with_bars);

}  // namespace consilium::metrics

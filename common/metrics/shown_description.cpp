#include "common/metrics/shown_description.h"

#include <algorithm>
#include <numeric>

#include "common/base/status.h"

namespace consilium::metrics {
namespace {

// Without k everything is shown.
ShownDescription Show(const Description& d, std::string_view target, std::uint64_t k) {
  ShownDescription shown;
  shown.target = target;
  shown.smallest = k;
  const bool nothing = k > 0 && d.total.patients > 0 && d.total.patients < k;
  const auto table = [&](const std::vector<std::string_view>& names,
                         const std::vector<RowCounts>& counts, ShownTable* to) {
    std::vector<std::uint64_t> patients;
    for (const RowCounts& row : counts) patients.push_back(row.patients);
    std::vector<bool> suppressed(counts.size(), nothing);
    if (k > 0 && !nothing) suppressed = SuppressedRows(patients, k);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      to->rows.push_back(
          {std::string(names[i]), suppressed[i], suppressed[i] ? RowCounts{} : counts[i]});
    }
  };
  shown.total = {"all", nothing, nothing ? RowCounts{} : d.total};
  for (std::size_t t = 0; t < d.tables.size(); ++t) {
    const TableLayout& layout = DescriptionTables()[t];
    if (layout.name == "label" && target.empty()) continue;
    shown.tables.push_back(
        {std::string(layout.name), std::string(layout.title), std::string(layout.missing), {}});
    table(layout.rows, d.tables[t], &shown.tables.back());
  }
  shown.refused = {"refused", "Refused files", {}, {}};
  std::vector<RowCounts> files;
  for (const std::uint64_t count : d.refused) files.push_back({count, count});
  table(RefusalRows(), files, &shown.refused);
  for (ShownRow& row : shown.refused.rows) row.counts.patients = 0;
  const auto& modalities = shown.tables.front().rows;
  for (std::size_t h = 0; h < d.histograms.size(); ++h) {
    const HistogramLayout& layout = DescriptionHistograms()[h];
    const Histogram& histogram = d.histograms[h];
    const auto row = std::find_if(modalities.begin(), modalities.end(),
                                  [&](const ShownRow& r) { return r.name == layout.modality; });
    if (histogram.images == 0 || histogram.images < k || row->suppressed) continue;
    ShownHistogram bars{std::string(layout.modality),
                        std::string(layout.unit),
                        layout.low,
                        layout.high,
                        histogram.images,
                        {}};
    const double whole = static_cast<double>(histogram.images) * kImageMass;
    for (const std::uint64_t mass : histogram.mass) {
      bars.shares.push_back(static_cast<double>(mass) / whole);
    }
    shown.histograms.push_back(std::move(bars));
  }
  return shown;
}

}  // namespace

std::vector<bool> SuppressedRows(const std::vector<std::uint64_t>& counts, std::uint64_t k) {
  std::vector<bool> suppressed(counts.size());
  std::uint64_t hidden = 0;
  std::size_t rows = 0;
  const auto hide = [&](std::size_t row) {
    suppressed[row] = true;
    hidden += counts[row];
    ++rows;
  };
  std::vector<std::size_t> others;
  for (std::size_t row = 0; row < counts.size(); ++row) {
    if (counts[row] == 0) continue;
    if (counts[row] < k) {
      hide(row);
    } else {
      others.push_back(row);
    }
  }
  std::stable_sort(others.begin(), others.end(),
                   [&](std::size_t a, std::size_t b) { return counts[a] < counts[b]; });
  for (const std::size_t row : others) {
    if (rows == 0 || (rows >= 2 && hidden >= k)) break;
    hide(row);
  }
  return suppressed;
}

ShownDescription ShowAll(const Description& description, std::string_view target) {
  return Show(description, target, 0);
}

ShownDescription Suppress(const Description& description, std::string_view target,
                          std::uint64_t k) {
  CONSILIUM_CHECK(k >= kLeastSmallestCount);
  return Show(description, target, k);
}

}  // namespace consilium::metrics

#pragma once

// What a site's images are, as counts that add up across sites: how many patients and images there
// are of which sex, age, modality, manufacturer ..., what is missing, what was refused, and how
// bright the images are. The layout is the same at all sites and no row names anything rare, so
// that a row's presence tells nothing.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::metrics {

struct TableLayout {
  std::string_view name;   // "sex": a word for machines
  std::string_view title;  // "Sex"
  std::vector<std::string_view> rows;
  std::string_view missing;  // the row of images that do not say it; empty: each says it
};
// Of patients and images: modality, sex, age, manufacturer, view, pixel spacing, slice thickness,
// image size, label. Every image is in one row of each table (of "label" only when a target was
// asked for). A patient is counted once in every row in which he has an image.
const std::vector<TableLayout>& DescriptionTables();
// Why files were refused (datasets::Name(Refusal)); what is not listed counts as "other".
const std::vector<std::string_view>& RefusalRows();

// Of how many images there are of which brightness, a modality each. CT: Hounsfield units; others:
// from the smallest to the largest value of each image, brighter is higher. Every image counts the
// same whatever its size: its pixels are kImageMass together.
struct HistogramLayout {
  std::string_view modality;
  double low = 0, high = 1;  // of the bins, even between them
  std::string_view unit;     // "Hounsfield units"
};
const std::vector<HistogramLayout>& DescriptionHistograms();
inline constexpr std::size_t kHistogramBins = 64;
inline constexpr std::uint64_t kImageMass = 1'000'000;

struct RowCounts {
  std::uint64_t patients = 0, images = 0;
  bool operator==(const RowCounts&) const = default;
};

struct Histogram {
  std::uint64_t images = 0;  // that were read, one a patient
  std::array<std::uint64_t, kHistogramBins> mass{};
  bool operator==(const Histogram&) const = default;
};

struct Description {
  Description();  // nothing

  RowCounts total;
  std::vector<std::vector<RowCounts>> tables;  // as DescriptionTables()
  std::vector<std::uint64_t> refused;          // files, as RefusalRows()
  std::vector<Histogram> histograms;           // as DescriptionHistograms()

  bool operator==(const Description&) const = default;
};

// The layout in words: what two programs must have the same to add their descriptions up.
std::string DescriptionLayoutText();

// Whether such counts can be: rows that add up to the total, no more patients than images,
// histograms of as many images as they say. kInvalidArgument names the table.
absl::Status Check(const Description& description, bool with_label);

// As numbers of the 64-bit ring, kDescriptionSums() of them.
std::size_t DescriptionSums();
std::vector<std::uint64_t> ToRing(const Description& description);
// kInvalidArgument: another length, or what Check refuses (some site sent nonsense).
absl::StatusOr<Description> DescriptionFromRing(std::span<const std::uint64_t> ring,
                                                bool with_label);

// ---- how it is made of images

struct ImageFacts {
  std::string_view patient;                 // any key of the patient: only compared
  std::string_view modality, sex;           // as DICOM says them
  std::optional<double> age_years;          // at the study
  std::string_view manufacturer, view;      // as the file says them
  double spacing_mm = 0, thickness_mm = 0;  // 0: not said
  std::uint32_t rows = 0, columns = 0;
  std::optional<int> label;  // 0 or 1
};

class DescriptionBuilder {
 public:
  explicit DescriptionBuilder(bool with_label);
  ~DescriptionBuilder();
  void Add(const ImageFacts& image);
  void AddRefused(std::string_view reason, std::uint64_t files);
  // `values`: from 0 (the histogram's low) to 1 (its high). What is at 0 or below is no part of the
  // picture (padding, collimation, the air around a scan); an image of nothing else is left out.
  // At most one image a patient and modality.
  void AddPixels(std::string_view modality, std::span<const float> values);
  const Description& description() const { return description_; }

 private:
  struct Seen;
  const bool with_label_;
  Description description_;
  std::unique_ptr<Seen> seen_;
};

// The row of a manufacturer: names differ by spelling and by what was bought by whom.
std::string_view ManufacturerRow(std::string_view manufacturer);

}  // namespace consilium::metrics

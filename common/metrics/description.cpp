#include "common/metrics/description.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "common/base/status.h"

namespace consilium::metrics {
namespace {

constexpr std::string_view kNotSaid = "not said", kOther = "other";
constexpr std::uint64_t kMostCounted = std::uint64_t{1} << 40;

enum Table { kModality, kSex, kAge, kManufacturer, kView, kSpacing, kThickness, kSize, kLabel };

// Where a value belongs among rows that are named after bands: upper ends, excluded.
struct Bands {
  std::vector<double> ends;
  std::size_t RowOf(double value) const {
    return std::upper_bound(ends.begin(), ends.end(), value) - ends.begin();
  }
};
const Bands kAges{{18, 30, 40, 50, 60, 70, 80, 90}};
const Bands kSpacings{{0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2}};
const Bands kThicknesses{{1, 2, 3, 5, 10}};
const Bands kSizes{{256, 512, 1024, 2048, 4096}};

struct Maker {
  std::string_view row;
  std::vector<std::string_view> words;  // any of them in the name, in capitals, letters only
};
const std::vector<Maker>& Makers() {
  static const std::vector<Maker> makers = {
      {"Agfa", {"AGFA"}},
      {"Canon / Toshiba", {"CANON", "TOSHIBA"}},
      {"Carestream / Kodak", {"CARESTREAM", "KODAK"}},
      {"Fujifilm", {"FUJI"}},
      {"GE", {"GEMEDICAL", "GEHEALTHCARE", "GENERALELECTRIC", "LUNAR"}},
      {"Heidelberg", {"HEIDELBERG"}},
      {"Hitachi", {"HITACHI", "ALOKA"}},
      {"Hologic / Lorad", {"HOLOGIC", "LORAD"}},
      {"Konica Minolta", {"KONICA", "MINOLTA"}},
      {"Mindray", {"MINDRAY"}},
      {"Philips", {"PHILIPS", "MARCONI", "PICKER", "ADAC"}},
      {"Samsung", {"SAMSUNG", "MEDISON"}},
      {"Shimadzu", {"SHIMADZU"}},
      {"Siemens", {"SIEMENS", "ACUSON"}},
      {"Topcon", {"TOPCON"}},
      {"United Imaging", {"UNITEDIMAGING", "UIH"}},
      {"Zeiss", {"ZEISS"}},
  };
  return makers;
}

std::vector<std::string_view> MakerRows() {
  std::vector<std::string_view> rows;
  for (const Maker& maker : Makers()) rows.push_back(maker.row);
  rows.insert(rows.end(), {kOther, kNotSaid});
  return rows;
}

std::string LettersOf(std::string_view name) {
  std::string letters;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') letters += c;
    if (c >= 'a' && c <= 'z') letters += static_cast<char>(c - 'a' + 'A');
  }
  return letters;
}

std::size_t RowNamed(Table table, std::string_view name) {
  const auto& rows = DescriptionTables()[table].rows;
  return std::find(rows.begin(), rows.end(), name) - rows.begin();
}

// The row of a word; "other" for one that has none, "not said" for none at all.
std::size_t RowOfWord(Table table, std::string_view word) {
  if (word.empty()) return RowNamed(table, kNotSaid);
  const std::size_t row = RowNamed(table, word);
  return row < DescriptionTables()[table].rows.size() ? row : RowNamed(table, kOther);
}

std::size_t RowOfLength(Table table, const Bands& bands, double value) {
  return value > 0 ? bands.RowOf(value) : RowNamed(table, kNotSaid);
}

std::array<std::size_t, kLabel + 1> RowsOf(const ImageFacts& image) {
  std::array<std::size_t, kLabel + 1> rows{};
  rows[kModality] = RowOfWord(kModality, image.modality.empty() ? kOther : image.modality);
  rows[kSex] = RowOfWord(kSex, image.sex);
  rows[kAge] = image.age_years ? kAges.RowOf(*image.age_years) : RowNamed(kAge, kNotSaid);
  rows[kManufacturer] = RowNamed(kManufacturer, ManufacturerRow(image.manufacturer));
  rows[kView] = RowOfWord(kView, image.view);
  rows[kSpacing] = RowOfLength(kSpacing, kSpacings, image.spacing_mm);
  rows[kThickness] = RowOfLength(kThickness, kThicknesses, image.thickness_mm);
  rows[kSize] = kSizes.RowOf(std::max(image.rows, image.columns));
  rows[kLabel] = image.label ? (*image.label == 1 ? 0 : 1) : RowNamed(kLabel, kNotSaid);
  return rows;
}

// Calls `number` with every count, in the order of the ring.
template <class Counts, class Number>
void ForEach(Counts& description, const Number& number) {
  const auto row = [&](auto& counts) {
    number(counts.patients);
    number(counts.images);
  };
  row(description.total);
  for (auto& table : description.tables) {
    for (auto& counts : table) row(counts);
  }
  for (auto& files : description.refused) number(files);
  for (auto& histogram : description.histograms) {
    number(histogram.images);
    for (auto& mass : histogram.mass) number(mass);
  }
}

absl::Status Impossible(std::string_view table, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("the counts of \"", table, "\" are impossible: ", why));
}

absl::Status CheckTable(std::string_view name, const std::vector<RowCounts>& rows,
                        const RowCounts& total) {
  RowCounts sum;
  for (const RowCounts& row : rows) {
    if (row.patients > row.images || (row.patients == 0 && row.images > 0)) {
      return Impossible(name, "a row has more patients than images, or images of nobody");
    }
    if (row.patients > total.patients) return Impossible(name, "a row has more patients than all");
    sum.patients += row.patients;
    sum.images += row.images;
  }
  if (sum.images != total.images) return Impossible(name, "the images do not add up");
  if (sum.patients < total.patients) return Impossible(name, "some patients are in no row");
  return absl::OkStatus();
}

absl::Status CheckHistogram(std::string_view modality, const Histogram& histogram,
                            const RowCounts& row) {
  if (histogram.images > row.patients) {
    return Impossible(modality, "its histogram is of more images than there are patients");
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t mass : histogram.mass) sum += mass;
  if (sum != histogram.images * kImageMass) {
    return Impossible(modality, "its histogram is not of as many images as it says");
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<TableLayout>& DescriptionTables() {
  static const std::vector<TableLayout> tables = {
      {"modality",
       "Modality",
       {"CR", "CT", "DX", "ES", "MG", "MR", "NM", "OCT", "OP", "PT", "PX", "RF", "SM", "US", "XA",
        kOther},
       {}},
      {"sex", "Sex", {"F", "M", "O", kOther, kNotSaid}, kNotSaid},
      {"age",
       "Age in years",
       {"0-17", "18-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80-89", "90+", kNotSaid},
       kNotSaid},
      {"manufacturer", "Manufacturer", MakerRows(), kNotSaid},
      {"view",
       "View",
       {"AP", "PA", "LL", "RL", "CC", "MLO", "ML", "LM", "XCCL", kOther, kNotSaid},
       kNotSaid},
      {"pixel_spacing",
       "Pixel spacing in mm",
       {"below 0.1", "0.1-0.15", "0.15-0.2", "0.2-0.3", "0.3-0.5", "0.5-0.75", "0.75-1", "1-2",
        "2 or more", kNotSaid},
       kNotSaid},
      {"slice_thickness",
       "Slice thickness in mm",
       {"below 1", "1-2", "2-3", "3-5", "5-10", "10 or more", kNotSaid},
       kNotSaid},
      {"image_size",
       "Longer side in pixels",
       {"below 256", "256-511", "512-1023", "1024-2047", "2048-4095", "4096 or more"},
       {}},
      {"label", "Label", {"positive", "negative", kNotSaid}, kNotSaid},
  };
  return tables;
}

const std::vector<std::string_view>& RefusalRows() {
  static const std::vector<std::string_view> rows = {"unreadable",
                                                     "not-dicom",
                                                     "damaged",
                                                     "unsupported-transfer-syntax",
                                                     "no-pixel-data",
                                                     "several-frames",
                                                     "colour-image",
                                                     "unsupported-bits",
                                                     "missing-sop-instance-uid",
                                                     "missing-patient-id",
                                                     "burned-in-annotation",
                                                     "too-large",
                                                     "undecodable",
                                                     "duplicate-instance",
                                                     "missing-label",
                                                     "conflicting-labels",
                                                     "missing-modality",
                                                     "recognizable-face",
                                                     "document",
                                                     "not-an-instance",
                                                     "crashed-reader",
                                                     "reader-took-too-long",
                                                     "reader-needed-too-much-memory",
                                                     "not-for-training",
                                                     kOther};
  return rows;
}

const std::vector<HistogramLayout>& DescriptionHistograms() {
  constexpr std::string_view kRange = "from each image's smallest to its largest value";
  static const std::vector<HistogramLayout> histograms = {
      {"CR", 0, 1, kRange}, {"CT", -1024, 3072, "Hounsfield units"},
      {"DX", 0, 1, kRange}, {"MG", 0, 1, kRange},
      {"MR", 0, 1, kRange}, {"OP", 0, 1, kRange},
      {"PT", 0, 1, kRange}, {"US", 0, 1, kRange}};
  return histograms;
}

Description::Description()
    : refused(RefusalRows().size()), histograms(DescriptionHistograms().size()) {
  for (const TableLayout& table : DescriptionTables()) tables.emplace_back(table.rows.size());
}

std::string DescriptionLayoutText() {
  std::string text;
  for (const TableLayout& table : DescriptionTables()) {
    StrAppend(&text, "table ", table.name, "\n");
    for (const std::string_view row : table.rows) StrAppend(&text, " ", row, "\n");
  }
  StrAppend(&text, "refused\n");
  for (const std::string_view row : RefusalRows()) StrAppend(&text, " ", row, "\n");
  for (const HistogramLayout& h : DescriptionHistograms()) {
    StrAppend(&text, "histogram ", h.modality, " ", h.low, " ", h.high, " ", kHistogramBins, " ",
              kImageMass, "\n");
  }
  return text;
}

absl::Status Check(const Description& d, bool with_label) {
  if (d.total.patients > d.total.images || (d.total.patients == 0) != (d.total.images == 0)) {
    return Impossible("total", "more patients than images, or images of nobody");
  }
  bool too_many = d.total.images > kMostCounted;
  ForEach(d, [&](std::uint64_t count) { too_many |= count > kMostCounted * kImageMass; });
  for (const std::uint64_t files : d.refused) too_many |= files > kMostCounted;
  if (too_many) return Impossible("total", "more than any federation has");
  for (std::size_t t = 0; t < d.tables.size(); ++t) {
    const bool asked = t != kLabel || with_label;
    RETURN_IF_ERROR(
        CheckTable(DescriptionTables()[t].name, d.tables[t], asked ? d.total : RowCounts{}));
  }
  for (std::size_t h = 0; h < d.histograms.size(); ++h) {
    const std::string_view modality = DescriptionHistograms()[h].modality;
    RETURN_IF_ERROR(CheckHistogram(modality, d.histograms[h],
                                   d.tables[kModality][RowNamed(kModality, modality)]));
  }
  return absl::OkStatus();
}

std::size_t DescriptionSums() {
  static const std::size_t size = ToRing(Description()).size();
  return size;
}

std::vector<std::uint64_t> ToRing(const Description& description) {
  std::vector<std::uint64_t> ring;
  ForEach(description, [&](std::uint64_t count) { ring.push_back(count); });
  return ring;
}

absl::StatusOr<Description> DescriptionFromRing(std::span<const std::uint64_t> ring,
                                                bool with_label) {
  if (ring.size() != DescriptionSums()) {
    return absl::InvalidArgumentError(
        StrCat("a description has ", DescriptionSums(), " sums, not ", ring.size()));
  }
  Description description;
  std::size_t i = 0;
  ForEach(description, [&](std::uint64_t& count) { count = ring[i++]; });
  RETURN_IF_ERROR(Check(description, with_label));
  return description;
}

// ---- how it is made of images

std::string_view ManufacturerRow(std::string_view manufacturer) {
  const std::string letters = LettersOf(manufacturer);
  if (letters.empty()) return kNotSaid;
  if (letters == "GE") return "GE";
  for (const Maker& maker : Makers()) {
    for (const std::string_view word : maker.words) {
      if (letters.find(word) != std::string::npos) return maker.row;
    }
  }
  return kOther;
}

// Which patients are counted in which row already.
struct DescriptionBuilder::Seen {
  std::unordered_map<std::string, std::uint32_t> patients;
  std::vector<std::vector<std::unordered_set<std::uint32_t>>> rows;  // [table][row]
};

DescriptionBuilder::DescriptionBuilder(bool with_label)
    : with_label_(with_label), seen_(std::make_unique<Seen>()) {
  for (const auto& table : description_.tables) seen_->rows.emplace_back(table.size());
}

DescriptionBuilder::~DescriptionBuilder() = default;

void DescriptionBuilder::Add(const ImageFacts& image) {
  const auto [found, is_new] = seen_->patients.try_emplace(
      std::string(image.patient), static_cast<std::uint32_t>(seen_->patients.size()));
  const std::uint32_t patient = found->second;
  ++description_.total.images;
  if (is_new) ++description_.total.patients;
  const auto rows = RowsOf(image);
  for (std::size_t table = 0; table < rows.size(); ++table) {
    if (table == kLabel && !with_label_) continue;
    RowCounts& counts = description_.tables[table][rows[table]];
    ++counts.images;
    if (seen_->rows[table][rows[table]].insert(patient).second) ++counts.patients;
  }
}

void DescriptionBuilder::AddRefused(std::string_view reason, std::uint64_t files) {
  const auto& rows = RefusalRows();
  const auto found = std::find(rows.begin(), rows.end(), reason);
  description_.refused[found == rows.end() ? rows.size() - 1 : found - rows.begin()] += files;
}

void DescriptionBuilder::AddPixels(std::string_view modality, std::span<const float> values) {
  const auto& layouts = DescriptionHistograms();
  const auto found = std::find_if(layouts.begin(), layouts.end(),
                                  [&](const auto& layout) { return layout.modality == modality; });
  if (found == layouts.end()) return;
  std::array<std::uint64_t, kHistogramBins> pixels{};
  std::uint64_t counted = 0;
  for (const float value : values) {
    if (!(value > 0)) continue;
    const double bin = std::floor(std::min(value, 1.0f) * kHistogramBins);
    ++pixels[std::min(static_cast<std::size_t>(bin), kHistogramBins - 1)];
    ++counted;
  }
  if (counted == 0) return;
  Histogram& histogram = description_.histograms[found - layouts.begin()];
  ++histogram.images;
  // Shares of cumulative counts, so that the whole mass is given out.
  std::uint64_t before = 0, cumulative = 0;
  for (std::size_t bin = 0; bin < kHistogramBins; ++bin) {
    cumulative += pixels[bin];
    const std::uint64_t until = cumulative * kImageMass / counted;
    histogram.mass[bin] += until - before;
    before = until;
  }
}

}  // namespace consilium::metrics

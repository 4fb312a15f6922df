#include "datasets/import.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "common/base/status.h"
#include "datasets/csv.h"
#include "datasets/dicom/writer.h"
#include "datasets/import_volume.h"
#include "datasets/parallel.h"
#include "datasets/results/segmentation_writer.h"

namespace consilium::datasets {
namespace {

struct Row {
  int line = 0;
  std::string image, patient, mask;
  int number = 1;     // of the image within the patient
  std::string label;  // as labels.csv has it
};

absl::StatusOr<std::size_t> FindColumn(const CsvTable& table, std::string_view name) {
  if (const auto column = table.Column(name)) return *column;
  std::string known;
  for (const std::string& column : table.header)
    StrAppend(&known, known.empty() ? "" : ", ", column);
  return absl::InvalidArgumentError(
      StrCat("the label table has no column \"", name, "\"; it has: ", known));
}

absl::StatusOr<std::string> ParseLabel(const ImportOptions& options, const std::string& cell,
                                       int line) {
  if (options.label_words) return cell;
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  const bool number =
      error == std::errc() && end == cell.data() + cell.size() && !std::isnan(value);
  if (number && options.has_threshold) return value > options.label_threshold ? "1" : "0";
  if (number && (value == 0 || value == 1)) return value == 1 ? "1" : "0";
  return absl::InvalidArgumentError(
      StrCat("line ", line, " of the label table: \"", options.label_column, "\" is \"",
             cell.substr(0, 40),
             "\"; 0 or 1 is allowed, or give --label-threshold for numbers or --label-words"));
}

// Names of folders are made of patient names: only what no file system minds, and nothing that
// leads out of the folder.
std::string FolderName(std::string_view patient) {
  std::string name;
  for (const char c : patient) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_';
    name.push_back(plain ? c : '_');
  }
  return name;
}

// Research sets of volumes come with files missing: the row goes, or its mask.
bool IsThere(const ImportOptions& options, Row* row, ImportReport* report) {
  std::error_code error;
  if (!fs::exists(options.from / row->image, error)) {
    ++report->without_image;
    return false;
  }
  if (row->mask.empty() || fs::exists(options.from / row->mask, error)) return true;
  ++report->without_mask;
  row->mask.clear();
  return true;
}

absl::StatusOr<std::vector<Row>> SelectRows(const ImportOptions& options, ImportReport* report) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(options.table));
  ASSIGN_OR_RETURN(const CsvTable table, ParseCsv(text));
  ASSIGN_OR_RETURN(const std::size_t image, FindColumn(table, options.image_column));
  std::optional<std::size_t> label;
  if (!options.label_column.empty()) {
    ASSIGN_OR_RETURN(label, FindColumn(table, options.label_column));
  }
  std::optional<std::size_t> patient;
  if (!options.patient_column.empty()) {
    ASSIGN_OR_RETURN(patient, FindColumn(table, options.patient_column));
  }
  std::optional<std::size_t> mask;
  if (!options.mask_column.empty()) {
    ASSIGN_OR_RETURN(mask, FindColumn(table, options.mask_column));
  }
  std::vector<std::pair<std::size_t, std::string>> filters;
  for (const ImportFilter& filter : options.filters) {
    ASSIGN_OR_RETURN(const std::size_t column, FindColumn(table, filter.column));
    filters.emplace_back(column, filter.value);
  }
  std::vector<Row> rows;
  std::map<std::string, int> images_of;
  for (const CsvRow& cells : table.rows) {
    const bool wanted = std::all_of(filters.begin(), filters.end(), [&](const auto& filter) {
      return cells.cells[filter.first] == filter.second;
    });
    if (!wanted) continue;
    if (label && cells.cells[*label].empty()) {
      ++report->without_label;
      continue;
    }
    Row row{cells.line, cells.cells[image]};
    if (mask) row.mask = cells.cells[*mask];
    row.patient = patient ? cells.cells[*patient]
                          : FolderName(fs::path(row.image).replace_extension().generic_string());
    if (row.image.empty() || row.patient.empty() || row.patient.size() > 64) {
      return absl::InvalidArgumentError(StrCat(
          "line ", row.line,
          " of the label table: the image and the patient (at most 64 characters) are needed"));
    }
    if (label) {
      ASSIGN_OR_RETURN(row.label, ParseLabel(options, cells.cells[*label], row.line));
    }
    if (options.volumes && !IsThere(options, &row, report)) continue;
    row.number = ++images_of[row.patient];
    rows.push_back(std::move(row));
  }
  report->patients = images_of.size();
  if (!rows.empty()) return rows;
  return absl::InvalidArgumentError("no row of the label table fits the filters");
}

// Whole numbers as they are; real ones spread over 16 bits with a rescale that undoes it.
void SetPixels(const Plane& plane, dicom::NewInstance* instance) {
  const auto [low, high] = std::minmax_element(plane.values.begin(), plane.values.end());
  const bool whole = plane.bits != 0;
  instance->bits_stored = whole ? plane.bits : 16;
  if (!whole) {
    const double span = double{*high} - *low;
    instance->slope = span > 0 ? span / 65535 : 1;
    instance->intercept = *low;
  }
  instance->samples = plane.samples;
  instance->values.resize(plane.values.size());
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    const double stored = (plane.values[i] - instance->intercept) / instance->slope;
    instance->values[i] =
        static_cast<std::int32_t>(std::clamp<long>(std::lround(stored), 0, 65535));
  }
  // The value range as the window: nothing better is known, and a viewer shows the image.
  instance->window = VoiWindow{(double{*low} + *high) / 2, std::max(1.0, double{*high} - *low),
                               VoiWindow::Function::kLinear};
}

std::string SopInstanceUid(const ImportOptions& options, const Row& row) {
  return dicom::MakeUid(StrCat("import/", options.modality, "/",
                               options.plane.colour ? "colour" : StrCat(options.plane.channel), "/",
                               options.plane.slice, "/", row.patient, "/", row.image));
}

// The SEG object of the image that was written to `image`.
absl::Status WriteMask(const ImportOptions& options, const Row& row, const fs::path& image,
                       const fs::path& path) {
  if (fs::path(row.mask).extension() == ".jpg" || fs::path(row.mask).extension() == ".jpeg") {
    return absl::InvalidArgumentError("a mask as JPEG has lost its edges; give it as PNG or NIfTI");
  }
  PlaneChoice choice;
  choice.slice = options.plane.slice;
  ASSIGN_OR_RETURN(const Plane mask, ReadPlane(options.from / row.mask, choice));
  const auto source = results::ReadSourceImage(image);
  if (!source.ok()) return absl::InternalError("an image that was just written cannot be read");
  if (mask.rows != source->rows || mask.columns != source->columns) {
    return absl::InvalidArgumentError(StrCat("the mask has ", mask.columns, "x", mask.rows,
                                             " pixels and the image ", source->columns, "x",
                                             source->rows));
  }
  results::NewSegmentation segmentation;
  segmentation.planes = results::PlanesOf(*source);
  segmentation.manual = true;
  ASSIGN_OR_RETURN(segmentation.segments, SegmentsOf(options.segments, mask.values));
  const results::ResultName name{
      .sop_instance_uid = dicom::MakeUid(StrCat("import/mask/", source->sop_instance_uid)),
      .series_instance_uid = dicom::MakeUid(StrCat("import/masks/", source->series_instance_uid)),
      .series_number = 2,
      .instance_number = row.number};
  results::ModelDescription program;
  program.name = "consilium-dataset import";
  constexpr Time kDrawn{std::chrono::sys_days{std::chrono::January / 1 / 2000} +
                        std::chrono::hours(12)};
  return results::WriteSegmentation(path, *source, program, name, segmentation, kDrawn);
}

NewSeries SeriesOf(const ImportOptions& options, const Row& row) {
  return {.image = options.from / row.image,
          .mask = row.mask.empty() ? fs::path() : options.from / row.mask,
          .modality = options.modality,
          .patient = row.patient,
          .name = StrCat(options.modality, "/", static_cast<int>(options.slices), "/", row.patient,
                         "/", row.image),
          .number = row.number,
          .plane = options.slices,
          .segments = options.segments,
          .folder = options.out / FolderName(row.patient)};
}

absl::Status ImportRow(const ImportOptions& options, const Row& row) {
  if (options.volumes) {
    const absl::Status imported = ImportVolume(SeriesOf(options, row));
    if (imported.ok()) return imported;
    return WithContext(imported, StrCat("line ", row.line, " of the label table"));
  }
  auto plane = ReadPlane(options.from / row.image, options.plane);
  if (!plane.ok()) {
    return WithContext(plane.status(), StrCat("line ", row.line, " of the label table"));
  }
  dicom::NewInstance instance;
  instance.modality = options.modality;
  instance.patient_id = row.patient;
  instance.study_instance_uid = dicom::MakeUid(StrCat("import/study/", row.patient));
  instance.series_instance_uid =
      dicom::MakeUid(StrCat("import/series/", options.modality, "/", row.patient));
  instance.sop_instance_uid = SopInstanceUid(options, row);
  instance.instance_number = row.number;
  instance.manufacturer = "Consilium import";
  instance.model = "consilium-dataset";
  instance.description = "Imported from a research set";
  instance.rows = plane->rows;
  instance.columns = plane->columns;
  const bool spaced = plane->row_spacing_mm > 0 && plane->column_spacing_mm > 0;
  instance.row_spacing_mm = spaced ? plane->row_spacing_mm : options.spacing_mm;
  instance.column_spacing_mm = spaced ? plane->column_spacing_mm : options.spacing_mm;
  SetPixels(*plane, &instance);
  const fs::path folder = options.out / FolderName(row.patient);
  RETURN_IF_ERROR(EnsureFolder(folder));
  const fs::path image = folder / StrCat(row.number, ".dcm");
  RETURN_IF_ERROR(dicom::WriteFile(image, instance));
  if (row.mask.empty()) return absl::OkStatus();
  const absl::Status masked =
      WriteMask(options, row, image, folder / StrCat(row.number, "-mask.dcm"));
  if (masked.ok()) return masked;
  return WithContext(masked, StrCat("line ", row.line, " of the label table"));
}

// Different patients must not meet in one folder because of the characters that FolderName
// replaces.
absl::Status CheckFolders(const std::vector<Row>& rows) {
  std::map<std::string, std::string> patient_of;
  for (const Row& row : rows) {
    const auto [known, inserted] = patient_of.emplace(FolderName(row.patient), row.patient);
    if (inserted || known->second == row.patient) continue;
    return absl::InvalidArgumentError(
        StrCat("line ", row.line,
               " of the label table: two patients differ only in characters other than letters, "
               "digits, - and _; rename one"));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const ImportOptions& options) {
  if (!dicom::HasSopClass(options.modality)) {
    return absl::InvalidArgumentError(
        StrCat("modality \"", options.modality, "\" is not among MR, CT, CR, DX, MG, US, OP"));
  }
  const bool key =
      options.target.empty() || options.target.ends_with("_uid") || options.target == "patient_id";
  if (key)
    return absl::InvalidArgumentError(
        StrCat("the target cannot be called \"", options.target, "\""));
  if (options.label_column.empty() && !options.volumes) {
    return absl::InvalidArgumentError(
        "the column of the labels is needed; only volumes may come with masks alone");
  }
  if (options.has_threshold && options.label_words) {
    return absl::InvalidArgumentError("labels are words or numbers above a threshold, not both");
  }
  if (options.mask_column.empty() != options.segments.empty()) {
    return absl::InvalidArgumentError(
        "masks need both the column of their paths and the labels of their segments");
  }
  if (!(options.spacing_mm >= 0)) {
    return absl::InvalidArgumentError("a pixel spacing is not negative");
  }
  std::error_code error;
  if (!fs::is_directory(options.from, error)) {
    return absl::NotFoundError(
        StrCat("the image folder \"", options.from.filename().string(), "\" is not there"));
  }
  if (fs::exists(options.out, error) && !fs::is_empty(options.out, error)) {
    return absl::AlreadyExistsError(StrCat("the folder \"", options.out.filename().string(),
                                           "\" is not empty; name a new one or empty it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImportReport> ImportImages(const ImportOptions& options, Progress& progress) {
  RETURN_IF_ERROR(CheckOptions(options));
  ImportReport report;
  ASSIGN_OR_RETURN(const std::vector<Row> rows, SelectRows(options, &report));
  RETURN_IF_ERROR(CheckFolders(rows));
  RETURN_IF_ERROR(EnsureFolder(options.out));
  std::mutex mutex;
  absl::Status failure;
  std::atomic<std::size_t> done = 0;
  const bool all = ParallelFor(rows.size(), options.threads, [&](std::size_t i) {
    const absl::Status imported = ImportRow(options, rows[i]);
    progress.Report("importing", ++done, rows.size());
    const std::lock_guard lock(mutex);
    if (failure.ok()) failure = imported;
    return failure.ok() && !progress.Cancelled();
  });
  RETURN_IF_ERROR(failure);
  if (!all) return absl::CancelledError("importing was interrupted; the folder is incomplete");
  std::string labels = StrCat(options.volumes ? "series_instance_uid," : "sop_instance_uid,",
                              CsvCell(options.target), "\n");
  for (const Row& row : rows) {
    StrAppend(&labels,
              options.volumes ? SeriesUid(SeriesOf(options, row)) : SopInstanceUid(options, row),
              ",", CsvCell(row.label), "\n");
    report.positives += !options.label_words && row.label == "1";
    report.masks += !row.mask.empty();
  }
  report.images = rows.size();
  if (options.label_column.empty()) return report;
  RETURN_IF_ERROR(WriteFileDurably(options.out / "labels.csv", labels, 0644));
  return report;
}

}  // namespace consilium::datasets

// What the targets of plans say of a catalog's images: labels and outlines.

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/catalog.h"
#include "datasets/dicom/header.h"
#include "datasets/requirements.h"
#include "datasets/survival_time.h"
#include "datasets/targets/image_mask.h"

namespace consilium::datasets {

struct Catalog::FileTarget {
  Refusal refused = Refusal::kNone;
  int target = 0;
  std::vector<float> labels;
  std::vector<CatalogMask> masks;

  bool SaysTheSame(const FileTarget& other) const {
    return refused == other.refused && target == other.target &&
           std::equal(labels.begin(), labels.end(), other.labels.begin(), other.labels.end(),
                      [](float a, float b) { return a == b || (a != a && b != b); });
  }
};

namespace {

// What Unwanted() looks at, from the columns that begin at `first`.
constexpr std::string_view kWantedColumns =
    "modality, view_position, age, frames, row_spacing_mm, column_spacing_mm";
dicom::Header HeaderAt(const storage::Statement& row, int first) {
  dicom::Header header;
  header.modality = row.Text(first);
  header.view_position = row.Text(first + 1);
  if (!row.IsNull(first + 2)) header.patient_age_years = row.Real(first + 2);
  header.frames = static_cast<std::uint32_t>(row.Int(first + 3));
  header.row_spacing_mm = row.Real(first + 4);
  header.column_spacing_mm = row.Real(first + 5);
  return header;
}

absl::StatusOr<Refusal> RefusalOf(std::int64_t number) {
  if (const auto reason = RefusalNumbered(number)) return *reason;
  return absl::DataLossError(
      StrCat("the catalog holds the reason ", number,
             " for refusing a file, which this program does not know; index the folder again"));
}

// An image of which labels.csv says nothing, or two things, may be segmented all the same.
Refusal ReasonFor(const plan::Target& target, Refusal reason) {
  const bool of_labels = reason == Refusal::kMissingLabel || reason == Refusal::kConflictingLabels;
  return of_labels && TaughtByMasks(target.task) ? Refusal::kNone : reason;
}

Refusal WithoutTarget(const plan::Target& target) {
  return TaughtByMasks(target.task) ? Refusal::kNoMask : Refusal::kMissingLabel;
}

std::vector<std::string> ColumnsOf(const plan::Target& target) {
  if (target.task == Task::kMultilabel) return target.classes;
  if (target.task == Task::kSurvival) return {target.time, target.event};
  return {target.name};
}

std::string Listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) StrAppend(&list, list.empty() ? "" : ", ", name);
  return list.empty() ? "none" : list;
}

absl::Status CheckColumn(storage::Database& database, const std::string& column) {
  ASSIGN_OR_RETURN(
      auto query,
      database.Prepare("SELECT COUNT(*) FROM labels WHERE target = ? AND word NOTNULL"));
  ASSIGN_OR_RETURN(const bool counted, query.Bind(column).Step());
  const std::int64_t words = counted ? query.Int(0) : 0;
  if (words == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "the column \"", column, "\" of the labels has ", words,
      " values (of images) that are not 0 and 1; correct labels.csv and index again, or make "
      "a plan with task = \"multiclass\""));
}

void AddEach(const std::vector<CatalogMask>& masks, std::vector<CatalogMask>* all) {
  all->insert(all->end(), masks.begin(), masks.end());
  const auto by_path = [](const CatalogMask& a, const CatalogMask& b) { return a.path < b.path; };
  std::sort(all->begin(), all->end(), by_path);
  all->erase(std::unique(all->begin(), all->end(),
                         [](const auto& a, const auto& b) { return a.path == b.path; }),
             all->end());
}

// Images, by path, as volumes: one for each series, or file without one.
std::vector<CatalogImage> BySeries(std::vector<CatalogImage> images) {
  std::vector<CatalogImage> volumes;
  std::unordered_map<std::string, std::size_t> known;
  std::vector<std::string> identities;
  for (CatalogImage& image : images) {
    const std::string key = image.series.empty() ? image.sop_instance_uid : image.series;
    const std::string file =
        StrCat(image.sop_instance_uid, " ", image.size, " ", image.modified_ns, "\n");
    const auto [found, is_new] = known.emplace(key, volumes.size());
    if (is_new) {
      image.slices = {image.path};
      image.sop_instance_uid = key;
      volumes.push_back(std::move(image));
      identities.push_back(file);
      continue;
    }
    CatalogImage& volume = volumes[found->second];
    volume.slices.push_back(std::move(image.path));
    volume.size += image.size;
    identities[found->second] += file;
  }
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    volumes[i].modified_ns = static_cast<std::int64_t>(StableHash(identities[i]));
  }
  return volumes;
}

}  // namespace

Bytes Catalog::WordHash(std::string_view column, std::string_view word) const {
  return pseudonyms_.KeyedHash("label", StrCat(column, "\n", word));
}

Bytes Catalog::SegmentHash(std::string_view label) const {
  return pseudonyms_.KeyedHash("segment", targets::FoldedLabel(label));
}

absl::Status Catalog::CheckTarget(const plan::Target& target) {
  if (TaughtByMasks(target.task)) {
    ASSIGN_OR_RETURN(const auto masks, Masks(target.classes));
    if (!masks.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("no segmentation and no structure set in the folder outlines a structure called ",
               Listed(target.classes),
               "; put the SEG or RTSTRUCT objects beside the images and index again"));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> known, Targets());
  for (const std::string& column : ColumnsOf(target)) {
    if (std::find(known.begin(), known.end(), column) == known.end()) {
      return absl::FailedPreconditionError(
          StrCat("the labels have no target \"", column, "\" (they have: ", Listed(known),
                 "); add the column to labels.csv and index again"));
    }
    const bool of_flags = target.task == Task::kBinary || target.task == Task::kMultilabel;
    if (of_flags) RETURN_IF_ERROR(CheckColumn(database_, column));
  }
  if (target.task == Task::kSurvival) return TargetsOf(target).status();
  if (target.task != Task::kMulticlass) return absl::OkStatus();
  ASSIGN_OR_RETURN(const FileTargets targets, TargetsOf(target));
  const bool any = std::any_of(targets.begin(), targets.end(), [](const auto& file) {
    return file.second.refused == Refusal::kNone;
  });
  if (any || targets.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the column \"", target.name,
                                              "\" of the labels has none of the plan's classes (",
                                              Listed(target.classes), ")"));
}

absl::StatusOr<Catalog::FileTargets> Catalog::TargetsOf(const plan::Target& target) {
  FileTargets targets;
  if (TaughtByMasks(target.task)) {
    RETURN_IF_ERROR(AddMasks(target, &targets));
  } else if (target.task == Task::kSurvival) {
    RETURN_IF_ERROR(AddTimes(target, &targets));
  } else {
    RETURN_IF_ERROR(AddLabels(target, &targets));
  }
  return targets;
}

// Days, and whether the event happened then; both must be known.
absl::Status Catalog::AddTimes(const plan::Target& target, FileTargets* targets) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::string> columns = ColumnsOf(target);
  for (std::size_t column = 0; column < columns.size(); ++column) {
    ASSIGN_OR_RETURN(auto query, database_.Prepare(
                                     "SELECT file_id, value, number FROM labels WHERE target = ?"));
    query.Bind(columns[column]);
    std::uint64_t wrong = 0;
    while (true) {
      ASSIGN_OR_RETURN(const bool found, query.Step());
      if (!found) break;
      double value = query.IsNull(1) ? kUnknown : static_cast<double>(query.Int(1));
      bool is_number = !query.IsNull(1);
      if (!query.IsNull(2)) {
        ASSIGN_OR_RETURN(const std::string text, cipher_.Open("label", query.Blob(2)));
        is_number = text.empty() || absl::SimpleAtod(text, &value);
      }
      const bool possible =
          column == 0 ? !(value > kLongestDays) : std::isnan(value) || value == 0 || value == 1;
      wrong += !is_number || !possible;
      std::vector<float>& labels = (*targets)[query.Int(0)].labels;
      labels.resize(columns.size(), std::numeric_limits<float>::quiet_NaN());
      labels[column] = static_cast<float>(value);
    }
    if (wrong > 0) {
      return absl::FailedPreconditionError(StrCat(
          "the column \"", columns[column], "\" of the labels has ", wrong, " values (of images) ",
          column == 0 ? "that are no number of days up to a hundred years" : "that are not 0 and 1",
          "; correct labels.csv and index again"));
    }
  }
  for (auto& [id, file] : *targets) {
    const float days = file.labels[0], event = file.labels[1];
    if (std::isnan(days) || std::isnan(event)) {
      file.refused = Refusal::kMissingLabel;
    } else if (!(days > 0)) {
      file.refused = Refusal::kNoTime;
    }
  }
  return absl::OkStatus();
}

absl::Status Catalog::AddLabels(const plan::Target& target, FileTargets* targets) {
  const std::vector<std::string> columns = ColumnsOf(target);
  for (std::size_t column = 0; column < columns.size(); ++column) {
    std::map<std::string, int> classes;  // by the words' hashes
    int numbers[2] = {-1, -1};           // the classes called "0" and "1"
    for (std::size_t i = 0; i < target.classes.size() && target.task == Task::kMulticlass; ++i) {
      classes[std::string(AsText(WordHash(columns[column], target.classes[i])))] =
          static_cast<int>(i);
      if (target.classes[i] == "0") numbers[0] = static_cast<int>(i);
      if (target.classes[i] == "1") numbers[1] = static_cast<int>(i);
    }
    ASSIGN_OR_RETURN(auto query,
                     database_.Prepare("SELECT file_id, value, word FROM labels WHERE target = ?"));
    query.Bind(columns[column]);
    while (true) {
      ASSIGN_OR_RETURN(const bool found, query.Step());
      if (!found) break;
      const bool is_word = query.IsNull(1);
      const int value = is_word ? 0 : static_cast<int>(query.Int(1) != 0);
      if (target.task == Task::kMulticlass) {
        const auto known = classes.find(std::string(AsText(query.Blob(2))));
        const int of_word = known == classes.end() ? -1 : known->second;
        const int chosen = is_word ? of_word : numbers[value];
        FileTarget& file = (*targets)[query.Int(0)];
        file.target = std::max(0, chosen);
        if (chosen < 0) file.refused = Refusal::kUnwantedLabel;
      } else if (!is_word) {
        FileTarget& file = (*targets)[query.Int(0)];
        if (target.task == Task::kBinary) {
          file.target = value;
          continue;
        }
        file.labels.resize(columns.size(), std::numeric_limits<float>::quiet_NaN());
        file.labels[column] = static_cast<float>(value);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unordered_map<std::int64_t, CatalogMask>> Catalog::Masks(
    const std::vector<std::string>& structures) {
  std::unordered_map<std::int64_t, CatalogMask> masks;
  for (const std::string& structure : structures) {
    ASSIGN_OR_RETURN(auto query, database_.Prepare(R"sql(
        SELECT id, sealed_path, size, modified_ns FROM segments JOIN files ON id = file_id
        WHERE label = ?)sql"));
    const Bytes label = SegmentHash(structure);
    query.Bind(ByteView(label));
    while (true) {
      ASSIGN_OR_RETURN(const bool found, query.Step());
      if (!found) break;
      ASSIGN_OR_RETURN(std::string path, cipher_.Open("path", query.Blob(1)));
      masks[query.Int(0)] = {std::move(path), static_cast<std::uint64_t>(query.Int(2)),
                             query.Int(3)};
    }
  }
  return masks;
}

absl::Status Catalog::AddMasks(const plan::Target& target, FileTargets* targets) {
  ASSIGN_OR_RETURN(const auto masks, Masks(target.classes));
  std::unordered_map<std::string, std::vector<std::int64_t>> of_instance;
  ASSIGN_OR_RETURN(auto references,
                   database_.Prepare("SELECT file_id, instance FROM segmented_instances"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, references.Step());
    if (!found) break;
    if (masks.contains(references.Int(0))) {
      of_instance[references.Text(1)].push_back(references.Int(0));
    }
  }
  ASSIGN_OR_RETURN(
      auto files, database_.Prepare("SELECT id, sop_instance_uid FROM files WHERE own_reason = 0"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, files.Step());
    if (!found) return absl::OkStatus();
    const auto segmented = of_instance.find(files.Text(1));
    if (segmented == of_instance.end()) continue;
    FileTarget& file = (*targets)[files.Int(0)];
    for (const std::int64_t mask : segmented->second) file.masks.push_back(masks.at(mask));
    std::sort(file.masks.begin(), file.masks.end(),
              [](const CatalogMask& a, const CatalogMask& b) { return a.path < b.path; });
  }
}

// What is said of one image of a series holds for all of it.
absl::Status Catalog::SpreadOverSeries(FileTargets* targets) {
  ASSIGN_OR_RETURN(auto query, database_.Prepare(
                                   "SELECT id, series_instance_uid FROM files WHERE own_reason = 0 "
                                   "AND series_instance_uid <> '' ORDER BY id"));
  std::map<std::string, std::vector<std::int64_t>> files;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    files[query.Text(1)].push_back(query.Int(0));
  }
  for (const auto& [series, ids] : files) {
    std::optional<FileTarget> whole;
    for (const std::int64_t id : ids) {
      const auto known = targets->find(id);
      if (known == targets->end()) continue;
      if (!whole) {
        whole = known->second;
        continue;
      }
      if (!whole->SaysTheSame(known->second)) whole->refused = Refusal::kConflictingLabels;
      AddEach(known->second.masks, &whole->masks);
    }
    if (!whole) continue;
    for (const std::int64_t id : ids) (*targets)[id] = *whole;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CatalogImage>> Catalog::Images(
    const plan::Target& target, const plan::Data& data, const plan::Preprocessing& preprocessing) {
  ASSIGN_OR_RETURN(FileTargets targets, TargetsOf(target));
  if (preprocessing.slices > 0) RETURN_IF_ERROR(SpreadOverSeries(&targets));
  ASSIGN_OR_RETURN(auto query, database_.Prepare(StrCat(R"sql(
      SELECT id, sealed_path, sop_instance_uid, patient_id, size, modified_ns, reason,
      series_instance_uid, )sql",
                                                        kWantedColumns, " FROM files")));
  std::vector<CatalogImage> images;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    const auto known = targets.find(query.Int(0));
    if (known == targets.end() || known->second.refused != Refusal::kNone) continue;
    ASSIGN_OR_RETURN(const Refusal reason, RefusalOf(query.Int(6)));
    if (ReasonFor(target, reason) != Refusal::kNone) continue;
    const dicom::Header header = HeaderAt(query, 8);
    if (Unwanted(header, data, preprocessing)) continue;
    ASSIGN_OR_RETURN(std::string path, cipher_.Open("path", query.Blob(1)));
    FileTarget& file = known->second;
    images.push_back({query.Int(0),
                      std::move(path),
                      query.Text(2),
                      query.Text(3),
                      header.modality,
                      static_cast<std::uint64_t>(query.Int(4)),
                      query.Int(5),
                      file.target,
                      std::move(file.labels),
                      std::move(file.masks),
                      query.Text(7),
                      {}});
  }
  std::sort(images.begin(), images.end(),
            [](const CatalogImage& a, const CatalogImage& b) { return a.path < b.path; });
  if (preprocessing.slices > 0) return BySeries(std::move(images));
  return images;
}

absl::StatusOr<std::vector<CatalogImage>> Catalog::Images(
    std::string_view target, const plan::Data& data, const plan::Preprocessing& preprocessing) {
  plan::Target binary;
  binary.name = target;
  return Images(binary, data, preprocessing);
}

absl::StatusOr<std::map<Refusal, std::uint64_t>> Catalog::Refusals(
    const plan::Target& target, const plan::Data& data, const plan::Preprocessing& preprocessing) {
  ASSIGN_OR_RETURN(FileTargets targets, TargetsOf(target));
  if (preprocessing.slices > 0) RETURN_IF_ERROR(SpreadOverSeries(&targets));
  ASSIGN_OR_RETURN(auto query,
                   database_.Prepare(StrCat("SELECT reason, id, ", kWantedColumns, " FROM files")));
  std::map<Refusal, std::uint64_t> counts;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return counts;
    ASSIGN_OR_RETURN(const Refusal stored, RefusalOf(query.Int(0)));
    Refusal reason = ReasonFor(target, stored);
    if (reason == Refusal::kNone) {
      const auto known = targets.find(query.Int(1));
      if (const auto unwanted = Unwanted(HeaderAt(query, 2), data, preprocessing)) {
        reason = unwanted->reason;
      } else {
        reason = known == targets.end() ? WithoutTarget(target) : known->second.refused;
      }
    }
    if (reason != Refusal::kNone) ++counts[reason];
  }
}

}  // namespace consilium::datasets

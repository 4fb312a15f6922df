#pragma once

// A site's index of its own images: one SQLite file. Which file holds which instance of which
// patient, what was refused and why, and the labels. Never leaves the site.
//
// Claim: the file holds no identifier. Patients and UIDs are there under pseudonyms
// (deidentification/pseudonymiser.h), paths as keyed hashes and sealed (catalog_cipher.h), settings
// sealed; labels by file, 0 and 1 as they are and words as keyed hashes, as labels of segments are.
// Of what else a header says, texts that hold another identifier of the file are left out, and what
// the site's policy does not retain (index_policy.h). The key is the site's, in "pseudonym.key"
// beside the catalog (mode 0600). Who loses it gets other pseudonyms, and with them another split
// of the patients, from a catalog that is made anew.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "common/storage/database.h"
#include "datasets/catalog_cipher.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/image_reader.h"
#include "datasets/index_policy.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

struct IndexOptions {
  // Empty: FOLDER/labels.csv where there is one, else the images stay without labels.
  fs::path labels;
  unsigned threads = 0;  // 0: one for each processor
  IndexPolicy policy;    // another than the last time: every file is read again
};

struct FileRefusal {
  std::string path;  // below the folder: shown to the operator at his terminal, never logged
  Refused refused;
};

struct IndexReport {
  std::uint64_t files = 0;      // in the folder now
  std::uint64_t read = 0;       // new or changed since the last time
  std::uint64_t unchanged = 0;  // same size and time of change: not read again
  std::uint64_t removed = 0;    // gone since the last time
  // Of files that the catalog knew before it was erased, because an earlier version of this program
  // had made it, with identifiers, or because the key that it was made with is gone.
  std::uint64_t erased = 0;
  std::uint64_t accepted = 0;
  std::uint64_t patients = 0;        // of the accepted files
  std::vector<FileRefusal> refused;  // by path
  std::map<Refusal, std::uint64_t> by_reason;

  bool has_labels = false;
  std::string label_key;  // name of the key column
  std::vector<std::string> targets;
  std::uint64_t labels_without_image =
      0;  // keys of labels.csv that no accepted image has: a warning
};

// A segmentation of an image.
struct CatalogMask {
  std::string path;  // below the catalog's folder; opened for reading the file
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

// What a dataset needs to know of an accepted image, or of a volume: all accepted images of a
// series as one.
struct CatalogImage {
  std::int64_t id = 0;
  std::string path;              // below the catalog's folder; opened for reading the file
  std::string sop_instance_uid;  // mapped
  std::string patient;           // pseudonym
  std::string modality;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  int target = 0;                  // binary: 0 or 1; multiclass: the class; else 0
  std::vector<float> labels;       // multilabel: 0, 1 or NaN (not known) of each of the plan's
  std::vector<CatalogMask> masks;  // segmentation: by path, never empty
  std::string series;              // mapped series instance UID; may be empty
  // Of a volume all its files' paths in their order, else empty. Its id, path and labels are then
  // the first file's, its UID is that of the series, its size that of all files, and modified_ns a
  // hash of every file's size and time.
  std::vector<std::string> slices;
};

// What is known of an accepted image, for describing a site's data. Nothing of it but the path,
// which is opened for reading the file, identifies the patient; what the site's policy does not
// retain is empty.
struct ImageDescription {
  std::int64_t id = 0;              // CatalogImage::id
  std::int64_t modified_ns = 0;     // of the file, since 1970
  std::string patient;              // pseudonym
  std::string sex;                  // "M", "F", "O"; empty: not known
  std::optional<int> age;           // whole years; above 89: 90
  std::string modality, view;       // "DX"; "PA", empty: not known
  std::string laterality;           // "L", "R"; empty: not known
  std::string body_part;            // empty: not known
  std::string manufacturer, model;  // empty: not known
  std::uint32_t rows = 0, columns = 0, frames = 1;
  double row_spacing_mm = 0, column_spacing_mm = 0;  // 0: not known
  double slice_thickness_mm = 0;                     // 0: not known
  std::map<std::string, int> labels;                 // target -> 0 or 1; without those it has not
  // Below the catalog's folder. For reading its pixels here ("describe" needs it); not for telling.
  std::string path;
};

// Not thread-safe.
class Catalog {
 public:
  // Opens the catalog or makes an empty one, and the site's key beside it. One of an earlier
  // version is erased, for it held identifiers, as is one that another key has made: the next
  // Index() reads all files anew. One of a newer version is kFailedPrecondition.
  static absl::StatusOr<Catalog> Open(const fs::path& file);

  // Where the key of a catalog lies.
  static fs::path KeyFile(const fs::path& catalog_file);

  // Brings the catalog in line with the folder tree: reads new and changed files on several
  // threads, drops what is gone, reads the labels anew. Headers and the amount of pixel data are
  // checked here; whether compressed pixels decode shows when a dataset is first made of them
  // (SetRefused). Hidden files and the labels file are passed over; links to folders are not
  // followed. Interrupted (kCancelled), it keeps what it has read. Faults of labels.csv are
  // kInvalidArgument and leave the labels as they were; a folder that is not there is kNotFound.
  absl::StatusOr<IndexReport> Index(const fs::path& folder, const IndexOptions& options,
                                    ImageReader& reader, Progress& progress);

  // The report of the last Index() (its counts of files read, unchanged and erased are 0).
  absl::StatusOr<IndexReport> Report();

  // The folder that was last indexed; empty when none was.
  absl::StatusOr<fs::path> Folder();
  absl::StatusOr<std::vector<std::string>> Targets();

  // OK when the site can say what the plan's target asks; else kFailedPrecondition, with the column
  // and what to do, never with a patient or a value:
  //   binary        a column of labels.csv whose values are 0 and 1
  //   multiclass    a column with at least one of the classes
  //   multilabel    a column of 0 and 1 of each name
  //   segmentation  a SEG object with a segment of one of the names
  //   survival      a column of days, up to a hundred years, and one of 0 and 1
  absl::Status CheckTarget(const plan::Target& target);

  // Accepted images that the plan wants (requirements.h) and for which there is a target, ordered
  // by path. binary: a label; multiclass: a label that is one of the classes; multilabel: one known
  // label at least; segmentation: a SEG object that references the image and has a segment of one
  // of the names, be it without a pixel there. labels.csv does not matter to segmentation.
  // Of a plan of volumes each is a whole series, of which one image at least has a target; a series
  // whose images have different ones is left out.
  absl::StatusOr<std::vector<CatalogImage>> Images(const plan::Target& target,
                                                   const plan::Data& data,
                                                   const plan::Preprocessing& preprocessing);
  // Of the binary target of this name.
  absl::StatusOr<std::vector<CatalogImage>> Images(std::string_view target, const plan::Data& data,
                                                   const plan::Preprocessing& preprocessing);
  // How many files are refused, by reason; with those that the plan does not want, or that have no
  // target (kMissingLabel, kUnwantedLabel, kNoMask).
  absl::StatusOr<std::map<Refusal, std::uint64_t>> Refusals(
      const plan::Target& target, const plan::Data& data, const plan::Preprocessing& preprocessing);

  // Every accepted image, in an order that is stable but says nothing. Why others are not among
  // them is in Report().
  absl::StatusOr<std::vector<ImageDescription>> Descriptions();

  // Records that an image which looked sound cannot be used after all, until its file changes.
  absl::Status SetRefused(std::int64_t image_id, const Refused& refused);

 private:
  Catalog(storage::Database database, deidentification::Pseudonymiser pseudonyms,
          CatalogCipher cipher)
      : database_(std::move(database)),
        pseudonyms_(std::move(pseudonyms)),
        cipher_(std::move(cipher)) {}
  absl::Status Prepare();
  absl::Status EraseOfAnotherKey();
  absl::StatusOr<std::string> Setting(std::string_view name);
  absl::Status Set(std::string_view name, std::string_view value);
  // What a target says of files (catalog_targets.cpp), by their id.
  struct FileTarget;
  using FileTargets = std::unordered_map<std::int64_t, FileTarget>;
  absl::StatusOr<FileTargets> TargetsOf(const plan::Target& target);
  absl::Status AddLabels(const plan::Target& target, FileTargets* targets);
  absl::Status AddTimes(const plan::Target& target, FileTargets* targets);
  absl::Status AddMasks(const plan::Target& target, FileTargets* targets);
  absl::Status SpreadOverSeries(FileTargets* targets);
  absl::StatusOr<std::unordered_map<std::int64_t, CatalogMask>> Masks(
      const std::vector<std::string>& structures);
  Bytes WordHash(std::string_view column, std::string_view word) const;
  Bytes SegmentHash(std::string_view label) const;
  friend class Indexing;

  storage::Database database_;
  deidentification::Pseudonymiser pseudonyms_;
  CatalogCipher cipher_;
};

}  // namespace consilium::datasets

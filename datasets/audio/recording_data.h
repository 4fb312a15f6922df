#pragma once

// What one plan sees of a site's recordings: FOLDER/recordings.csv, one row a recording, and the
// files that it names.
//
//   file,patient_id,abnormal
//   a0001.wav,P0001,1
//   2024/a0002.dcm,P0002,0
//
// Read as a table is (tables/table_data.h): "patient_id" becomes a pseudonym at once, the columns
// of the target are found by name, "split" overrides the split by the patient's hash. A file's own
// header says nothing of the patient that is used. The name is not labels.csv, which is of images.
//
// An example's input is a spectrogram of bands x Frames(): the middle of a longer recording, or any
// part of it in training (Dataset::GetAnyPart). Spectrograms are kept in memory, up to kMostParts
// inputs of each recording.

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/image_reader.h"
#include "datasets/tables/table_data.h"

namespace consilium::datasets::audio {

inline constexpr char kRecordingsFile[] = "recordings.csv";

struct RecordingSource {
  fs::path folder;
  const deidentification::Pseudonymiser& pseudonyms;
  ImageReader& reader;
  unsigned threads = 0;  // 0: one for each processor
};

// The rows of recordings.csv, no file read. Errors as tables::TableData::Read.
absl::StatusOr<tables::TableData> ReadRows(const RecordingSource& source, const plan::Plan& plan,
                                           tables::Use use = tables::Use::kLearning);
// What an evaluation sees of a recording: the middle of it, bands x audio.Frames().
std::vector<float> MiddleOf(const Spectrogram& spectrogram, const plan::Audio& audio);

struct RecordingSummary {
  SplitCounts train, validation, test, total;
  std::map<std::string, std::uint64_t> refusals;  // rows and files, by the reason's name
};

// What a plan would find, without decoding anything: from the rows and from what each file says of
// itself. Errors as tables::TableData::Read.
absl::StatusOr<RecordingSummary> SurveyRecordings(const RecordingSource& source,
                                                  const plan::Plan& plan);

// Immutable and thread-safe.
class RecordingData {
 public:
  // Reads all of them. As SurveyRecordings; kCancelled.
  static absl::StatusOr<RecordingData> Open(const RecordingSource& source, const plan::Plan& plan,
                                            Progress& progress);

  // Stays valid when this goes.
  std::shared_ptr<const Dataset> Examples(Split split) const;
  const RecordingSummary& summary() const { return summary_; }

 private:
  class RecordingDataset;
  struct Content;
  RecordingData() = default;
  std::shared_ptr<const Content> content_;  // shared: the datasets may outlive this
  RecordingSummary summary_;
};

}  // namespace consilium::datasets::audio

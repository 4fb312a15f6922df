#include "datasets/audio/recording_data.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "common/base/status.h"
#include "datasets/parallel.h"

namespace consilium::datasets::audio {
namespace {

constexpr std::uint64_t kLargestTable = 64ull << 20;

// As many frames as an input has, from `first` on.
void CopyPart(const Spectrogram& spectrogram, std::uint32_t first, std::size_t frames,
              std::span<float> out) {
  CONSILIUM_CHECK(out.size() == spectrogram.bands * frames);
  for (std::size_t band = 0; band < spectrogram.bands; ++band) {
    const float* const row = spectrogram.values.data() + band * spectrogram.frames + first;
    std::copy_n(row, frames, out.begin() + static_cast<std::ptrdiff_t>(band * frames));
  }
}

// Where the middle begins.
std::uint32_t MiddleBegin(const Spectrogram& spectrogram, const plan::Audio& audio) {
  return (spectrogram.frames - audio.Frames()) / 2;
}

// Each row's file, as far as it is asked for.
std::vector<OrRefused<Recording>> ReadFiles(const RecordingSource& source,
                                            const std::vector<std::string>& files,
                                            const std::optional<plan::Audio>& audio,
                                            Progress& progress) {
  std::vector<OrRefused<Recording>> read(files.size(), Refused{Refusal::kUnreadable, ""});
  std::atomic<std::size_t> done = 0;
  ParallelFor(files.size(), source.threads, [&](std::size_t i) {
    read[i] = source.reader.ReadRecording(source.folder / files[i], audio);
    progress.Report("reading the recordings", ++done, files.size());
    return !progress.Cancelled();
  });
  return read;
}

std::optional<Refusal> RefusalOf(const SoundForm& form, const plan::Audio& audio) {
  if (form.seconds() < kShortestShare * audio.seconds) return Refusal::kTooShort;
  if (form.sample_rate_hz < audio.sample_rate_hz / 2) return Refusal::kLowSampleRate;
  return std::nullopt;
}

// Of the rows whose recording is taken.
RecordingSummary Summarise(const tables::TableData& rows,
                           const std::vector<std::optional<Refusal>>& refused) {
  RecordingSummary summary;
  for (const auto& [reason, count] : rows.summary().refusals) {
    summary.refusals[std::string(tables::Name(reason))] += count;
  }
  const auto all = rows.AllExamples();
  std::set<std::uint64_t> patients[4];
  SplitCounts* const counts[] = {&summary.train, &summary.validation, &summary.test,
                                 &summary.total};
  for (std::size_t row = 0; row < refused.size(); ++row) {
    if (refused[row]) {
      ++summary.refusals[std::string(Name(*refused[row]))];
      continue;
    }
    for (const std::size_t i : {static_cast<std::size_t>(rows.splits()[row]), std::size_t{3}}) {
      ++counts[i]->examples;
      counts[i]->positives += all->IsPositive(row);
      patients[i].insert(all->GetLabel(row).patient);
      counts[i]->patients = patients[i].size();
    }
  }
  return summary;
}

}  // namespace

absl::StatusOr<tables::TableData> ReadRows(const RecordingSource& source, const plan::Plan& plan,
                                           tables::Use use) {
  auto text = ReadTextFile(source.folder / kRecordingsFile, kLargestTable);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(
        StrCat("there is no ", kRecordingsFile,
               " here: put one into the site's data folder, with the columns file, patient_id and "
               "what the plan learns"));
  }
  RETURN_IF_ERROR(text.status());
  auto rows = tables::TableData::Parse(*text, plan, source.pseudonyms, use);
  if (!rows.ok()) return WithContext(rows.status(), kRecordingsFile);
  return rows;
}

std::vector<float> MiddleOf(const Spectrogram& spectrogram, const plan::Audio& audio) {
  std::vector<float> out(std::size_t{spectrogram.bands} * audio.Frames());
  CopyPart(spectrogram, MiddleBegin(spectrogram, audio), audio.Frames(), out);
  return out;
}

struct RecordingData::Content {
  plan::Audio audio;
  std::shared_ptr<const Dataset> rows;  // labels and targets
  std::vector<Split> splits;
  std::vector<Spectrogram> spectrograms;  // of each row; empty: refused
};

class RecordingData::RecordingDataset final : public Dataset {
 public:
  RecordingDataset(std::shared_ptr<const Content> content, std::vector<std::size_t> chosen)
      : content_(std::move(content)), chosen_(std::move(chosen)) {}

  std::size_t size() const override { return chosen_.size(); }
  std::uint32_t image_size() const override { return content_->audio.Frames(); }
  InputShape input_shape() const override {
    return {.channels = 1, .height = content_->audio.bands, .width = content_->audio.Frames()};
  }
  Label Get(std::size_t index, std::span<float> out) const override {
    return CopyFrom(index, MiddleBegin(Of(index), content_->audio), out);
  }
  Label GetAnyPart(std::size_t index, SeededRandom& random, std::span<float> out) const override {
    return CopyFrom(index, static_cast<std::uint32_t>(random.Below(Spare(index) + 1)), out);
  }
  Label GetLabel(std::size_t index) const override {
    return content_->rows->GetLabel(chosen_.at(index));
  }
  bool IsPositive(std::size_t index) const override {
    return content_->rows->IsPositive(chosen_.at(index));
  }
  std::size_t target_elements() const override { return content_->rows->target_elements(); }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    content_->rows->GetTarget(chosen_.at(index), out);
  }

 private:
  const Spectrogram& Of(std::size_t index) const {
    return content_->spectrograms[chosen_.at(index)];
  }
  // Frames beyond those of an input.
  std::uint32_t Spare(std::size_t index) const {
    return Of(index).frames - content_->audio.Frames();
  }
  Label CopyFrom(std::size_t index, std::uint32_t first, std::span<float> out) const {
    CopyPart(Of(index), first, content_->audio.Frames(), out);
    return GetLabel(index);
  }

  const std::shared_ptr<const Content> content_;
  const std::vector<std::size_t> chosen_;
};

absl::StatusOr<RecordingSummary> SurveyRecordings(const RecordingSource& source,
                                                  const plan::Plan& plan) {
  ASSIGN_OR_RETURN(const tables::TableData rows, ReadRows(source, plan));
  NoProgress progress;
  const auto read = ReadFiles(source, rows.files(), std::nullopt, progress);
  std::vector<std::optional<Refusal>> refused;
  for (const auto& recording : read) {
    refused.push_back(recording.ok() ? RefusalOf(recording->form, plan.audio)
                                     : recording.refused().reason);
  }
  return Summarise(rows, refused);
}

absl::StatusOr<RecordingData> RecordingData::Open(const RecordingSource& source,
                                                  const plan::Plan& plan, Progress& progress) {
  ASSIGN_OR_RETURN(const tables::TableData rows, ReadRows(source, plan));
  auto read = ReadFiles(source, rows.files(), plan.audio, progress);
  if (progress.Cancelled()) return absl::CancelledError("interrupted");
  auto content = std::make_shared<Content>();
  content->audio = plan.audio;
  content->rows = rows.AllExamples();
  content->splits = rows.splits();
  std::vector<std::optional<Refusal>> refused;
  for (auto& recording : read) {
    refused.push_back(recording.ok() ? std::nullopt : std::optional(recording.refused().reason));
    content->spectrograms.push_back(recording.ok() ? std::move(recording->spectrogram)
                                                   : Spectrogram());
  }
  RecordingData data;
  data.summary_ = Summarise(rows, refused);
  data.content_ = std::move(content);
  return data;
}

std::shared_ptr<const Dataset> RecordingData::Examples(Split split) const {
  std::vector<std::size_t> chosen;
  for (std::size_t row = 0; row < content_->splits.size(); ++row) {
    if (content_->splits[row] == split && content_->spectrograms[row].frames > 0) {
      chosen.push_back(row);
    }
  }
  return std::make_shared<RecordingDataset>(content_, std::move(chosen));
}

}  // namespace consilium::datasets::audio

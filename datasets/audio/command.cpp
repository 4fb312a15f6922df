// consilium-dataset audio: what the platform hears in a folder, for the site's own operator.

#include "datasets/audio/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "datasets/audio/recording_data.h"
#include "datasets/catalog.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::datasets::audio {
namespace {

struct Arguments {
  fs::path folder, plan, state;
  unsigned threads = 0;
  bool json = false, all = false;
};

struct Heard {
  std::string name;  // below the folder
  OrRefused<Recording> recording;
};

bool LooksLikeRecording(const fs::path& path) {
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return extension == ".wav" || extension == ".wave" || extension == ".dcm";
}

absl::Status FindFiles(const fs::path& folder, const fs::path& below,
                       std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder / below));
  for (const FolderEntry& entry : entries) {
    const fs::path name = below / entry.path.filename();
    if (entry.folder) {
      RETURN_IF_ERROR(FindFiles(folder, name, names));
    } else if (LooksLikeRecording(name)) {
      names.push_back(name.string());
    }
  }
  return absl::OkStatus();
}

std::string KindOf(const SoundForm& form) {
  return StrCat(form.container == Container::kWave ? "WAV" : "DICOM", ", ", form.bits, " bits, ",
                form.channels, form.channels == 1 ? " channel" : " channels");
}

// Recordings of one kind and rate.
struct Group {
  std::vector<double> seconds;
};
using Groups = std::map<std::pair<std::string, double>, Group>;

Groups GroupsOf(const std::vector<Heard>& files) {
  Groups groups;
  for (const Heard& file : files) {
    if (!file.recording.ok()) continue;
    const SoundForm& form = file.recording->form;
    groups[{KindOf(form), form.sample_rate_hz}].seconds.push_back(form.seconds());
  }
  for (auto& [key, group] : groups) std::sort(group.seconds.begin(), group.seconds.end());
  return groups;
}

std::map<Refusal, int> RefusalsOf(const std::vector<Heard>& files) {
  std::map<Refusal, int> refusals;
  for (const Heard& file : files) {
    if (!file.recording.ok()) ++refusals[file.recording.refused().reason];
  }
  return refusals;
}

std::string ToText(const std::vector<Heard>& files, bool all) {
  TextTable table({"form", "Hz", "recordings", "shortest, s", "median, s", "longest, s"});
  for (const auto& [key, group] : GroupsOf(files)) {
    const std::vector<double>& s = group.seconds;
    table.AddRow({key.first, StrCat(key.second), StrCat(s.size()),
                  absl::StrFormat("%.1f", s.front()), absl::StrFormat("%.1f", s[s.size() / 2]),
                  absl::StrFormat("%.1f", s.back())});
  }
  std::string text = table.ToString();
  for (const auto& [reason, count] : RefusalsOf(files)) {
    StrAppend(&text, count, " refused: ", Phrase(reason), "\n");
  }
  if (!all) return text;
  for (const Heard& file : files) {
    if (file.recording.ok()) {
      const SoundForm& form = file.recording->form;
      StrAppend(&text, file.name, ": ", KindOf(form), ", ", form.sample_rate_hz, " Hz, ",
                absl::StrFormat("%.1f s\n", form.seconds()));
    } else {
      const Refused& refused = file.recording.refused();
      StrAppend(&text, file.name, ": refused, ", Phrase(refused.reason),
                refused.detail.empty() ? "" : ": ", refused.detail, "\n");
    }
  }
  return text;
}

nlohmann::ordered_json ToJson(const std::vector<Heard>& files) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Heard& file : files) {
    nlohmann::ordered_json one = {{"file", file.name}};
    if (file.recording.ok()) {
      const SoundForm& form = file.recording->form;
      one["container"] = form.container == Container::kWave ? "wav" : "dicom";
      one["sample_rate_hz"] = form.sample_rate_hz;
      one["seconds"] = form.seconds();
      one["channels"] = form.channels;
      one["bits"] = form.bits;
    } else {
      one["refused"] = std::string(Name(file.recording.refused().reason));
      one["detail"] = file.recording.refused().detail;
    }
    list.push_back(std::move(one));
  }
  return list;
}

// The site's own, or without --state one of zeros, whose split of the patients is another.
absl::StatusOr<deidentification::Pseudonymiser> PseudonymsOf(const fs::path& state) {
  if (state.empty()) return deidentification::Pseudonymiser::Create(crypto::Secret(32));
  ASSIGN_OR_RETURN(const auto key,
                   deidentification::LoadSiteKey(Catalog::KeyFile(state / "catalog.db")));
  return deidentification::Pseudonymiser::Create(key);
}

absl::StatusOr<RecordingSummary> Try(const Arguments& arguments, ImageReader& reader) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(arguments.plan, 1 << 20));
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(text));
  if (plan.data.source != plan::Source::kAudio) {
    return absl::InvalidArgumentError(StrCat("the plan ", plan.name, " reads no recordings"));
  }
  ASSIGN_OR_RETURN(const auto pseudonyms, PseudonymsOf(arguments.state));
  auto summary = SurveyRecordings({arguments.folder, pseudonyms, reader, arguments.threads}, plan);
  if (!summary.ok()) {
    return WithContext(summary.status(), StrCat("the plan ", plan.name, " would be refused"));
  }
  return summary;
}

std::string ToText(const RecordingSummary& summary) {
  TextTable table({"split", "patients", "recordings"});
  const std::pair<const char*, const SplitCounts*> splits[] = {
      {"train", &summary.train}, {"validation", &summary.validation}, {"test", &summary.test}};
  for (const auto& [name, counts] : splits) {
    table.AddRow({name, StrCat(counts->patients), StrCat(counts->examples)});
  }
  std::string text = StrCat("\nThe plan would read:\n\n", table.ToString());
  for (const auto& [reason, count] : summary.refusals) {
    StrAppend(&text, count, " left out: ", reason, "\n");
  }
  return text;
}

nlohmann::ordered_json ToJson(const RecordingSummary& summary) {
  nlohmann::ordered_json json = {{"refusals", summary.refusals}};
  const std::pair<const char*, const SplitCounts*> splits[] = {
      {"train", &summary.train}, {"validation", &summary.validation}, {"test", &summary.test}};
  for (const auto& [name, counts] : splits) {
    json["splits"][name] = {{"patients", counts->patients}, {"recordings", counts->examples}};
  }
  return json;
}

absl::Status Run(const Arguments& arguments) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(FindFiles(arguments.folder, {}, names));
  ASSIGN_OR_RETURN(const auto reader, SandboxedReader::Create({.workers = arguments.threads}));
  std::vector<Heard> files;
  {
    TerminalProgress progress;
    for (std::string& name : names) {
      if (progress.Cancelled()) return absl::CancelledError("interrupted");
      progress.Report("reading the recordings", files.size() + 1, names.size());
      auto recording = reader->ReadRecording(arguments.folder / name, std::nullopt);
      files.push_back({std::move(name), std::move(recording)});
    }
  }
  std::optional<RecordingSummary> summary;
  if (!arguments.plan.empty()) {
    ASSIGN_OR_RETURN(summary, Try(arguments, *reader));
  }
  std::string text;
  if (arguments.json) {
    nlohmann::ordered_json json = {{"recordings", ToJson(files)}};
    if (summary) json["plan"] = ToJson(*summary);
    text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  } else {
    text = ToText(files, arguments.all);
    if (summary) text += ToText(*summary);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

}  // namespace

std::function<absl::Status()> AddAudioCommand(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();  // shared: with the function that is given
  CLI::App* command = app.add_subcommand(
      "audio", "What the platform hears in a folder of recordings: forms, lengths, refusals");
  command->add_option("folder", arguments->folder, "Folder with WAV files or DICOM waveforms")
      ->required();
  command->add_option("--plan", arguments->plan, "Try this plan on the folder's recordings.csv");
  command->add_option("--state", arguments->state,
                      "The site's state folder, for its own split of the patients");
  command->add_option("--threads", arguments->threads, "Default: one for each processor");
  command->add_flag("--all", arguments->all, "List every file");
  command->add_flag("--json", arguments->json, "All of it as JSON");
  return [arguments] { return Run(*arguments); };
}

}  // namespace consilium::datasets::audio

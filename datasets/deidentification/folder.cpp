#include "datasets/deidentification/folder.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/status.h"
#include "datasets/files_below.h"
#include "datasets/parallel.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::string_view kExamining = "examining";
constexpr std::string_view kCleaning = "de-identifying";
constexpr std::string_view kDefacing = "removing faces, series";
constexpr std::string_view kRecordName = "deidentification.json";

std::string_view Word(OnRisk choice) {
  switch (choice) {
    case OnRisk::kQuarantine:
      return "quarantine";
    case OnRisk::kClean:
      return "clean";
    case OnRisk::kAccept:
      return "accept";
  }
  CONSILIUM_CHECK(false);
}

std::vector<std::string> ChosenCodes(const DeidentificationOptions& options) {
  std::vector<std::string> codes;
  for (const MethodCode& code :
       MethodCodes(options.profile, options.pixels.burned_in == OnRisk::kClean,
                   options.pixels.faces == OnRisk::kClean)) {
    codes.emplace_back(code.value);
  }
  return codes;
}

std::string RecordOf(const Deidentifier& deidentifier) {
  const DeidentificationOptions& options = deidentifier.options();
  nlohmann::json blank = nlohmann::json::array();
  for (const Rectangle& r : options.pixels.blank) blank.push_back({r.x, r.y, r.width, r.height});
  const nlohmann::json record = {{"profile", kProfileEdition},
                                 {"codes", ChosenCodes(options)},
                                 {"cap_ages", options.profile.cap_ages},
                                 {"burned_in", Word(options.pixels.burned_in)},
                                 {"blank", blank},
                                 {"faces", Word(options.pixels.faces)},
                                 {"key", deidentifier.pseudonymiser().KeyName()}};
  return record.dump(2) + "\n";
}

bool Holds(const fs::path& folder, const fs::path& inner) {
  const fs::path relative =
      fs::weakly_canonical(inner).lexically_relative(fs::weakly_canonical(folder));
  return !relative.empty() && *relative.begin() != "..";
}

absl::Status PrepareOutput(const Deidentifier& deidentifier, const fs::path& out) {
  RETURN_IF_ERROR(EnsureFolder(out));
  const fs::path record = out / kRecordName;
  if (!Exists(record)) {
    ASSIGN_OR_RETURN(const auto entries, ListFolder(out));
    if (!entries.empty()) {
      return absl::AlreadyExistsError(
          "the output folder holds something else already: name a new one");
    }
    return WriteFileDurably(record, RecordOf(deidentifier), 0644);
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(record));
  if (text != RecordOf(deidentifier)) {
    return absl::InvalidArgumentError(
        StrCat("the output folder was written with other options or another key (its ", kRecordName,
               " says which): use the same ones to go on, or name a new folder"));
  }
  return absl::OkStatus();
}

class FolderRun {
 public:
  FolderRun(const Deidentifier& deidentifier, InstanceCleaner& cleaner, const fs::path& out,
            std::vector<fs::path> files, unsigned threads, Progress& progress)
      : deidentifier_(deidentifier),
        cleaner_(cleaner),
        out_(out),
        files_(std::move(files)),
        threads_(threads),
        progress_(progress) {}

  absl::StatusOr<FolderReport> Run() {
    report_.files = files_.size();
    report_.codes = ChosenCodes(deidentifier_.options());
    report_.key_name = deidentifier_.pseudonymiser().KeyName();
    if (!InParallel(kExamining, files_.size(), [&](std::size_t i) { Examine(files_[i]); })) {
      return Interrupted();
    }
    // Several files may hold one instance, and the first of them be damaged: whole instances are
    // dealt to the threads, so that which of its files is written is never a matter of chance.
    std::vector<std::pair<fs::path, std::vector<fs::path>>> instances(instances_.begin(),
                                                                      instances_.end());
    const bool all = InParallel(kCleaning, instances.size(), [&](std::size_t i) {
      std::sort(instances[i].second.begin(), instances[i].second.end());
      Clean(instances[i].first, instances[i].second);
    });
    RETURN_IF_ERROR(failure_);
    if (!all) return Interrupted();
    std::uint64_t done = 0;
    for (const auto& [series, heads] : head_series_) {
      if (progress_.Cancelled()) return Interrupted();
      Deface(heads);
      progress_.Report(kDefacing, ++done, head_series_.size());
      RETURN_IF_ERROR(failure_);
    }
    std::sort(report_.list.begin(), report_.list.end(),
              [](const auto& a, const auto& b) { return a.file_name < b.file_name; });
    return std::move(report_);
  }

 private:
  struct Head {
    fs::path file, target;
  };

  static absl::Status Interrupted() {
    return absl::CancelledError(
        "de-identifying was interrupted; what was written is whole, and the next run goes on");
  }

  fs::path TargetOf(const InstanceNames& names) const {
    const auto part = [](const std::string& name) {
      const bool plain =
          !name.empty() && name.find_first_not_of("0123456789.") == std::string::npos;
      return plain && name.front() != '.' ? name : "unnamed";
    };
    return out_ / names.patient / part(names.study_instance_uid) / part(names.series_instance_uid) /
           (part(names.sop_instance_uid) + ".dcm");
  }

  bool InParallel(std::string_view step, std::size_t count,
                  const std::function<void(std::size_t)>& work) {
    std::atomic<std::uint64_t> done = 0;
    return ParallelFor(count, threads_, [&](std::size_t i) {
      work(i);
      progress_.Report(step, ++done, count);
      return !failed_ && !progress_.Cancelled();
    });
  }

  void Examine(const fs::path& file) {
    const auto examined = cleaner_.Examine(file);
    if (!examined.ok()) return Quarantine(file, examined.refused());
    const fs::path target = TargetOf(examined->names);
    const std::lock_guard lock(mutex_);
    if (examined->head_image) {
      head_series_[examined->names.series_instance_uid].push_back({file, target});
    } else {
      instances_[target].push_back(file);
    }
  }

  // The first of the instance's files that can be de-identified is written.
  void Clean(const fs::path& target, const std::vector<fs::path>& files) {
    bool there = Exists(target);
    for (const fs::path& file : files) {
      if (there) {
        const std::lock_guard lock(mutex_);
        ++report_.already_there;
      } else {
        there = Save(file, target, cleaner_.Clean(file, {}));
      }
    }
  }

  void Deface(std::vector<Head> heads) {
    std::sort(heads.begin(), heads.end(),
              [](const Head& a, const Head& b) { return a.file < b.file; });
    // Two files of one instance: the first.
    std::vector<Head> distinct;
    for (const Head& head : heads) {
      const bool known = std::any_of(distinct.begin(), distinct.end(), [&](const Head& other) {
        return other.target == head.target;
      });
      if (known) {
        ++report_.already_there;
      } else {
        distinct.push_back(head);
      }
    }
    const bool all_there = std::all_of(distinct.begin(), distinct.end(),
                                       [](const Head& head) { return Exists(head.target); });
    std::vector<fs::path> files;
    for (const Head& head : distinct) files.push_back(head.file);
    std::optional<OrRefused<std::vector<Bytes>>> masks;
    if (!all_there) masks.emplace(cleaner_.FindFaces(files));
    for (std::size_t i = 0; i < distinct.size() && failure_.ok(); ++i) {
      if (Exists(distinct[i].target)) {
        ++report_.already_there;
      } else if (!masks->ok()) {
        Quarantine(distinct[i].file, masks->refused());
      } else {
        Save(distinct[i].file, distinct[i].target, cleaner_.Clean(distinct[i].file, (**masks)[i]));
      }
    }
  }

  // False: the file was refused.
  bool Save(const fs::path& file, const fs::path& target, const OrRefused<Bytes>& cleaned) {
    if (!cleaned.ok()) {
      Quarantine(file, cleaned.refused());
      return false;
    }
    absl::Status status = EnsureFolder(target.parent_path());
    if (status.ok()) status = WriteFileDurably(target, *cleaned, 0644);
    const std::lock_guard lock(mutex_);
    if (status.ok()) ++report_.written;
    if (!status.ok()) failed_ = true;
    failure_.Update(status);
    return true;
  }

  void Quarantine(const fs::path& file, const Refused& refused) {
    const std::lock_guard lock(mutex_);
    ++report_.quarantined[refused.reason];
    report_.list.push_back({file.filename().string(), refused});
  }

  const Deidentifier& deidentifier_;
  InstanceCleaner& cleaner_;
  const fs::path out_;
  const std::vector<fs::path> files_;
  const unsigned threads_;
  Progress& progress_;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards what follows while threads run
  FolderReport report_;
  absl::Status failure_;
  std::map<fs::path, std::vector<fs::path>> instances_;  // by where they are written
  std::map<std::string, std::vector<Head>> head_series_;
};

}  // namespace

absl::StatusOr<FolderReport> DeidentifyFolder(const Deidentifier& deidentifier,
                                              InstanceCleaner& cleaner, const fs::path& in,
                                              const fs::path& out, unsigned threads,
                                              Progress& progress) {
  ASSIGN_OR_RETURN(std::vector<fs::path> files, FilesBelow(in));
  if (Holds(in, out) || Holds(out, in)) {
    return absl::InvalidArgumentError(
        "the output folder lies in the input folder, or the other way round: name one outside");
  }
  RETURN_IF_ERROR(PrepareOutput(deidentifier, out));
  return FolderRun(deidentifier, cleaner, out, std::move(files), threads, progress).Run();
}

absl::StatusOr<FolderReport> DeidentifyFolder(const Deidentifier& deidentifier, const fs::path& in,
                                              const fs::path& out, unsigned threads,
                                              Progress& progress) {
  return DeidentifyFolder(deidentifier, *CleanInThisProcess(deidentifier), in, out, threads,
                          progress);
}

std::string ToText(const FolderReport& report, bool all) {
  std::string text = StrCat(report.files, " files: ", report.written, " written, ",
                            report.already_there, " already there");
  std::uint64_t quarantined = 0;
  for (const auto& [reason, count] : report.quarantined) quarantined += count;
  StrAppend(&text, ", ", quarantined, " quarantined\n");
  for (const auto& [reason, count] : report.quarantined) {
    StrAppend(&text, "  ", count, "  ", Phrase(reason), "\n");
  }
  if (all) {
    for (const auto& [file_name, refused] : report.list) {
      StrAppend(&text, "  ", file_name, ": ", Phrase(refused.reason),
                refused.detail.empty() ? "" : " (", refused.detail,
                refused.detail.empty() ? "" : ")", "\n");
    }
  }
  StrAppend(&text, kProfileEdition, " Annex E, methods");
  for (const std::string& code : report.codes) StrAppend(&text, " ", code);
  StrAppend(&text, "; key ", report.key_name, "\n");
  return text;
}

std::string ToJson(const FolderReport& report) {
  nlohmann::json quarantined = nlohmann::json::object();
  for (const auto& [reason, count] : report.quarantined)
    quarantined[std::string(Name(reason))] = count;
  const nlohmann::json out = {{"profile", kProfileEdition}, {"codes", report.codes},
                              {"key", report.key_name},     {"files", report.files},
                              {"written", report.written},  {"already_there", report.already_there},
                              {"quarantined", quarantined}};
  return out.dump(2);
}

}  // namespace consilium::datasets::deidentification

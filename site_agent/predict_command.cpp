#include "site_agent/predict_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <set>
#include <thread>
#include <tuple>

#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/pacs/send.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/predict_output.h"
#include "site_agent/row_prediction.h"

namespace consilium::site_agent {
namespace {

namespace pacs = datasets::pacs;

constexpr char kExamples[] = R"(Examples:
  A folder of images:
    consilium-site predict --state site --record chest.record.json --data new --out results
  Studies of the archive, and the results back to it:
    consilium-site predict --state site --record chest.record.json --archive pacs.example:11112 \
      --called PACS --calling CONSILIUM --pull --since 2026-11-01 --modality DX --data new \
      --out results --send
  Rows of a table or of recordings.csv in the folder, whose target need not be there:
    consilium-site predict --state site --record heart.record.json --data tables --out results
  As they arrive (beside `consilium-site listen --state site ...`):
    consilium-site predict --state site --record chest.record.json --data site/incoming --watch \
      --out results --archive https://pacs.example/dicom-web --basic-auth login.txt --send

For research use only. Only a model that the federation published, and that verifies, is used. What
does not fit its plan (modality, view, age ...) is refused and not scored.)";

// Files come whole by a rename from our own listener; of others, what still grows is left alone.
constexpr Duration kAtRest = std::chrono::seconds(2);

// The files of a folder tree that this process has not looked at, hidden ones passed over.
class FolderWatch {
 public:
  FolderWatch(fs::path folder, const Clock& clock) : folder_(std::move(folder)), clock_(clock) {}

  absl::StatusOr<std::vector<fs::path>> NewFiles(bool at_rest_only) {
    std::vector<fs::path> files;
    RETURN_IF_ERROR(Look(folder_, at_rest_only, &files));
    return files;
  }

 private:
  absl::Status Look(const fs::path& folder, bool at_rest_only, std::vector<fs::path>* files) {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
    for (const FolderEntry& entry : entries) {
      if (entry.path.filename().native().starts_with('.')) continue;
      if (entry.folder) {
        RETURN_IF_ERROR(Look(entry.path, at_rest_only, files));
        continue;
      }
      if (at_rest_only && clock_.Now() - entry.modified < kAtRest) continue;
      if (seen_.emplace(entry.path, entry.size, entry.modified).second) {
        files->push_back(entry.path);
      }
    }
    return absl::OkStatus();
  }

  const fs::path folder_;
  const Clock& clock_;
  std::set<std::tuple<fs::path, std::uint64_t, Time>> seen_;
};

absl::Status SendFrom(const fs::path& path, pacs::Destination& destination,
                      pacs::SendJournal& journal, SentResults* sum, Progress& progress) {
  ASSIGN_OR_RETURN(const pacs::SendReport report,
                   pacs::SendFiles(path, destination, journal, {}, progress));
  sum->sent += report.sent;
  sum->before += report.sent_before;
  for (const auto& [reason, count] : report.refused) sum->refused[reason] += count;
  return absl::OkStatus();
}

// One run of the command.
class PredictRun {
 public:
  PredictRun(PredictCommand& command, const PublishedModel& model)
      : command_(command), model_(model), folder_(command.state / "predictions") {}

  absl::Status Run() {
    RETURN_IF_ERROR(EnsureFolder(folder_));
    ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(folder_));
    ASSIGN_OR_RETURN(PredictionJournal journal, PredictionJournal::Open(folder_ / "scored.db"));
    ASSIGN_OR_RETURN(pacs::SendJournal sent, pacs::SendJournal::Open(folder_ / "sent.db"));
    ASSIGN_OR_RETURN(const auto pool, datasets::worker::WorkerPool::Create(
                                          {.workers = static_cast<unsigned>(command_.threads)}));
    ASSIGN_OR_RETURN(const auto prediction,
                     Prediction::Create({model_, *pool, journal, clock_}, command_.options));
    std::unique_ptr<pacs::Destination> destination;
    if (command_.send) {
      ASSIGN_OR_RETURN(destination, pacs::OpenDestination(command_.archive.peer, progress_));
      sum_.emplace();
    }
    absl::Status missing = absl::OkStatus();
    if (command_.pull) {
      command_.archive.out = command_.data;
      ASSIGN_OR_RETURN(const pacs::PullReport pulled, pacs::PullInto(command_.archive, progress_));
      Say(pacs::Describe(pulled, /*dry_run=*/false));
      missing = pacs::WhatIsMissing(pulled);
    }
    const absl::Status done = command_.watch ? Watch(*prediction, destination.get(), sent)
                                             : Once(*prediction, destination.get(), sent);
    Show();
    RETURN_IF_ERROR(done);
    RETURN_IF_ERROR(missing);
    return WhatTheArchiveRefused();
  }

 private:
  absl::Status Once(Prediction& prediction, pacs::Destination* destination,
                    pacs::SendJournal& journal) {
    FolderWatch folder(command_.data, clock_);
    ASSIGN_OR_RETURN(const std::vector<fs::path> files, folder.NewFiles(false));
    RETURN_IF_ERROR(prediction.Run(files, &report_, progress_));
    return SendAll(destination, journal);
  }

  // All that is in OUT: also what an earlier call scored and could not send.
  absl::Status SendAll(pacs::Destination* destination, pacs::SendJournal& journal) {
    if (destination == nullptr || !Exists(command_.options.out)) return absl::OkStatus();
    return SendFrom(command_.options.out, *destination, journal, &*sum_, progress_);
  }

  // Until it is interrupted, which is a clean end. An archive that cannot be reached is tried again
  // with the next images, and at the next poll.
  absl::Status Watch(Prediction& prediction, pacs::Destination* destination,
                     pacs::SendJournal& journal) {
    FolderWatch folder(command_.data, clock_);
    bool send_all = true;
    while (!progress_.Cancelled()) {
      ASSIGN_OR_RETURN(const std::vector<fs::path> files, folder.NewFiles(true));
      const std::size_t before = report_.scored.size();
      const absl::Status run = prediction.Run(files, &report_, progress_);
      if (!run.ok() && !absl::IsCancelled(run)) return run;
      absl::Status sent = absl::OkStatus();
      if (send_all) {
        sent = SendAll(destination, journal);
      } else {
        for (std::size_t i = before; i < report_.scored.size() && sent.ok(); ++i) {
          if (destination == nullptr) break;
          sent = SendFrom(report_.scored[i].results, *destination, journal, &*sum_, progress_);
        }
      }
      if (!sent.ok() && !absl::IsCancelled(sent)) {
        std::fprintf(stderr, "results were not sent, and are sent later: %s\n",
                     std::string(ToStd(sent.message())).c_str());
      }
      send_all = !sent.ok();
      progress_.Report("watching", report_.scored.size(), 0, "images scored");
      if (pacs::WaitFor(FromSeconds(command_.poll_s), progress_).ok()) continue;
      break;
    }
    return absl::OkStatus();
  }

  void Say(const std::string& text) const {
    std::FILE* to = command_.json ? stderr : stdout;
    std::fputs(text.c_str(), to);
    std::fflush(to);
  }

  void Show() const {
    if (command_.json) {
      std::printf("%s", ToJson(model_, report_, sum_, command_.data).c_str());
    } else {
      Say(InWords(report_, sum_));
    }
  }

  absl::Status WhatTheArchiveRefused() const {
    std::uint64_t refused = 0;
    if (sum_) {
      for (const auto& [reason, count] : sum_->refused) refused += count;
    }
    if (refused == 0) return absl::OkStatus();
    return absl::InternalError(
        StrCat("the archive refused ", refused, " results; they are in --out"));
  }

  PredictCommand& command_;
  const PublishedModel& model_;
  const fs::path folder_;
  const SystemClock clock_;
  TerminalProgress progress_;
  PredictionReport report_;
  std::optional<SentResults> sum_;
};

// Of tables and recordings: all rows that are there now, as one file.
absl::Status RunRows(const PredictCommand& command, const PublishedModel& model) {
  if (command.watch || command.pull || command.send || command.options.activation) {
    return absl::InvalidArgumentError(
        StrCat("this model reads ", plan::Name(model.plan.data.source), " rows and answers in ",
               kPredictionsFile, ": --watch, --pull, --send and --activation are for images"));
  }
  ASSIGN_OR_RETURN(const auto pool, datasets::worker::WorkerPool::Create(
                                        {.workers = static_cast<unsigned>(command.threads)}));
  TerminalProgress progress;
  ASSIGN_OR_RETURN(const RowPredictions made, PredictRows(model, command.data, *pool, progress));
  ASSIGN_OR_RETURN(const fs::path file, WriteCsv(command.options.out, model, made));
  const std::string text = command.json ? ToJson(model, made, file) : InWords(made, file);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status Check(const PredictCommand& command) {
  if ((command.pull || command.send) && command.archive.peer.archive.empty()) {
    return absl::InvalidArgumentError("--pull and --send need --archive: which one?");
  }
  if (!command.pull && !command.send && !command.archive.peer.archive.empty()) {
    return absl::InvalidArgumentError("--archive is for --pull and --send; neither was given");
  }
  return absl::OkStatus();
}

}  // namespace

void AddPredictOptions(CLI::App& command, PredictCommand& arguments) {
  command.footer(kExamples);
  command.add_option("--state", arguments.state, "The site's folder")->required();
  AddModelOptions(command, arguments.model, /*required=*/false);
  command.add_flag("--personal", arguments.personal,
                   "This site's own model of that model's run instead of the published one");
  command
      .add_option(
          "--data", arguments.data,
          "Folder tree of DICOM files (of --pull, where they go), or the folder of the table or of "
          "recordings.csv")
      ->required();
  command.add_option("--out", arguments.options.out, "Folder that the results go to")->required();
  command.add_flag("--activation", arguments.options.activation,
                   "Also the class activation as a fractional segmentation (it is no outline)");
  command.add_flag("!--no-picture", arguments.options.picture, "No picture for simple viewers");
  command.add_flag("--again", arguments.options.again, "Score anew what was scored before");
  command.add_flag("--watch", arguments.watch, "Go on with images as they arrive, until Ctrl-C");
  command
      .add_option("--poll", arguments.poll_s, "With --watch: seconds between looks (default: 5)")
      ->check(CLI::Range(0.1, 3600.0));
  command
      .add_option("--settle", arguments.settle_s,
                  "With --watch, of volumes: seconds without a new file after which a series is "
                  "taken for whole (default: 30)")
      ->check(CLI::Range(0.0, 86400.0));
  command.add_flag("--pull", arguments.pull, "First fetch what the query names from the archive");
  command.add_flag("--send", arguments.send, "Send the results to the archive");
  pacs::AddPeerOptions(command, arguments.archive.peer, /*required=*/false);
  pacs::AddQueryOptions(command, arguments.archive);
  command.add_option("--threads", arguments.threads, "Threads and workers; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command.add_flag("--json", arguments.json, "Print JSON for scripts, with each image's score");
}

absl::Status Run(PredictCommand& command) {
  RETURN_IF_ERROR(Check(command));
  if (command.watch) command.options.settle = FromSeconds(command.settle_s);
  learning::ConfigureRuntime(command.threads);
  ASSIGN_OR_RETURN(PublishedModel model, LoadPublishedModel(command.state, command.model));
  const std::string proved = Introduce(model);
  if (command.personal) {
    ASSIGN_OR_RETURN(model, PersonalInsteadOf(command.state, std::move(model)));
  }
  std::FILE* to = command.json ? stderr : stdout;
  std::fputs((proved + AnswersOf(model)).c_str(), to);
  std::fflush(to);
  if (model.plan.data.source != plan::Source::kDicom) return RunRows(command, model);
  command.options.data = command.data;
  return PredictRun(command, model).Run();
}

void AddListenOptions(CLI::App& command, ListenCommand& arguments) {
  command.add_option("--state", arguments.state, "The site's folder")->required();
  pacs::AddListenOptions(command, arguments.arguments);
  command.get_option("--out")->required(false)->description(
      "Folder that the images come into (default: STATE/incoming)");
}

absl::Status Run(ListenCommand& command) {
  if (command.arguments.out.empty()) command.arguments.out = command.state / "incoming";
  TerminalProgress progress;
  return pacs::RunListen(command.arguments, progress);
}

}  // namespace consilium::site_agent

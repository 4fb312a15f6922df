#include "experiments/quickstart.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/text_table.h"
#include "common/base/version.h"
#include "common/crypto/keys.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"
#include "datasets/catalog.h"
#include "experiments/baselines.h"
#include "experiments/checkpoint.h"
#include "experiments/comparison.h"
#include "experiments/example_images.h"
#include "experiments/federation.h"
#include "experiments/plan_text.h"
#include "experiments/quickstart_folder.h"
#include "experiments/report/report.h"
#include "experiments/resumption.h"
#include "experiments/run_history.h"

namespace consilium::experiments {
namespace {

constexpr const char* kDrawnHospitals[] = {"north", "south", "east"};

std::string_view Verb(Task task) {
  switch (task) {
    case Task::kSegmentation:
      return "Outlining";
    case Task::kSurvival:
      return "Foreseeing";
    case Task::kDetection:
      return "Detecting";
    default:
      return "Classifying";
  }
}

// One run of quickstart, step by step.
class Quickstart {
 public:
  explicit Quickstart(const QuickstartOptions& options)
      : options_(options),
        folder_(options),
        out_(folder_.out()),
        cores_(options.cores > 0 ? options.cores : UsableCores()),
        programs_(ProgramFolder()) {}

  absl::StatusOr<Results> Run() {
    RETURN_IF_ERROR(CheckPrograms());
    RETURN_IF_ERROR(ReadPlan());
    RETURN_IF_ERROR(FindHospitals());
    ASSIGN_OR_RETURN(const FolderLock lock, folder_.Take());
    RETURN_IF_ERROR(folder_.TakeUp(RequestNow(), sites_));
    if (checkpoint().finished) return ShowAgain();
    if (options_.data.empty() && !checkpoint().Done("images")) {
      RETURN_IF_ERROR(
          folder_.Part("images", "Drawing the hospitals' images", [this] { return DrawImages(); }));
    }
    if (!checkpoint().Done("fetch, verify")) RETURN_IF_ERROR(Federate());
    RETURN_IF_ERROR(ReadRun());
    if (options_.baselines) RETURN_IF_ERROR(TrainToCompare());
    RETURN_IF_ERROR(Test());
    PickExamples();
    return Finish();
  }

 private:
  absl::Status CheckPrograms() const {
    for (const char* program :
         {"consilium-coordinator", "consilium-site", "consilium", "consilium-dataset"}) {
      if (!fs::exists(programs_ / program)) {
        return absl::NotFoundError(StrCat(program, " is not beside consilium-experiment in ",
                                          programs_.string(),
                                          "; build it: cmake --build --preset release"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadPlan() {
    std::string toml = kQuickstartPlan;
    if (!options_.plan.empty()) {
      ASSIGN_OR_RETURN(toml, ReadTextFile(options_.plan, 256 * 1024));
    }
    ASSIGN_OR_RETURN(results_.plan_toml,
                     OverridePlan(toml, {options_.rounds, options_.seed, options_.updates}));
    ASSIGN_OR_RETURN(plan_, plan::ParsePlan(results_.plan_toml));
    const std::size_t sites =
        options_.data.empty() ? std::size(kDrawnHospitals) : options_.data.size();
    if (sites < 2)
      return absl::InvalidArgumentError(
          "one --data makes no federation; give a folder for each of two or more hospitals");
    if (plan_.cohort.minimum_sites > sites) {
      return absl::InvalidArgumentError(
          StrCat("the plan wants at least ", plan_.cohort.minimum_sites,
                 " sites ([cohort] minimum_sites), there are ", sites,
                 sites == 2 ? "; two sites need a plan with aggregation.updates = \"sealed\" and "
                              "cohort.minimum_sites = 2, in which the coordinator sees each update"
                            : ""));
    }
    results_.plan_name = plan_.name;
    results_.plan_description = plan_.description;
    results_.target = plan_.target.Title();
    results_.created = SystemClock().Now();
    results_.program_version = kVersion;
    results_.title =
        StrCat(Verb(plan_.target.task), " ", plan_.target.Title(), " with ", sites, " hospitals");
    return absl::OkStatus();
  }

  Request RequestNow() const {
    Request request{.plan_toml = results_.plan_toml};
    if (options_.data.empty()) {
      request.patients = options_.patients;
      request.images_seed = options_.images_seed;
    } else {
      for (const SiteData& site : sites_) request.data.push_back(site.data);
    }
    return request;
  }

  absl::StatusOr<Results> ShowAgain() {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(out_ / "results.json", 256 << 20));
    ASSIGN_OR_RETURN(Results results, ResultsFromJson(text));
    if (!Exists(out_ / "report.html")) RETURN_IF_ERROR(RewriteReport(out_));
    folder_.Say(StrCat(out_.string(),
                       " holds this quickstart, finished: these are its results. --fresh "
                       "does it all again"));
    return results;
  }

  absl::StatusOr<Results> Finish() {
    results_.created = checkpoint().begun;
    results_.parts = checkpoint().parts;
    results_.resumed = checkpoint().resumed;
    RETURN_IF_ERROR(WriteFileDurably(out_ / "results.json", ToJson(results_), 0644));
    RETURN_IF_ERROR(RewriteReport(out_));
    RETURN_IF_ERROR(folder_.Finish());
    return results_;
  }

  absl::Status FindHospitals() {
    if (options_.data.empty()) {
      for (const char* name : kDrawnHospitals) {
        AddSite(name, out_ / "data" / name, StrCat("drawn, ", options_.patients, " patients"));
      }
      return absl::OkStatus();
    }
    std::set<std::string> names;
    for (const fs::path& given : options_.data) {
      const fs::path folder = fs::absolute(given).lexically_normal();
      const fs::path last =
          folder.has_filename() ? folder.filename() : folder.parent_path().filename();
      ASSIGN_OR_RETURN(const std::string base, NameFrom(last));
      std::string name = base;
      for (int i = 2; !names.insert(name).second; ++i) name = StrCat(base, "-", i);
      if (!fs::is_directory(folder))
        return absl::NotFoundError(StrCat("--data ", given.string(), " is not a folder"));
      if (!fs::exists(folder / "labels.csv")) {
        return absl::NotFoundError(
            StrCat("--data ", given.string(),
                   " has no labels.csv (a column patient_id, then one column a target)"));
      }
      AddSite(name, folder, StrCat("folder ", last.string()));
    }
    return absl::OkStatus();
  }

  absl::Status DrawImages() {
    std::uint64_t seed = options_.images_seed;  // each hospital its own: no patient stands in two
    for (const SiteData& site : sites_) {
      ++seed;
      if (Exists(site.data)) continue;  // whole: renamed when it was
      folder_.Say(StrCat("   ", site.name, ": ", options_.patients, " patients"));
      const fs::path partial = StrCat(site.data.string(), ".partial");
      RETURN_IF_ERROR(RemoveTree(partial));
      RETURN_IF_ERROR(RunProgram({.program = programs_ / "consilium-dataset",
                                  .arguments = {"synthesize", "--out", partial, "--hospital",
                                                site.name, "--patients", StrCat(options_.patients),
                                                "--seed", StrCat(seed)},
                                  .logs = folder_.Logs(),
                                  .name = StrCat("synthesize-", site.name),
                                  .show_errors = true})
                          .status());
      folder_.SyncDisk();
      RETURN_IF_ERROR(RenameDurably(partial, site.data));
    }
    return absl::OkStatus();
  }

  void AddSite(const std::string& name, const fs::path& data, const std::string& description) {
    sites_.push_back({name, data, out_ / "federation" / "sites" / name});
    results_.sites.push_back({.name = name, .description = description});
  }

  absl::StatusOr<Federation> FoundFederation() const {
    const fs::path folder = out_ / "federation";
    return Federation::IsFounded(folder) ? Federation::Open(programs_, folder)
                                         : Federation::Create(programs_, folder);
  }

  // Phantoms are split into the same patients at every run, for their sites' keys, which decide it,
  // are made of the seed. Real patients' are drawn by the site.
  absl::Status KeepSplits(const SiteData& site) const {
    const fs::path file = datasets::Catalog::KeyFile(site.state / "catalog.db");
    if (!options_.data.empty() || Exists(file)) return absl::OkStatus();
    const Digest digest =
        crypto::Sha256(StrCat("phantoms of ", site.name, " ", options_.images_seed));
    return crypto::SavePrivateKey(file, "pseudonym", crypto::Secret::CopyOf(digest.bytes));
  }

  absl::Status Federate() {
    std::optional<Federation> federation;
    RETURN_IF_ERROR(folder_.Part(
        "start", "Starting the coordinator and enrolling the sites", [&]() -> absl::Status {
          ASSIGN_OR_RETURN(federation, FoundFederation());
          RETURN_IF_ERROR(federation->StartCoordinator());
          for (const SiteData& site : sites_) {
            RETURN_IF_ERROR(federation->EnrolSite(site.name));
            RETURN_IF_ERROR(KeepSplits(site));
            if (plan_.aggregation.updates == plan::Updates::kSealed) {
              RETURN_IF_ERROR(federation->ConsentToSealedUpdates(site.name));
            }
          }
          RETURN_IF_ERROR(federation->EnrolResearcher("researcher"));
          RETURN_IF_ERROR(FindRun(*federation));
          ASSIGN_OR_RETURN(const bool goes_on, RunGoesOn(*federation));
          return goes_on ? StartSites(*federation) : absl::OkStatus();
        }));
    if (!checkpoint().Done("federation")) {
      RETURN_IF_ERROR(
          folder_.Part("federation", "Training together", [&] { return Watch(*federation); }));
    }
    return folder_.Part("fetch, verify", "Fetching the model", [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const std::string shown, federation->ShowRun(checkpoint().run));
      RETURN_IF_ERROR(WriteFileDurably(folder_.RunFile(), shown));
      RETURN_IF_ERROR(ReadRun());
      if (results_.published) {
        RETURN_IF_ERROR(FetchPublished(*federation));
      } else {
        folder_.Say("   the release gate did not let the model through: nothing is published");
      }
      federation->StopSites();
      return absl::OkStatus();
    });
  }

  // A run that was submitted before this process or its predecessor knew of it: in this federation
  // nobody submits any other.
  absl::Status FindRun(Federation& federation) {
    if (!checkpoint().run.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string listed,
                     federation.Researcher({"run", "list", "--json"}, "list"));
    const auto runs = nlohmann::json::parse(listed, nullptr, /*allow_exceptions=*/false);
    if (!runs.is_array() || runs.empty()) return absl::OkStatus();
    return folder_.KeepRun(runs.back().value("run", ""));
  }

  // Says where it is. False when there is nothing left to do for the sites.
  absl::StatusOr<bool> RunGoesOn(Federation& federation) {
    if (checkpoint().run.empty()) return true;
    ASSIGN_OR_RETURN(const std::string shown, federation.ShowRun(checkpoint().run));
    ASSIGN_OR_RETURN(const auto events, EventsOfRun(shown));
    const RunHistory history = ReadHistory(events);
    folder_.Say(StrCat("   run ", checkpoint().run,
                       history.ended ? " has ended"
                                     : StrCat(" goes on in ", WhereTheRunIs(federation, history,
                                                                            plan_.stop, sites_))));
    return !history.ended;
  }

  absl::Status StartSites(Federation& federation) {
    const int threads = std::max(1, cores_ / static_cast<int>(sites_.size()));
    for (const SiteData& site : sites_) {
      RETURN_IF_ERROR(
          federation.StartSite(site.name, {"--data", site.data, "--threads", StrCat(threads)}));
      folder_.Say(StrCat("   ", site.name, " is a member, its agent indexes the images"));
    }
    // Else the run would begin with the first sites that are there.
    for (const SiteData& site : sites_) RETURN_IF_ERROR(federation.AwaitSite(site.name));
    return absl::OkStatus();
  }

  absl::Status Watch(Federation& federation) {
    if (checkpoint().run.empty()) {
      ASSIGN_OR_RETURN(const std::string run, federation.SubmitRun(folder_.PlanFile()));
      RETURN_IF_ERROR(folder_.KeepRun(run));
    }
    const fs::path shown = options_.json ? folder_.Logs() / "watch.out" : fs::path();
    ASSIGN_OR_RETURN(const ExitState state, federation.WatchRun(checkpoint().run, shown));
    if (!state.ok()) {
      return absl::AbortedError(StrCat("run ", checkpoint().run,
                                       " did not end well (--fresh begins another); the "
                                       "coordinator's log ends with:\n",
                                       Tail(folder_.Logs() / "coordinator.log", 10)));
    }
    return absl::OkStatus();
  }

  // What the ledger had of the run when it had ended, from the file that Federate() left.
  absl::Status ReadRun() {
    ASSIGN_OR_RETURN(const std::string shown, ReadTextFile(folder_.RunFile(), 256 << 20));
    results_.run = checkpoint().run;
    ASSIGN_OR_RETURN(results_.events, EventsOfRun(shown));
    for (const wire::RunEvent& event : results_.events) {
      if (event.kind != wire::RunEventKind::kSiteAccepted) continue;
      for (SiteInfo& site : results_.sites) {
        if (site.name != event.site.value) continue;
        const auto value = [&](const char* key) {
          const auto found = event.values.find(key);
          return found == event.values.end() ? 0 : static_cast<std::uint64_t>(found->second);
        };
        site.train_patients = value("patients");
        site.train_examples = value("examples");
        site.refused_files = value("refused_files");
      }
    }
    const RunHistory history = ReadHistory(results_.events);
    rounds_ = static_cast<std::uint32_t>(history.rounds.size());
    results_.published = history.published;
    results_.model_id = history.final_model;
    return history.published ? UsePublished() : UseCandidate();
  }

  absl::Status UsePublished() {
    federated_ = out_ / StrCat(plan_.name, ".safetensors");
    results_.model_path = federated_;
    results_.verified = checkpoint().Done("fetch, verify");
    Command verify{.program = programs_ / "consilium",
                   .arguments = {"model", "verify", federated_, "--state",
                                 out_ / "federation" / "researcher"}};  // nothing secret is needed
    results_.verify_command = verify.ToString();
    return absl::OkStatus();
  }

  absl::Status FetchPublished(Federation& federation) {
    RETURN_IF_ERROR(
        federation.Researcher({"model", "fetch", results_.model_id, "--out", federated_}, "fetch")
            .status());
    const absl::StatusOr<std::string> verified =
        federation.Researcher({"model", "verify", federated_}, "verify");
    RETURN_IF_ERROR(WithContext(verified.status(), "the published model does not verify"));
    folder_.Say(StrCat("   ", *verified));
    return absl::OkStatus();
  }

  // A refused candidate is handed to no researcher; what it is worth is still tested here, on the
  // coordinator's machine.
  absl::Status UseCandidate() {
    if (results_.model_id.empty())
      return absl::AbortedError("the run ended before it had a model to test");
    federated_ =
        out_ / "federation" / "coordinator" / "models" / (results_.model_id + ".safetensors");
    return absl::OkStatus();
  }

  BaselinePlace Place() const {
    return {programs_, folder_.PlanFile(), out_ / "models", folder_.Logs(), cores_};
  }

  absl::Status TrainToCompare() {
    const std::uint32_t epochs = std::max(1u, rounds_ * plan_.training.local_epochs);
    results_.baseline_epochs = epochs;
    return folder_.Part(
        "baselines",
        StrCat("Training to compare: on all images in one place, and each site alone, ", epochs,
               " epochs each"),
        [&]() -> absl::Status {
          ASSIGN_OR_RETURN(models_, TrainBaselines(Place(), sites_, epochs, progress_));
          return absl::OkStatus();
        });
  }

  absl::Status Test() {
    models_.insert(models_.begin(), {ModelKind::kFederated, "", federated_});
    return folder_.Part("tests", "Testing every model at every site", [&]() -> absl::Status {
      ASSIGN_OR_RETURN(results_.models, TestModels(Place(), sites_, models_,
                                                   plan_.evaluation.at_specificity, progress_));
      return absl::OkStatus();
    });
  }

  void PickExamples() {
    const bool drawn = options_.data.empty();
    if (!drawn && !options_.example_images) {
      results_.examples_note =
          "Not shown: a report may be passed on, and these are images of patients. With --examples "
          "they are put in.";
      return;
    }
    results_.examples_note =
        drawn ? "These images are drawn; they show no patient."
              : "These are images of patients: keep this file where they may be seen.";
    results_.examples = PickExampleImages(sites_, plan_);
  }

  const Checkpoint& checkpoint() const { return folder_.checkpoint(); }

  const QuickstartOptions& options_;
  QuickstartFolder folder_;
  const fs::path out_;
  const int cores_;
  const fs::path programs_;
  plan::Plan plan_;
  std::vector<SiteData> sites_;
  std::vector<ModelFile> models_;
  fs::path federated_;
  std::uint32_t rounds_ = 0;
  TerminalProgress progress_;
  Results results_;
};

}  // namespace

absl::StatusOr<Results> RunQuickstart(const QuickstartOptions& options) {
  return Quickstart(options).Run();
}

absl::Status RewriteReport(const fs::path& out) {
  ASSIGN_OR_RETURN(const std::string json, ReadTextFile(out / "results.json", 256 << 20));
  ASSIGN_OR_RETURN(const Results results, ResultsFromJson(json));
  return WriteFileDurably(out / "report.html", report::RenderReport(results), 0644);
}

std::string Summary(const Results& results, const fs::path& out) {
  const ResultTable cells = TableOf(results);
  TextTable table(cells.header);
  for (const std::vector<std::string>& row : cells.rows) table.AddRow(row);
  std::string text =
      StrCat("\n", HeadlineTitle(TaskOf(results)),
             " on the test patients, with its 95 % interval\n\n", table.ToString(), "\n");
  for (const std::string& sentence : Verdict(results)) StrAppend(&text, sentence, "\n");
  StrAppend(&text, "\n", ProtectionInWords(ReadHistory(results.events)), "\n");
  double seconds = 0;
  for (const Part& part : results.parts) seconds += part.seconds;
  StrAppend(&text, "\nTime      ", ToReadable(FromSeconds(seconds)));
  if (results.resumed > 0) {
    StrAppend(&text, " (resumed ", results.resumed, results.resumed == 1 ? " time" : " times",
              "; without what was cut off)");
  }
  StrAppend(&text, "\n");
  if (!results.model_path.empty()) {
    StrAppend(&text, "Model     ", results.model_path, "\nVerify it ", results.verify_command,
              "\n");
  }
  StrAppend(&text, "Report    ", (fs::absolute(out) / "report.html").lexically_normal().string(),
            "\n");
  return text;
}

}  // namespace consilium::experiments

#include "experiments/quickstart.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/text_table.h"
#include "common/base/version.h"
#include "common/plan/plan.h"
#include "experiments/baselines.h"
#include "experiments/comparison.h"
#include "experiments/example_images.h"
#include "experiments/federation.h"
#include "experiments/plan_text.h"
#include "experiments/report/report.h"
#include "experiments/run_history.h"

namespace consilium::experiments {
namespace {

using std::chrono::steady_clock;

constexpr const char* kMark = ".consilium-experiment";  // in OUT: it is ours to replace
constexpr const char* kDrawnHospitals[] = {"north", "south", "east"};

int UsableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// One run of quickstart, step by step.
class Quickstart {
 public:
  explicit Quickstart(const QuickstartOptions& options)
      : options_(options),
        out_(fs::absolute(options.out).lexically_normal()),
        cores_(options.cores > 0 ? options.cores : UsableCores()),
        programs_(ProgramFolder()) {}

  absl::StatusOr<Results> Run() {
    RETURN_IF_ERROR(CheckPrograms());
    RETURN_IF_ERROR(ReadPlan());
    RETURN_IF_ERROR(FindHospitals());
    RETURN_IF_ERROR(PrepareFolder());
    if (options_.data.empty()) {
      RETURN_IF_ERROR(
          Part("images", "Drawing the hospitals' images", [this] { return DrawImages(); }));
    }
    RETURN_IF_ERROR(Federate());
    if (options_.baselines) RETURN_IF_ERROR(TrainToCompare());
    RETURN_IF_ERROR(Test());
    PickExamples();
    RETURN_IF_ERROR(WriteFileDurably(out_ / "results.json", ToJson(results_), 0644));
    RETURN_IF_ERROR(RewriteReport(out_));
    return results_;
  }

 private:
  void Say(std::string_view text) const {
    std::FILE* to = options_.json ? stderr : stdout;
    std::fprintf(to, "%.*s\n", static_cast<int>(text.size()), text.data());
    std::fflush(to);
  }

  // Runs one part of the experiment, says what it is and keeps how long it took.
  template <class Work>
  absl::Status Part(const std::string& name, const std::string& heading, const Work& work) {
    Say(StrCat("\n== ", heading));
    const auto began = steady_clock::now();
    RETURN_IF_ERROR(WithContext(work(), heading));
    const double seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
    Say(StrCat("   took ", ToReadable(FromSeconds(seconds))));
    results_.parts.push_back({name, seconds});
    return absl::OkStatus();
  }

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
    results_.target = plan_.target.name;
    results_.created = SystemClock().Now();
    results_.program_version = kVersion;
    results_.title = StrCat("Classifying ", plan_.target.name, " with ", sites, " hospitals");
    return absl::OkStatus();
  }

  // Replaces what an earlier run left, and nothing else.
  absl::Status PrepareFolder() {
    std::error_code error;
    if (fs::exists(out_, error) && !fs::is_empty(out_, error) && !fs::exists(out_ / kMark, error)) {
      return absl::AlreadyExistsError(
          StrCat(out_.string(), " holds something else; give another --out"));
    }
    RETURN_IF_ERROR(EnsureFolder(out_));
    RETURN_IF_ERROR(WriteFileDurably(
        out_ / kMark, "made by consilium-experiment quickstart; replaced by its next run\n"));
    for (const char* name :
         {"data", "federation", "models", "plan.toml", "results.json", "report.html"}) {
      if (std::string_view(name) == "data" && options_.keep_images) continue;
      fs::remove_all(out_ / name, error);
      if (error) {
        return absl::InternalError(
            StrCat("cannot remove the earlier run's ", name, ": ", error.message()));
      }
    }
    RETURN_IF_ERROR(EnsureFolder(Logs()));
    RETURN_IF_ERROR(EnsureFolder(out_ / "models"));
    return WriteFileDurably(PlanFile(), results_.plan_toml, 0644);
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
      if (options_.keep_images && fs::exists(site.data / "labels.csv")) continue;
      Say(StrCat("   ", site.name, ": ", options_.patients, " patients"));
      RETURN_IF_ERROR(RunProgram({.program = programs_ / "consilium-dataset",
                                  .arguments = {"synthesize", "--out", site.data, "--hospital",
                                                site.name, "--patients", StrCat(options_.patients),
                                                "--seed", StrCat(seed)},
                                  .logs = Logs(),
                                  .name = StrCat("synthesize-", site.name),
                                  .show_errors = true})
                          .status());
    }
    return absl::OkStatus();
  }

  void AddSite(const std::string& name, const fs::path& data, const std::string& description) {
    sites_.push_back({name, data, out_ / "federation" / "sites" / name});
    results_.sites.push_back({.name = name, .description = description});
  }

  absl::Status Federate() {
    ASSIGN_OR_RETURN(Federation federation, Federation::Create(programs_, out_ / "federation"));
    RETURN_IF_ERROR(
        Part("start", "Starting the coordinator and enrolling the sites", [&]() -> absl::Status {
          RETURN_IF_ERROR(federation.StartCoordinator());
          for (const SiteData& site : sites_) {
            RETURN_IF_ERROR(federation.EnrolSite(site.name));
            if (plan_.aggregation.updates == plan::Updates::kSealed) {
              RETURN_IF_ERROR(federation.ConsentToSealedUpdates(site.name));
            }
          }
          RETURN_IF_ERROR(federation.EnrolResearcher("researcher"));
          const int threads = std::max(1, cores_ / static_cast<int>(sites_.size()));
          for (const SiteData& site : sites_) {
            RETURN_IF_ERROR(federation.StartSite(
                site.name, {"--data", site.data, "--threads", StrCat(threads)}));
            Say(StrCat("   ", site.name, " enrolled, its agent indexes the images"));
          }
          // Else the run would begin with the first sites that are there.
          for (const SiteData& site : sites_) RETURN_IF_ERROR(federation.AwaitSite(site.name));
          return absl::OkStatus();
        }));
    RETURN_IF_ERROR(Part("federation", "Training together", [&] { return Watch(federation); }));
    return Part("fetch, verify", "Fetching the model", [&]() -> absl::Status {
      RETURN_IF_ERROR(ReadRun(federation));
      federation.StopSites();
      return absl::OkStatus();
    });
  }

  absl::Status Watch(Federation& federation) {
    ASSIGN_OR_RETURN(const std::string answer,
                     federation.Researcher({"run", "submit", PlanFile(), "--json"}, "submit"));
    const auto json = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("run"))
      return absl::InternalError("consilium run submit named no run");
    results_.run = json["run"];
    Command watch = federation.ResearcherCommand({"run", "watch", results_.run});
    if (options_.json) watch.output = Logs() / "watch.out";
    ASSIGN_OR_RETURN(Process process, Process::Start(watch));
    ASSIGN_OR_RETURN(const ExitState state, federation.WaitFor(process));
    if (!state.ok()) {
      return absl::AbortedError(StrCat("run ", results_.run,
                                       " did not end well; the coordinator's log ends with:\n",
                                       Tail(Logs() / "coordinator.log", 10)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadRun(Federation& federation) {
    ASSIGN_OR_RETURN(const std::string shown,
                     federation.Researcher({"run", "show", results_.run, "--json"}, "show"));
    const auto json = nlohmann::json::parse(shown, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("events"))
      return absl::InternalError("consilium run show printed no events");
    ASSIGN_OR_RETURN(results_.events, EventsFromJson(json["events"].dump()));
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
    return history.published ? FetchPublished(federation) : TakeCandidate(federation);
  }

  absl::Status FetchPublished(Federation& federation) {
    const fs::path file = out_ / StrCat(plan_.name, ".safetensors");
    RETURN_IF_ERROR(
        federation.Researcher({"model", "fetch", results_.model_id, "--out", file}, "fetch")
            .status());
    const absl::StatusOr<std::string> verified =
        federation.Researcher({"model", "verify", file}, "verify");
    RETURN_IF_ERROR(WithContext(verified.status(), "the published model does not verify"));
    results_.verified = true;
    results_.model_path = file;
    Command verify = federation.ResearcherCommand({"model", "verify", file});
    verify.environment.clear();  // nothing secret is needed for it
    results_.verify_command = verify.ToString();
    federated_ = file;
    Say(StrCat("   ", *verified));
    return absl::OkStatus();
  }

  // A refused candidate is handed to no researcher; what it is worth is still tested here, on the
  // coordinator's machine.
  absl::Status TakeCandidate(Federation& federation) {
    if (results_.model_id.empty())
      return absl::AbortedError("the run ended before it had a model to test");
    federated_ = federation.CoordinatorState() / "models" / (results_.model_id + ".safetensors");
    Say("   the release gate did not let the model through: nothing is published");
    return absl::OkStatus();
  }

  BaselinePlace Place() const { return {programs_, PlanFile(), out_ / "models", Logs(), cores_}; }

  absl::Status TrainToCompare() {
    const std::uint32_t epochs = std::max(1u, rounds_ * plan_.training.local_epochs);
    results_.baseline_epochs = epochs;
    return Part("baselines",
                StrCat("Training to compare: on all images in one place, and each site alone, ",
                       epochs, " epochs each"),
                [&]() -> absl::Status {
                  ASSIGN_OR_RETURN(models_, TrainBaselines(Place(), sites_, epochs, progress_));
                  return absl::OkStatus();
                });
  }

  absl::Status Test() {
    models_.insert(models_.begin(), {ModelKind::kFederated, "", federated_});
    return Part("tests", "Testing every model at every site", [&]() -> absl::Status {
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

  fs::path Logs() const { return out_ / "federation" / "logs"; }
  fs::path PlanFile() const { return out_ / "plan.toml"; }

  const QuickstartOptions& options_;
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
      StrCat("\nAUROC on the test patients, with its 95 % interval\n\n", table.ToString(), "\n");
  for (const std::string& sentence : Verdict(results)) StrAppend(&text, sentence, "\n");
  StrAppend(&text, "\n", ProtectionInWords(ReadHistory(results.events)), "\n");
  double seconds = 0;
  for (const Part& part : results.parts) seconds += part.seconds;
  StrAppend(&text, "\nTime      ", ToReadable(FromSeconds(seconds)), "\n");
  if (!results.model_path.empty()) {
    StrAppend(&text, "Model     ", results.model_path, "\nVerify it ", results.verify_command,
              "\n");
  }
  StrAppend(&text, "Report    ", (fs::absolute(out) / "report.html").lexically_normal().string(),
            "\n");
  return text;
}

}  // namespace consilium::experiments

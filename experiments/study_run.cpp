#include "experiments/study_run.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/keys.h"
#include "datasets/catalog.h"
#include "experiments/baselines.h"
#include "experiments/federation.h"
#include "experiments/personal_models.h"
#include "experiments/plan_text.h"
#include "experiments/run_history.h"
#include "experiments/studies/image_study.h"
#include "experiments/study_pages.h"

namespace consilium::experiments {
namespace {

using std::chrono::steady_clock;

constexpr const char* kMark = ".consilium-study";  // in OUT: what was asked for

// One seed of a study, in a folder of its own.
class SeedRun {
 public:
  SeedRun(const StudyOptions& options, const Study& study, const std::string& plan_toml,
          std::uint64_t seed, const fs::path& folder)
      : options_(options),
        study_(study),
        toml_(plan_toml),
        folder_(folder),
        cores_(options.cores > 0 ? options.cores : UsableCores()),
        programs_(ProgramFolder()) {
    found_.seed = seed;
  }

  absl::StatusOr<StudySeed> Run() {
    RETURN_IF_ERROR(RemoveTree(folder_));
    RETURN_IF_ERROR(EnsureFolder(folder_ / "models"));
    ASSIGN_OR_RETURN(const std::string toml, OverridePlan(toml_, {.rounds = options_.rounds,
                                                                  .seed = found_.seed,
                                                                  .personal = options_.personal}));
    ASSIGN_OR_RETURN(plan_, plan::ParsePlan(toml));
    RETURN_IF_ERROR(WriteFileDurably(PlanFile(), toml, 0644));
    RETURN_IF_ERROR(Part("sites", [&] { return Prepare(); }));
    RETURN_IF_ERROR(Part("federation", [&] { return Federate(); }));
    RETURN_IF_ERROR(Part("comparison", [&] { return TrainToCompare(); }));
    RETURN_IF_ERROR(Part("tests", [&] { return Test(); }));
    RETURN_IF_ERROR(WriteFileDurably(folder_ / "results.json", experiments::ToJson(found_), 0644));
    return found_;
  }

 private:
  void Say(std::string_view text) const {
    std::fprintf(options_.json ? stderr : stdout, "%.*s\n", static_cast<int>(text.size()),
                 text.data());
    std::fflush(options_.json ? stderr : stdout);
  }

  template <class Work>
  absl::Status Part(const std::string& name, const Work& work) {
    const auto began = steady_clock::now();
    RETURN_IF_ERROR(WithContext(work(), StrCat("seed ", found_.seed, ", ", name)));
    const double seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
    found_.seconds[name] = seconds;
    Say(StrCat("   ", name, ": ", ToReadable(FromSeconds(seconds))));
    return absl::OkStatus();
  }

  absl::Status Prepare() {
    const StudyInput input{options_.data, options_.test, options_.held_out, found_.seed};
    ASSIGN_OR_RETURN(PreparedStudy prepared, study_.prepare(input, plan_, folder_ / "sites"));
    found_.sites = std::move(prepared.sites);
    found_.notes = std::move(prepared.notes);
    for (const StudySite& site : found_.sites) {
      const fs::path state = folder_ / (site.trains ? "federation/sites" : "testing") / site.name;
      (site.trains ? training_ : testing_).push_back({site.name, site.folder, state});
      Say(StrCat("   ", site.name, ": ", site.description));
    }
    return absl::OkStatus();
  }

  // Images are split by their patients' pseudonyms: the key comes first.
  absl::Status KeepSplit(const SiteData& site) const {
    RETURN_IF_ERROR(EnsureFolder(site.state));
    return crypto::SavePrivateKey(datasets::Catalog::KeyFile(site.state / "catalog.db"),
                                  "pseudonym", PseudonymKey(plan_.name, site.name, found_.seed));
  }

  absl::Status Federate() {
    ASSIGN_OR_RETURN(Federation federation, Federation::Create(programs_, folder_ / "federation"));
    RETURN_IF_ERROR(federation.StartCoordinator());
    for (const SiteData& site : training_) {
      RETURN_IF_ERROR(federation.EnrolSite(site.name));
      RETURN_IF_ERROR(KeepSplit(site));
    }
    RETURN_IF_ERROR(federation.EnrolResearcher("researcher"));
    const int threads = std::max(1, cores_ / static_cast<int>(training_.size()));
    for (const SiteData& site : training_) {
      RETURN_IF_ERROR(
          federation.StartSite(site.name, {"--data", site.data, "--threads", StrCat(threads)}));
    }
    for (const SiteData& site : training_) RETURN_IF_ERROR(federation.AwaitSite(site.name));
    ASSIGN_OR_RETURN(const std::string run, federation.SubmitRun(PlanFile()));
    RETURN_IF_ERROR(Watch(federation, run));
    RETURN_IF_ERROR(ReadRun(federation, run));
    if (plan_.personalisation.method != plan::PersonalMethod::kNone) {
      ASSIGN_OR_RETURN(personal_, AwaitPersonalModels(federation, run, published_, training_,
                                                      FromSeconds(plan_.cohort.round_deadline_s)));
    }
    federation.StopSites();
    return absl::OkStatus();
  }

  absl::Status Watch(Federation& federation, const std::string& run) const {
    const fs::path shown = federation.logs() / "watch.out";
    ASSIGN_OR_RETURN(const ExitState state, federation.WatchRun(run, shown));
    if (state.ok()) return absl::OkStatus();
    return absl::AbortedError(
        StrCat("run ", run, " did not end well; it ended with:\n", Tail(shown, 10)));
  }

  // The model that was published; one that the gate refused is tested all the same, from the
  // coordinator's folder.
  absl::Status ReadRun(Federation& federation, const std::string& run) {
    ASSIGN_OR_RETURN(const std::string shown, federation.ShowRun(run));
    ASSIGN_OR_RETURN(const auto events, EventsOfRun(shown));
    const RunHistory history = ReadHistory(events);
    for (const auto& [site, why] : history.declined) {
      return absl::AbortedError(StrCat("site ", site, " declined the plan: ", why));
    }
    found_.rounds = static_cast<std::uint32_t>(history.rounds.size());
    found_.model_id = history.final_model;
    if (found_.model_id.empty()) {
      return absl::AbortedError("the run ended before it had a model to test");
    }
    federated_ = federation.CoordinatorState() / "models" / (found_.model_id + ".safetensors");
    published_ = history.published;
    if (!published_) {
      found_.notes.push_back(StrCat("Seed ", found_.seed,
                                    ": the release gate did not let the model through; it is "
                                    "tested here all the same."));
      return absl::OkStatus();
    }
    federated_ = folder_ / "models" / "federated.safetensors";
    return federation
        .Researcher({"model", "fetch", found_.model_id, "--out", federated_.string()}, "fetch")
        .status();
  }

  BaselinePlace Place() const {
    return {programs_, PlanFile(), folder_ / "models", folder_ / "federation" / "logs", cores_};
  }

  absl::Status TrainToCompare() {
    const std::uint32_t epochs = std::max(1u, found_.rounds * plan_.training.local_epochs);
    ASSIGN_OR_RETURN(models_, TrainBaselines(Place(), training_, epochs, progress_));
    models_.insert(models_.begin(), personal_.begin(), personal_.end());
    models_.insert(models_.begin(), {ModelKind::kFederated, "", federated_});
    return absl::OkStatus();
  }

  absl::Status Test() {
    for (const SiteData& site : testing_) RETURN_IF_ERROR(KeepSplit(site));
    std::vector<SiteData> all = training_;
    all.insert(all.end(), testing_.begin(), testing_.end());
    ASSIGN_OR_RETURN(std::vector<ModelSums> tested, TestSums(Place(), all, models_, progress_));
    for (ModelSums& sums : tested) Keep(std::move(sums));
    return absl::OkStatus();
  }

  // The sites' own models are one, of which each site has its own.
  void Keep(ModelSums sums) {
    const bool personal = sums.model.kind == ModelKind::kPersonal;
    if (personal && found_.models.back().kind == ModelKind::kPersonal) {
      found_.models.back().by_site.merge(sums.by_site);
      return;
    }
    found_.models.push_back(
        {sums.model.kind, personal ? "" : sums.model.site, std::move(sums.by_site)});
  }

  fs::path PlanFile() const { return folder_ / "plan.toml"; }

  const StudyOptions& options_;
  const Study& study_;
  const std::string& toml_;
  const fs::path folder_;
  const int cores_;
  const fs::path programs_;
  plan::Plan plan_;
  std::vector<SiteData> training_, testing_;
  std::vector<ModelFile> models_, personal_;
  bool published_ = false;
  fs::path federated_;
  TerminalProgress progress_;
  StudySeed found_;
};

std::string CommandOf(const StudyOptions& options) {
  std::string command =
      StrCat("./experiments/study ", options.name, " --data ", options.data.string());
  if (!options.test.empty()) StrAppend(&command, " --test ", options.test.string());
  for (const std::string& site : options.held_out) StrAppend(&command, " --held-out ", site);
  if (!options.plan.empty()) StrAppend(&command, " --plan ", options.plan.string());
  if (options.rounds) StrAppend(&command, " --rounds ", *options.rounds);
  if (options.personal) StrAppend(&command, " --personal ", plan::Name(*options.personal));
  return command;  // without the seeds: more of them go on with the same folder
}

// OUT is ours, and holds nothing else than this study.
absl::StatusOr<FolderLock> TakeFolder(const fs::path& out, const std::string& request, bool fresh) {
  std::error_code error;
  const bool occupied = fs::exists(out, error) && !fs::is_empty(out, error);
  if (occupied && !Exists(out / kMark)) {
    return absl::AlreadyExistsError(
        StrCat(out.string(), " holds something else; give another --out"));
  }
  if (occupied && fresh) RETURN_IF_ERROR(RemoveTree(out));
  if (occupied && !fresh) {
    ASSIGN_OR_RETURN(const std::string there, ReadTextFile(out / kMark, 1 << 20));
    if (there != request) {
      return absl::FailedPreconditionError(StrCat(
          out.string(),
          " holds another study, or one with another plan; give another --out to keep it, or "
          "--fresh to replace it"));
    }
  }
  RETURN_IF_ERROR(EnsureFolder(out));
  RETURN_IF_ERROR(WriteFileDurably(out / kMark, request));
  return FolderLock::Acquire(out);
}

absl::StatusOr<StudySeed> LoadSeed(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(folder / "results.json", 1 << 30));
  return StudySeedFromJson(text);
}

absl::Status WritePages(const StudyResults& results, const Study& study, const fs::path& out) {
  const report::Document page = StudyPage(results, study);
  RETURN_IF_ERROR(WriteFileDurably(out / "results.json", ToJson(results), 0644));
  RETURN_IF_ERROR(WriteFileDurably(out / "results.md", page.Markdown(), 0644));
  return WriteFileDurably(out / "results.html", page.Html(), 0644);
}

}  // namespace

fs::path OutOf(const StudyOptions& options) {
  const fs::path out = options.out.empty() ? fs::path(StrCat("study-", options.name)) : options.out;
  return fs::absolute(out).lexically_normal();
}

std::string ToJson(const StudyResults& results) {
  nlohmann::json seeds = nlohmann::json::array();
  for (const StudySeed& seed : results.seeds) seeds.push_back(nlohmann::json::parse(ToJson(seed)));
  const nlohmann::json out = {{"study", results.study},
                              {"plan_toml", results.plan_toml},
                              {"command", results.command},
                              {"program_version", results.program_version},
                              {"seeds", seeds}};
  return out.dump() + "\n";
}

absl::StatusOr<StudyResults> RunStudy(const StudyOptions& options) {
  ASSIGN_OR_RETURN(const Study* study, FindStudy(options.name));
  StudyOptions absolute = options;
  absolute.data = fs::absolute(options.data).lexically_normal();
  if (!options.test.empty()) absolute.test = fs::absolute(options.test).lexically_normal();
  StudyResults results{.study = options.name,
                       .plan_toml = std::string(study->plan),
                       .command = StrCat(CommandOf(options), " --seeds ", options.seeds),
                       .program_version = std::string(kVersion),
                       .seeds = {}};
  if (!options.plan.empty()) {
    ASSIGN_OR_RETURN(results.plan_toml, ReadTextFile(options.plan, 1 << 20));
  }
  RETURN_IF_ERROR(WithContext(plan::ParsePlan(results.plan_toml).status(), "the study's plan"));
  const fs::path out = OutOf(options);
  const std::string request = StrCat(CommandOf(absolute), "\n", results.plan_toml);
  ASSIGN_OR_RETURN(const FolderLock lock, TakeFolder(out, request, options.fresh));
  for (std::uint64_t seed = 1; seed <= options.seeds; ++seed) {
    const fs::path folder = out / StrCat("seed-", seed);
    std::fprintf(options.json ? stderr : stdout, "== Seed %d of %d\n", static_cast<int>(seed),
                 static_cast<int>(options.seeds));
    absl::StatusOr<StudySeed> found = LoadSeed(folder);
    if (!found.ok()) found = SeedRun(absolute, *study, results.plan_toml, seed, folder).Run();
    RETURN_IF_ERROR(found.status());
    results.seeds.push_back(*std::move(found));
    RETURN_IF_ERROR(WritePages(results, *study, out));
  }
  return results;
}

}  // namespace consilium::experiments

#include "experiments/baselines.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <list>
#include <nlohmann/json.hpp>
#include <set>

#include "common/metrics/json.h"
#include "datasets/catalog.h"

namespace consilium::experiments {
namespace {

struct Job {
  std::string name;      // of its logs, and for progress
  std::string resource;  // two jobs that need the same one never run at once
  std::vector<std::string> arguments;
  int steps = 1;  // for progress: an epoch, or all of it
};

struct RunningJob {
  const Job* job;
  Process process;
};

absl::Status Failed(const BaselinePlace& place, const Job& job, const ExitState& state) {
  const fs::path log = place.logs / (job.name + ".log");
  return absl::InternalError(StrCat(job.name, " (consilium-site) ", state.ToString(),
                                    "; the end of ", log.string(), ":\n", Tail(log, 12)));
}

absl::StatusOr<Process> Start(const BaselinePlace& place, const Job& job, int threads) {
  Command command{.program = place.programs / "consilium-site", .arguments = job.arguments};
  command.arguments.insert(command.arguments.end(), {"--threads", StrCat(threads)});
  command.output = place.logs / (job.name + ".out");
  command.errors = place.logs / (job.name + ".log");
  std::error_code ignored;
  fs::remove(command.output, ignored);
  return Process::Start(command);
}

// How far it is: `consilium-site train` says "epoch   3/42  loss ..." after each epoch.
int StepsDone(const BaselinePlace& place, const Job& job) {
  if (job.steps == 1) return 0;
  std::ifstream log(place.logs / (job.name + ".log"));
  int done = 0, epoch = 0, epochs = 0;
  for (std::string line; std::getline(log, line);) {
    if (std::sscanf(line.c_str(), "epoch %d/%d", &epoch, &epochs) == 2) done = epoch;
  }
  return std::clamp(done, 0, job.steps);
}

// Jobs that start in their order, as many at once as there are cores and resources, each with its
// share of the cores. (Two networks with a thread each train faster than one with two: the images
// are small.)
class JobQueue {
 public:
  JobQueue(const BaselinePlace& place, const std::vector<Job>& jobs)
      : place_(place), jobs_(jobs), cores_(std::max(1, place.cores)) {
    std::set<std::string> resources;
    for (const Job& job : jobs) {
      resources.insert(job.resource);
      waiting_.push_back(&job);
    }
    at_once_ = std::clamp<std::size_t>(resources.size(), 1, cores_);
  }

  // The first failure ends the rest.
  absl::Status Run(std::string_view step, Progress& progress) {
    while (!waiting_.empty() || !running_.empty()) {
      RETURN_IF_ERROR(StartWaiting());
      ReportTo(progress, step);
      const auto first = running_.front().process.Wait(std::chrono::milliseconds(50));
      if (!first.ok() && !absl::IsDeadlineExceeded(first.status())) return first.status();
      RETURN_IF_ERROR(CollectEnded());
    }
    ReportTo(progress, step);
    return absl::OkStatus();
  }

 private:
  absl::Status StartWaiting() {
    for (auto next = waiting_.begin(); next != waiting_.end() && running_.size() < at_once_;) {
      const Job* job = *next;
      if (!taken_.insert(job->resource).second) {
        ++next;
        continue;
      }
      ASSIGN_OR_RETURN(Process process, Start(place_, *job, cores_ / static_cast<int>(at_once_)));
      running_.push_back({job, std::move(process)});
      next = waiting_.erase(next);
    }
    return absl::OkStatus();
  }

  absl::Status CollectEnded() {
    for (auto it = running_.begin(); it != running_.end();) {
      const auto state = it->process.Poll();
      if (!state) {
        ++it;
        continue;
      }
      if (!state->ok()) return Failed(place_, *it->job, *state);
      steps_done_ += it->job->steps;
      taken_.erase(it->job->resource);
      it = running_.erase(it);
    }
    return absl::OkStatus();
  }

  void ReportTo(Progress& progress, std::string_view step) const {
    int total = 0, done = steps_done_;
    for (const Job& job : jobs_) total += job.steps;
    std::string names;
    for (const RunningJob& running : running_) {
      done += StepsDone(place_, *running.job);
      StrAppend(&names, names.empty() ? "" : ", ", running.job->name);
    }
    if (!running_.empty()) done = std::min(done, total - 1);  // at the end once, not twice
    progress.Report(step, done, total, names);
  }

  const BaselinePlace& place_;
  const std::vector<Job>& jobs_;
  const int cores_;
  std::size_t at_once_ = 1;
  int steps_done_ = 0;
  std::list<const Job*> waiting_;
  std::list<RunningJob> running_;
  std::set<std::string> taken_;
};

absl::StatusOr<metrics::TaskSums> ReadSums(const fs::path& output) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(output));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("sums")) {
    return absl::InternalError(
        StrCat("consilium-site evaluate printed no sums into ", output.string()));
  }
  return metrics::TaskSumsFromJson(json["sums"].dump());
}

TestResult ResultOf(const metrics::TaskSums& sums, double at_specificity) {
  if (!metrics::LargeEnoughToShow(sums)) return std::nullopt;
  const auto computed = metrics::Compute(sums, at_specificity);
  return computed.ok() ? TestResult(FiguresOf(*computed)) : std::nullopt;
}

std::string EvaluationName(const ModelFile& model, const SiteData& site) {
  const std::string of = model.site.empty() ? "" : "-" + model.site;
  return StrCat("test-", KeyOf(model.kind), of, "-on-", site.name);
}

bool IsTestedAt(const ModelFile& model, const SiteData& site) {
  return model.kind != ModelKind::kPersonal || model.site == site.name;
}

// Patients are split by their pseudonyms: with another key the pooled model would be trained on
// patients that a site tests with.
absl::Status SplitAlike(const fs::path& site_state, const fs::path& pooled) {
  const auto key = datasets::Catalog::KeyFile(site_state / "catalog.db");
  const auto copy = datasets::Catalog::KeyFile(pooled / "catalog.db");
  RETURN_IF_ERROR(EnsureFolder(pooled));
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(key));
  return WriteFileDurably(copy, bytes);
}

}  // namespace

absl::StatusOr<std::vector<ModelFile>> TrainBaselines(const BaselinePlace& place,
                                                      const std::vector<SiteData>& sites,
                                                      std::uint32_t epochs, Progress& progress) {
  const auto job = [&](const std::string& name, const fs::path& state, const fs::path& out) {
    return Job{StrCat("train-", name),
               state,
               {"train", "--plan", place.plan, "--state", state, "--epochs", StrCat(epochs),
                "--out", out, "--json"},
               static_cast<int>(epochs)};
  };
  const ModelFile pooled{ModelKind::kPooled, "", place.folder / "pooled.safetensors"};
  const fs::path pooled_state = place.folder / "pooled-state";
  RETURN_IF_ERROR(EnsureFolder(pooled_state));
  for (std::size_t i = 0; i < sites.size(); ++i) {
    RETURN_IF_ERROR(SplitAlike(sites[i].state, pooled_state / "pooled" / StrCat(i + 1)));
  }
  Job on_all = job("pooled", pooled_state, pooled.file);
  std::vector<Job> jobs;
  std::vector<ModelFile> models;
  for (const SiteData& site : sites) {
    models.push_back(
        {ModelKind::kLocal, site.name, place.folder / StrCat("local-", site.name, ".safetensors")});
    jobs.push_back(job(site.name, site.state, models.back().file));
    for (Job* with_its_images : {&on_all, &jobs.back()}) {
      with_its_images->arguments.insert(with_its_images->arguments.end(), {"--data", site.data});
    }
    if (Exists(models.back().file)) jobs.pop_back();
  }
  models.push_back(pooled);
  // First of all: it takes about as long as all the others together.
  if (!Exists(pooled.file)) jobs.insert(jobs.begin(), std::move(on_all));
  RETURN_IF_ERROR(JobQueue(place, jobs).Run("epochs of all models", progress));
  return models;
}

absl::StatusOr<std::vector<ModelSums>> TestSums(const BaselinePlace& place,
                                                const std::vector<SiteData>& sites,
                                                const std::vector<ModelFile>& models,
                                                Progress& progress) {
  std::vector<Job> jobs;
  for (const ModelFile& model : models) {
    for (const SiteData& site : sites) {
      if (!IsTestedAt(model, site)) continue;
      jobs.push_back({EvaluationName(model, site),
                      site.state,
                      {"evaluate", "--model", model.file, "--plan", place.plan, "--data", site.data,
                       "--state", site.state, "--split", "test", "--json"}});
    }
  }
  RETURN_IF_ERROR(JobQueue(place, jobs).Run("tests", progress));
  std::vector<ModelSums> tested;
  for (const ModelFile& model : models) {
    ModelSums result{model, {}};
    for (const SiteData& site : sites) {
      if (!IsTestedAt(model, site)) continue;
      ASSIGN_OR_RETURN(metrics::TaskSums sums,
                       ReadSums(place.logs / (EvaluationName(model, site) + ".out")));
      result.by_site.emplace(site.name, std::move(sums));
    }
    tested.push_back(std::move(result));
  }
  return tested;
}

absl::StatusOr<std::vector<TestedModel>> TestModels(const BaselinePlace& place,
                                                    const std::vector<SiteData>& sites,
                                                    const std::vector<ModelFile>& models,
                                                    double at_specificity, Progress& progress) {
  ASSIGN_OR_RETURN(const std::vector<ModelSums> all_sums, TestSums(place, sites, models, progress));
  std::vector<TestedModel> tested;
  for (const ModelSums& sums : all_sums) {
    TestedModel result{.kind = sums.model.kind, .site = sums.model.site};
    std::optional<metrics::TaskSums> all;
    for (const auto& [site, of_site] : sums.by_site) {
      result.by_site[site] = ResultOf(of_site, at_specificity);
      if (all) {
        *all += of_site;
      } else {
        all = of_site;
      }
    }
    if (all) result.pooled = ResultOf(*all, at_specificity);
    tested.push_back(std::move(result));
  }
  return tested;
}

}  // namespace consilium::experiments

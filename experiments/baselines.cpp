#include "experiments/baselines.h"

#include <algorithm>
#include <list>
#include <nlohmann/json.hpp>
#include <set>

#include "common/metrics/json.h"

namespace consilium::experiments {
namespace {

struct Job {
  std::string name;      // of its logs, and for progress
  std::string resource;  // two jobs that need the same one never run at once
  std::vector<std::string> arguments;
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

// Runs all jobs, as many at once as there are cores and resources; the first failure ends the rest.
absl::Status RunAll(const BaselinePlace& place, const std::vector<Job>& jobs, std::string_view step,
                    Progress& progress) {
  std::set<std::string> resources;
  for (const Job& job : jobs) resources.insert(job.resource);
  const std::size_t at_once =
      std::max<std::size_t>(1, std::min<std::size_t>(place.cores, resources.size()));
  const int threads = std::max(1, place.cores / static_cast<int>(at_once));
  std::list<const Job*> waiting;
  for (const Job& job : jobs) waiting.push_back(&job);
  std::list<RunningJob> running;
  std::set<std::string> taken;
  std::size_t done = 0;
  progress.Report(step, 0, jobs.size());
  while (done < jobs.size()) {
    for (auto next = waiting.begin(); next != waiting.end() && running.size() < at_once;) {
      const Job* job = *next;
      if (!taken.insert(job->resource).second) {
        ++next;
        continue;
      }
      ASSIGN_OR_RETURN(Process process, Start(place, *job, threads));
      running.push_back({job, std::move(process)});
      next = waiting.erase(next);
    }
    const auto first = running.front().process.Wait(std::chrono::milliseconds(20));
    if (!first.ok() && !absl::IsDeadlineExceeded(first.status())) return first.status();
    for (auto it = running.begin(); it != running.end();) {
      const auto state = it->process.Poll();
      if (!state) {
        ++it;
        continue;
      }
      if (!state->ok()) return Failed(place, *it->job, *state);
      progress.Report(step, ++done, jobs.size(), it->job->name);
      taken.erase(it->job->resource);
      it = running.erase(it);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<metrics::BinarySums> ReadSums(const fs::path& output) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(output));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("sums")) {
    return absl::InternalError(
        StrCat("consilium-site evaluate printed no sums into ", output.string()));
  }
  return metrics::SumsFromJson(json["sums"].dump());
}

TestResult ResultOf(const metrics::BinarySums& sums, double at_specificity) {
  if (!metrics::LargeEnoughToShow(sums)) return std::nullopt;
  auto computed = metrics::Compute(sums, at_specificity);
  return computed.ok() ? TestResult(*std::move(computed)) : std::nullopt;
}

std::string EvaluationName(const ModelFile& model, const SiteData& site) {
  const std::string what = model.kind == ModelKind::kFederated ? "federated"
                           : model.kind == ModelKind::kPooled  ? "pooled"
                                                               : "only-" + model.site;
  return StrCat("test-", what, "-on-", site.name);
}

}  // namespace

absl::StatusOr<std::vector<ModelFile>> TrainLocalModels(const BaselinePlace& place,
                                                        const std::vector<SiteData>& sites,
                                                        std::uint32_t epochs, Progress& progress) {
  std::vector<Job> jobs;
  std::vector<ModelFile> models;
  for (const SiteData& site : sites) {
    models.push_back(
        {ModelKind::kLocal, site.name, place.folder / StrCat("local-", site.name, ".safetensors")});
    jobs.push_back({StrCat("train-", site.name),
                    site.state,
                    {"train", "--plan", place.plan, "--data", site.data, "--state", site.state,
                     "--epochs", StrCat(epochs), "--out", models.back().file, "--json"}});
  }
  RETURN_IF_ERROR(RunAll(place, jobs, "each site alone", progress));
  return models;
}

absl::StatusOr<ModelFile> TrainPooledModel(const BaselinePlace& place,
                                           const std::vector<SiteData>& sites, std::uint32_t epochs,
                                           Progress& progress) {
  const ModelFile model{ModelKind::kPooled, "", place.folder / "pooled.safetensors"};
  Job job{"train-pooled", "pooled", {"train", "--plan", place.plan}};
  for (const SiteData& site : sites)
    job.arguments.insert(job.arguments.end(), {"--data", site.data});
  job.arguments.insert(job.arguments.end(), {"--state", place.folder / "pooled-state", "--epochs",
                                             StrCat(epochs), "--out", model.file, "--json"});
  RETURN_IF_ERROR(EnsureFolder(place.folder / "pooled-state"));
  RETURN_IF_ERROR(RunAll(place, {job}, "all images in one place", progress));
  return model;
}

absl::StatusOr<std::vector<TestedModel>> TestModels(const BaselinePlace& place,
                                                    const std::vector<SiteData>& sites,
                                                    const std::vector<ModelFile>& models,
                                                    double at_specificity, Progress& progress) {
  std::vector<Job> jobs;
  for (const ModelFile& model : models) {
    for (const SiteData& site : sites) {
      jobs.push_back({EvaluationName(model, site),
                      site.state,
                      {"evaluate", "--model", model.file, "--plan", place.plan, "--data", site.data,
                       "--state", site.state, "--split", "test", "--json"}});
    }
  }
  RETURN_IF_ERROR(RunAll(place, jobs, "testing every model at every site", progress));
  std::vector<TestedModel> tested;
  for (const ModelFile& model : models) {
    TestedModel result{.kind = model.kind, .site = model.site};
    metrics::BinarySums all;
    for (const SiteData& site : sites) {
      ASSIGN_OR_RETURN(const metrics::BinarySums sums,
                       ReadSums(place.logs / (EvaluationName(model, site) + ".out")));
      result.by_site[site.name] = ResultOf(sums, at_specificity);
      all += sums;
    }
    result.pooled = ResultOf(all, at_specificity);
    tested.push_back(std::move(result));
  }
  return tested;
}

}  // namespace consilium::experiments

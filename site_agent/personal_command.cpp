#include "site_agent/personal_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "site_agent/local_sites.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;

constexpr std::uint64_t kSeed = 1;  // of resampling: the same data gives the same intervals

struct Shown {
  PersonalModel model;
  plan::Plan plan;
  absl::StatusOr<ModelComparison> comparison;  // not OK: why there is none
};

absl::StatusOr<ModelState> GlobalOf(const SiteFolder& folder, const PersonalModel& personal) {
  for (const fs::path& place : {folder.Published(), folder.Models()}) {
    const fs::path file = place / StrCat(personal.global.Hex(), ".safetensors");
    const auto id = crypto::Sha256OfFile(file);
    if (id.ok() && *id == personal.global) return LoadSafetensors(file);
  }
  return absl::NotFoundError(StrCat("the global model ", personal.global.Short(),
                                    " is not kept here any more: it is fetched again when the run "
                                    "publishes one"));
}

std::string InWords(const Shown& shown) {
  const PersonalModel& model = shown.model;
  std::string text = absl::StrFormat(
      "%s  %s, %d %s, of the %s model %s\n", model.run.value, std::string(plan::Name(model.method)),
      model.steps, model.steps == 1 ? "step" : "steps",
      model.published ? "published" : "latest global", model.global.Short());
  if (!shown.comparison.ok()) {
    return StrCat(text, "  not compared: ", shown.comparison.status().message(), "\n");
  }
  const ModelComparison& c = *shown.comparison;
  const std::string_view headline = HeadlineTitle(shown.plan.target.task);
  absl::StrAppendFormat(&text, "  %d test patients: %s %.3f own, %.3f global\n", c.patients,
                        std::string(headline), c.headline, c.other);
  absl::StrAppendFormat(&text, "  difference %+.3f (95 %% interval %+.3f to %+.3f, p %.3f, %s)\n",
                        c.difference, c.difference_95.low, c.difference_95.high, c.p,
                        c.delong ? "DeLong" : "bootstrap by patient");
  const std::string_view verdict = Verdict(c);
  if (verdict == "undecided") {
    constexpr std::uint64_t kFew = 100;
    return StrCat(text, "  neither is shown to be better for this site's patients",
                  c.patients < kFew ? "; with so few of them only a large difference would be" : "",
                  "\n");
  }
  return StrCat(text, "  the ", verdict, " model is better for this site's patients\n");
}

ordered_json ToJson(const Shown& shown) {
  const PersonalModel& model = shown.model;
  ordered_json json = {{"run", model.run.value},
                       {"method", plan::Name(model.method)},
                       {"steps", model.steps},
                       {"model", model.id.Hex()},
                       {"global", model.global.Hex()},
                       {"published", model.published},
                       {"headline", HeadlineTitle(shown.plan.target.task)}};
  if (!shown.comparison.ok()) {
    json["not_compared"] = std::string(ToStd(shown.comparison.status().message()));
    return json;
  }
  const ModelComparison& c = *shown.comparison;
  json["test_patients"] = c.patients;
  json["personal"] = c.headline;
  json["of_global"] = c.other;
  json["difference"] = {{"value", c.difference},
                        {"low", c.difference_95.low},
                        {"high", c.difference_95.high},
                        {"p", c.p},
                        {"test", c.delong ? "DeLong" : "bootstrap by patient"}};
  json["better"] = Verdict(c);
  return json;
}

}  // namespace

absl::StatusOr<ModelComparison> ComparePersonal(
    const SiteFolder& folder, const PersonalModel& personal, const plan::Plan& plan,
    const std::vector<std::unique_ptr<LocalData>>& sites, Progress& progress) {
  ASSIGN_OR_RETURN(const ModelState own, PersonalModels::Load(personal));
  ASSIGN_OR_RETURN(const ModelState global, GlobalOf(folder, personal));
  const datasets::Split splits[] = {datasets::Split::kTest};
  ASSIGN_OR_RETURN(const EvaluationData data, OpenForEvaluation(sites, plan, splits, progress));
  ASSIGN_OR_RETURN(const EvaluatedModel first,
                   EvaluatedModel::Evaluate(own, plan, *data.examples, progress));
  ASSIGN_OR_RETURN(const EvaluatedModel second,
                   EvaluatedModel::Evaluate(global, plan, *data.examples, progress));
  return CompareModels({first, data, std::nullopt}, {second, data, std::nullopt}, kSeed);
}

std::string_view Verdict(const ModelComparison& comparison) {
  if (comparison.difference_95.low > 0) return "personal";
  if (comparison.difference_95.high < 0) return "global";
  return "undecided";
}

void AddPersonalShowOptions(CLI::App& app, PersonalCommand& command) {
  app.add_option("run", command.run, "Of this run only");
  app.add_option("--state", command.state, "Folder that keeps this site's identity and work")
      ->required();
  app.add_option("--data", command.data, "Folder of images and tables")->required();
  app.add_option("--threads", command.threads, "Threads; 0: all cores")->check(CLI::Range(0, 1024));
  app.add_flag("--json", command.json, "Print JSON for scripts");
}

absl::Status Run(const PersonalCommand& command) {
  std::vector<Shown> shown;
  {
    ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kLook));
    for (PersonalModel& model : PersonalModels(state->folder().Personal()).List()) {
      if (!command.run.empty() && model.run.value != command.run) continue;
      ASSIGN_OR_RETURN(const auto record, state->FindRun(model.run));
      if (!record) continue;
      ASSIGN_OR_RETURN(plan::Plan plan, state->PlanOf(*record));
      shown.push_back({std::move(model), std::move(plan), absl::UnknownError("")});
    }
  }
  if (shown.empty()) {
    return absl::NotFoundError(
        "there is no personal model here: it is made in runs whose plan has [personalisation]");
  }
  TerminalProgress progress;
  ASSIGN_OR_RETURN(const auto sites,
                   IndexAll(command.data, command.state, command.threads, progress));
  ordered_json answer = ordered_json::array();
  std::string text;
  for (Shown& one : shown) {
    one.comparison = ComparePersonal({command.state}, one.model, one.plan, sites, progress);
    if (absl::IsCancelled(one.comparison.status())) return one.comparison.status();
    answer.push_back(ToJson(one));
    text += InWords(one);
  }
  const std::string out = command.json ? answer.dump(2) + "\n" : text;
  std::fputs(out.c_str(), stdout);
  std::fflush(stdout);
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

// consilium-experiment: whole federations on one machine, what they compare with, and reports.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "experiments/follow_up.h"
#include "experiments/leave_one_out.h"
#include "experiments/pacs_session.h"
#include "experiments/quickstart.h"
#include "experiments/study_pages.h"
#include "experiments/study_run.h"

namespace consilium::experiments {
namespace {

constexpr char kExamples[] = R"(Examples:
  consilium-experiment quickstart
  consilium-experiment quickstart --data clinic-a --data clinic-b --data clinic-c --plan opacity.toml
  consilium-experiment quickstart --fresh --seed 2
  consilium-experiment report --from study
  consilium-experiment pacs-session
  consilium-experiment follow-up
  consilium-experiment study heart-disease --data heart_disease_uci --seeds 3

Cut off (Ctrl-C, kill -9, a power cut), a quickstart goes on when the same command is given again; finished, it shows
its results again. Other options for the same --out are refused, with what differs.

Exit codes: 0 done (also when the release gate refused the model), 1 failed, 2 wrong input, 130 interrupted.)";

void AddQuickstartOptions(CLI::App* app, QuickstartOptions* options) {
  app->add_option("--data", options->data,
                  "A hospital's folder of DICOM files with labels.csv; once for each of three or "
                  "more hospitals. Without it, "
                  "three hospitals of drawn chest radiographs are made");
  app->add_option("--out", options->out, "Folder for everything it makes")->capture_default_str();
  app->add_option("--plan", options->plan,
                  "What to train (TOML); default: opacity in the drawn radiographs");
  app->add_option("--rounds", options->rounds, "Instead of the plan's [stop] rounds")
      ->check(CLI::Range(1, 10000));
  app->add_option("--seed", options->seed, "Instead of the plan's [plan] seed");
  app->add_option(
         "--updates", options->updates,
         "Instead of the plan's [aggregation] updates: masked (secure aggregation) or sealed "
         "(the coordinator sees each site's)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, plan::Updates>{
          {"masked", plan::Updates::kMasked}, {"sealed", plan::Updates::kSealed}}));
  app->add_option("--patients", options->patients, "Of each drawn hospital")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app->add_option("--images-seed", options->images_seed, "Of the drawn images")
      ->capture_default_str();
  app->add_flag("--fresh", options->fresh,
                "Remove what an earlier quickstart left in --out, and begin anew; to go on with "
                "this one, leave it away");
  app->add_flag("--keep", options->keep_images,
                "With --fresh: take the drawn images that the earlier one left");
  app->add_flag("!--no-baselines", options->baselines, "Train nothing to compare with");
  app->add_flag("--examples", options->example_images,
                "Show images of --data in the report: they are images of patients");
  app->add_option("--cores", options->cores, "Cores to use; default: all")
      ->check(CLI::Range(1, 1024));
  app->add_flag("--json", options->json, "Print the results as JSON");
}

void AddPacsSessionOptions(CLI::App* app, PacsSessionOptions* options) {
  app->add_option("--out", options->out, "Folder for everything it makes")->capture_default_str();
  app->add_option("--patients", options->patients, "Of each of three hospitals, to train on")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app->add_option("--new-patients", options->new_patients, "To predict")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app->add_option("--rounds", options->rounds, "Of training")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app->add_flag("--small", options->small, "Small images and no release gate: quick");
  app->add_flag("--fresh", options->fresh, "Replace what an earlier session left in --out");
}

std::map<std::string, plan::PersonalMethod> PersonalMethods() {
  using Method = plan::PersonalMethod;
  std::map<std::string, Method> methods;
  for (const Method method :
       {Method::kLocalNorm, Method::kLocalHead, Method::kDitto, Method::kFineTuning}) {
    methods.emplace(plan::Name(method), method);
  }
  return methods;
}

void AddStudyOptions(CLI::App* app, StudyOptions* options) {
  std::string names;
  for (const Study& study : Studies()) StrAppend(&names, names.empty() ? "" : ", ", study.name);
  app->add_option("name", options->name, names)->required();
  app->add_option("--data", options->data, "The set's folder, as its publisher has it")->required();
  app->add_option("--test", options->test,
                  "Another folder of the same form: all of --data is trained on, this is tested "
                  "on");
  app->add_option("--held-out", options->held_out,
                  "A site that is tested on without having trained; may be repeated");
  app->add_flag("--leave-one-out", options->leave_one_out,
                "The study once for each site, which is held out");
  app->add_option("--seeds", options->seeds, "Seeds 1 to this")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app->add_option("--out", options->out, "Folder for everything it makes; default: study-NAME");
  app->add_option("--plan", options->plan, "Instead of the study's own plan (TOML)");
  app->add_option("--rounds", options->rounds, "Instead of the plan's [stop] rounds")
      ->check(CLI::Range(1, 10000));
  app->add_option("--personal", options->personal,
                  "Each site makes a model of its own, too, instead of the plan's "
                  "[personalisation] method; tested on its own patients")
      ->transform(CLI::CheckedTransformer(PersonalMethods()));
  app->add_option("--cores", options->cores, "Cores to use; default: all")
      ->check(CLI::Range(1, 1024));
  app->add_flag("--fresh", options->fresh, "Remove what an earlier study left in --out");
  app->add_flag("--json", options->json, "Print the results as JSON");
}

int RunAndShow(const StudyOptions& options) {
  if (options.leave_one_out) return ReportAndExitCode(RunLeaveOneOut(options));
  const absl::StatusOr<StudyResults> results = RunStudy(options);
  if (!results.ok()) {
    const int code = ReportAndExitCode(results.status());
    if (absl::IsCancelled(results.status())) {
      std::fputs("Finished seeds are kept: the same command goes on after them.\n", stderr);
    }
    return code;
  }
  if (options.json) {
    std::fputs(ToJson(*results).c_str(), stdout);
    return 0;
  }
  const fs::path out = OutOf(options);
  std::printf("%s\nPage      %s\n          %s\n",
              StudySummary(*results, **FindStudy(options.name)).c_str(),
              (out / "results.html").c_str(), (out / "results.md").c_str());
  return 0;
}

void AddFollowUpOptions(CLI::App* app, FollowUpOptions* options) {
  app->add_option("--out", options->out, "Folder for everything it makes")->capture_default_str();
  app->add_option("--seed", options->seed, "Of the drawn head")->capture_default_str();
  app->add_flag("--fresh", options->fresh, "Replace what an earlier one left in --out");
}

int RunAndShow(const FollowUpOptions& options) {
  const absl::StatusOr<FollowUpSession> session = RunFollowUp(options);
  if (!session.ok()) return ReportAndExitCode(session.status());
  std::fputs(Summary(*session, options.out).c_str(), stdout);
  return 0;
}

int RunAndShow(const PacsSessionOptions& options) {
  const absl::StatusOr<PacsSession> session = RunPacsSession(options);
  if (!session.ok()) return ReportAndExitCode(session.status());
  std::fputs(Summary(*session, options.out).c_str(), stdout);
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-experiment: whole federations on one machine", "consilium-experiment");
  app.footer(kExamples);
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);

  QuickstartOptions quickstart;
  CLI::App* quickstart_app = app.add_subcommand(
      "quickstart", "Images, federation, training, comparison, release and report in one go");
  AddQuickstartOptions(quickstart_app, &quickstart);
  fs::path from;
  CLI::App* report_app = app.add_subcommand("report", "Make report.html again from results.json");
  report_app->add_option("--from", from, "The --out of a quickstart")->required();
  PacsSessionOptions pacs_session;
  CLI::App* pacs_app = app.add_subcommand("pacs-session",
                                          "A real archive (Orthanc): push, pull by query, train, "
                                          "predict, send results back, list them");
  AddPacsSessionOptions(pacs_app, &pacs_session);
  FollowUpOptions follow_up;
  CLI::App* follow_up_app =
      app.add_subcommand("follow-up",
                         "A drawn patient of three scans through a real archive (Orthanc): pulled, "
                         "followed over time, the report sent back and listed");
  AddFollowUpOptions(follow_up_app, &follow_up);
  StudyOptions study;
  CLI::App* study_app = app.add_subcommand(
      "study", "A public set: federated, each site alone, pooled, over seeds, in one page");
  AddStudyOptions(study_app, &study);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  if (study_app->parsed()) return RunAndShow(study);
  if (pacs_app->parsed()) return RunAndShow(pacs_session);
  if (follow_up_app->parsed()) return RunAndShow(follow_up);
  if (report_app->parsed()) {
    const int code = ReportAndExitCode(RewriteReport(from));
    if (code == 0) std::printf("%s\n", (from / "report.html").c_str());
    return code;
  }
  const absl::StatusOr<Results> results = RunQuickstart(quickstart);
  if (!results.ok()) {
    const int code = ReportAndExitCode(results.status());
    if (Exists(quickstart.out / "checkpoint.json") &&
        !absl::IsFailedPrecondition(results.status()) &&
        !absl::IsInvalidArgument(results.status())) {
      std::fputs("What is done is kept: the same command goes on from there.\n", stderr);
    }
    return code;
  }
  std::fputs(quickstart.json ? ToJson(*results).c_str() : Summary(*results, quickstart.out).c_str(),
             stdout);
  return 0;
}

}  // namespace
}  // namespace consilium::experiments

int main(int argc, char** argv) { return consilium::experiments::Main(argc, argv); }

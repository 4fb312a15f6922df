// consilium: the program of researchers and of a federation's operator. Checks and submits plans,
// watches and stops runs, lists, fetches and verifies models; founds a federation and admits its
// members.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/base/core_dumps.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "coordinator/federation/command_line.h"
#include "coordinator/researcher/describe_command.h"
#include "coordinator/researcher/model_commands.h"
#include "coordinator/researcher/model_files.h"
#include "coordinator/researcher/run_commands.h"

namespace consilium::researcher {
namespace {

constexpr char kExamples[] = R"(Examples:
  consilium enrol TOKEN
  consilium plan check chest-opacity.toml
  consilium run submit chest-opacity.toml --watch
  consilium run watch chest-opacity-0001
  consilium model list
  consilium model fetch 3fa9c1 --out opacity.safetensors
  consilium model verify opacity.safetensors
  consilium model card opacity.safetensors --plan opacity.toml --results north.json --out card.html
  consilium federation describe --target opacity --html cohort.html

Exit codes: 0 done, 1 failed, 2 wrong input, 3 coordinator not reachable, 4 refused, 130 interrupted.)";

std::string DefaultState() {
  if (const char* state = std::getenv("CONSILIUM_STATE")) return state;
  const char* home = std::getenv("HOME");
  return StrCat(home != nullptr ? home : ".", "/.consilium/researcher");
}

int Main(int argc, char** argv) {
  ForbidCoreDumps();
  CLI::App app("consilium: federated training and evaluation for medical imaging, for researchers",
               "consilium");
  app.footer(kExamples);
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  CommandOptions options;
  std::string state = DefaultState();
  app.fallthrough();
  app.add_option("--state", state, "Folder that keeps your identity (CONSILIUM_STATE)")
      ->capture_default_str();
  app.add_option(
      "--passphrase-file", options.passphrase.file,
      "File whose first line unlocks your keys (else CONSILIUM_PASSPHRASE_FILE, a systemd "
      "credential, or a question)");
  app.add_flag("--json", options.json, "Print JSON for scripts");

  std::string coordinator, token, role = "researcher", file, run, model, out;
  VerifyOptions verification;
  fs::path roster;
  bool watch = false;

  auto* enrol = app.add_subcommand(
      "enrol", "Become a member, once, with a token from the coordinator's operator");
  enrol->add_option("token", token, "What `consilium federation invite --role ...` printed")
      ->required();
  enrol->add_option("--role", role, "What the token was made for")
      ->check(CLI::IsMember({"researcher", "auditor"}))
      ->capture_default_str();
  enrol->add_option("--coordinator", coordinator, "host:port, instead of the token's");
  enrol->add_flag("--unprotected-keys", options.passphrase.unprotected_keys,
                  "Do not wrap the new keys with a passphrase");
  auto* fingerprint = app.add_subcommand(
      "fingerprint", "Your keys' fingerprint, to read to the federation's operator");

  auto* plan = app.add_subcommand("plan", "Plans")->require_subcommand(1);
  auto* check = plan->add_subcommand("check", "Check a plan and say in words what it will do");
  check->add_option("plan", file, "TOML file")->required();

  auto* runs = app.add_subcommand("run", "Runs")->require_subcommand(1);
  auto* submit = runs->add_subcommand("submit", "Submit a plan");
  submit->add_option("plan", file, "TOML file")->required();
  submit->add_flag("--watch", watch, "Stay and watch it");
  auto* watching = runs->add_subcommand("watch", "Show a run as a tree, as it happens");
  watching->add_option("run", run)->required();
  auto* stop = runs->add_subcommand(
      "stop", "Stop a run after the current round; its best model is still evaluated");
  stop->add_option("run", run)->required();
  auto* list_runs = runs->add_subcommand("list", "All runs");
  auto* show = runs->add_subcommand("show", "Everything the ledger knows about a run");
  show->add_option("run", run)->required();

  auto* models = app.add_subcommand("model", "Models")->require_subcommand(1);
  auto* list_models = models->add_subcommand("list", "All models and their stages");
  auto* fetch = models->add_subcommand("fetch", "Fetch a model and its signed record");
  fetch->add_option("model", model, "Identity, or a unique beginning of it")->required();
  fetch->add_option("--out", out, "Where to write it (FILE.safetensors; the record goes beside it)")
      ->required();
  auto* verify =
      models->add_subcommand("verify", "Verify a model file offline against its signed record");
  verify->add_option("model", verification.model, "safetensors file")->required();
  verify->add_option("--record", verification.record, "The record (else beside the model)");
  verify->add_option("--log", verification.log, "The log (else beside the model, if it is there)");
  const char* root_help =
      "The federation's root.pub, or its 64 digits (else the one you enrolled with)";
  verify->add_option("--root", verification.root, root_help);

  auto* import = models->add_subcommand(
      "import", "Register a model that plans may begin from ([model] initial)");
  import->add_option("model", file, "safetensors file, as `consilium-site model map` writes it")
      ->required();
  auto* merge = models->add_subcommand(
      "merge", "Fold a model's adapters into its weights, for programs that know no adapters");
  merge->add_option("model", file, "safetensors file")->required();
  merge->add_option("--out", out, "Where to write it (FILE.safetensors)")->required();

  CardOptions card;
  auto* card_app = models->add_subcommand(
      "card", "Write a model's card: one page for clinicians and reviewers, HTML and Markdown");
  card_app->add_option("model", card.verify.model, "safetensors file")->required();
  card_app->add_option("--plan", card.plan, "The plan as it was submitted (TOML)");
  card_app->add_option("--results", card.results,
                       "A place's own results, as consilium-site evaluate --json printed them "
                       "(NAME.json; may be given several times)");
  card_app->add_option("--out", card.out, "Where to write it (FILE.html; FILE.md goes beside it)")
      ->required();
  card_app->add_option("--record", card.verify.record, "The record (else beside the model)");
  card_app->add_option("--root", card.verify.root, root_help);

  auto* log = app.add_subcommand("log", "The audit log")->require_subcommand(1);
  auto* fetch_log = log->add_subcommand("fetch", "Fetch the log with the sites' countersignatures");
  fetch_log->add_option("--out", out, "Where to write it (JSON)")->required();
  auto* verify_log = log->add_subcommand("verify", "Verify a log offline");
  verify_log->add_option("log", file, "JSON file")->required();
  verify_log->add_option("--root", verification.root, root_help);
  verify_log->add_option("--roster", roster, "The roster (else the one you enrolled with)");

  const federation::CommandLine operators(app, options.json);
  // A researcher's, but asked of a whole federation.
  DescribeOptions description;
  std::string own_state = state;
  auto* describe = app.get_subcommand("federation")
                       ->add_subcommand("describe",
                                        "What the images of all sites together are, by secure "
                                        "aggregation (a researcher's command)");
  describe->add_option("--state", own_state, "Folder that keeps your identity (CONSILIUM_STATE)")
      ->capture_default_str();
  describe->add_option("--passphrase-file", options.passphrase.file,
                       "File whose first line unlocks your keys");
  describe->add_option("--target", description.target, "A column of labels.csv, to be counted too");
  describe
      ->add_option("--smallest", description.smallest_count, "No row of fewer patients is shown")
      ->check(CLI::Range(5, 1'000'000))
      ->capture_default_str();
  describe->add_option("--site", description.sites, "Ask only these (default: every site)");
  describe->add_option("--minimum-sites", description.minimum_sites, "Of fewer nothing is told")
      ->check(CLI::Range(3, 255))
      ->capture_default_str();
  auto* earlier = describe->add_option("--run", run, "Show what an earlier run described");
  for (const char* asked : {"--target", "--smallest", "--site", "--minimum-sites"}) {
    earlier->excludes(describe->get_option(asked));
  }
  describe->add_option("--html", description.html, "Write a page with plots, too");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.state = *describe ? own_state : state;
  if (operators.chosen() && !*describe) return ReportAndExitCode(operators.Run());
  CatchInterrupts();

  absl::Status status;
  if (*enrol) {
    status = EnrolCommand(options, coordinator, token, *identity::RoleNamed(role));
  }
  if (*fingerprint) status = FingerprintCommand(options);
  if (*check) status = PlanCheckCommand(options, file);
  if (*submit) status = SubmitCommand(options, file, watch);
  if (*watching) status = WatchCommand(options, RunId(run));
  if (*stop) status = StopCommand(options, RunId(run));
  if (*list_runs) status = ListRunsCommand(options);
  if (*show) status = ShowRunCommand(options, RunId(run));
  if (*list_models) status = ListModelsCommand(options);
  if (*fetch) status = FetchCommand(options, model, out);
  if (*verify) status = VerifyCommand(options, verification);
  if (*import) status = ImportCommand(options, file);
  if (*merge) status = MergeCommand(options, file, out);
  if (*card_app) status = CardCommand(options, card);
  if (*fetch_log) status = FetchLogCommand(options, out);
  if (*describe) {
    description.run = RunId(run);
    status = DescribeCommand(options, description);
  }
  if (*verify_log) status = VerifyLogCommand(options, file, verification.root, roster);
  return ReportAndExitCode(status);
}

}  // namespace
}  // namespace consilium::researcher

int main(int argc, char** argv) { return consilium::researcher::Main(argc, argv); }

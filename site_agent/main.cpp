// consilium-site: a hospital's agent. Enrols, indexes local DICOM, trains and evaluates for the
// federation; trains and evaluates locally; uses published models on new studies.

#include <CLI/CLI.hpp>

#include "common/base/core_dumps.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "site_agent/approved_networks.h"
#include "site_agent/commands.h"
#include "site_agent/drift_command.h"
#include "site_agent/evaluate_command.h"
#include "site_agent/follow_command.h"
#include "site_agent/model_command.h"
#include "site_agent/network_command.h"
#include "site_agent/personal_command.h"
#include "site_agent/predict_command.h"

namespace consilium::site_agent {
namespace {

constexpr char kExamples[] = R"(Examples:
  consilium-site enrol TOKEN --state site
  consilium-site check --state site
  consilium-site run --state site --data /images/chest
  consilium-site status --state site
  consilium-site approve chest-opacity-0003 --state site
  consilium-site pause --state site
  consilium-site outbox --state site
  consilium-site network approve net.pt --state site
  consilium-site train --plan opacity.toml --data images --state site --epochs 10 --out local.safetensors
  consilium-site evaluate local.safetensors --plan opacity.toml --data images --state site
  consilium-site evaluate 3fa9c1 --record chest.record.json --data images --state site --by sex,age
  consilium-site predict --state site --record chest.record.json --data new --out results
  consilium-site follow 4711 --data images --html 4711.html

The agent connects out only. policy.toml in the state folder says what this site takes part in.

Exit codes: 0 done or stopped, 1 failed, 2 wrong input, 3 coordinator not reachable, 4 refused, 130 interrupted.)";

// What trains or uses a model knows the networks that the operator has approved.
template <class Command>
absl::Status WithNetworks(const fs::path& state, Command& command) {
  RETURN_IF_ERROR(LoadApprovedNetworks(state));
  return Run(command);
}

int Main(int argc, char** argv) {
  ForbidCoreDumps();
  CLI::App app("consilium-site: a hospital's agent in a federation", "consilium-site");
  app.footer(kExamples);
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  const auto add_state = [](CLI::App* command, fs::path* state) {
    command->add_option("--state", *state, "Folder that keeps this site's identity and work")
        ->required();
  };
  const auto add_threads = [](CLI::App* command, int* threads) {
    command->add_option("--threads", *threads, "Threads for training and decoding; 0: all cores")
        ->check(CLI::Range(0, 1024));
  };

  const auto add_json = [](CLI::App* command, bool* json) {
    command->add_flag("--json", *json, "Print JSON for scripts");
  };
  const auto add_passphrase = [](CLI::App* command, crypto::PassphraseOptions* options) {
    command->add_option("--passphrase-file", options->file,
                        "File whose first line unwraps the keys; default: "
                        "$CONSILIUM_PASSPHRASE_FILE, a systemd credential, or a question");
  };

  EnrolCommand enrol;
  CLI::App* enrol_app = app.add_subcommand("enrol", "Join a federation, once, with a token");
  enrol_app->add_option("token", enrol.token, "From the coordinator's operator")->required();
  enrol_app->add_option("--coordinator", enrol.coordinator,
                        "HOST:PORT, when it is not the token's");
  add_state(enrol_app, &enrol.state);
  add_passphrase(enrol_app, &enrol.passphrase);
  enrol_app->add_flag("--unprotected-keys", enrol.passphrase.unprotected_keys,
                      "Keep the keys without a passphrase");
  add_json(enrol_app, &enrol.json);

  KeysCommand keys;
  CLI::App* fingerprint_app =
      app.add_subcommand("fingerprint", "What to read to the federation's operator");
  CLI::App* check_app =
      app.add_subcommand("check", "Tests what this site needs to work, and says what to mend");
  for (CLI::App* command : {fingerprint_app, check_app}) {
    add_state(command, &keys.state);
    add_passphrase(command, &keys.passphrase);
    add_json(command, &keys.json);
  }

  RunCommand run;
  CLI::App* run_app = app.add_subcommand("run", "Work for the federation until interrupted");
  add_state(run_app, &run.state);
  add_passphrase(run_app, &run.passphrase);
  run_app->add_option("--data", run.data, "Folder tree of DICOM files")->required();
  run_app->add_option("--labels", run.labels, "Label table; default: labels.csv in the folder");
  add_threads(run_app, &run.threads);
  run_app->add_flag("--once", run.once, "Exit after one run has ended");

  TrainCommand train;
  CLI::App* train_app = app.add_subcommand(
      "train", "Train locally, without a coordinator; several --data are pooled");
  train_app->add_option("--plan", train.plan, "Plan (TOML)")->required();
  train_app->add_option("--data", train.data, "Folder tree of DICOM files; may be repeated")
      ->required();
  add_state(train_app, &train.state);
  train_app->add_option("--epochs", train.epochs, "Epochs; the best on validation is kept")
      ->required()
      ->check(CLI::Range(1, 100000));
  train_app->add_option("--out", train.out, "Where the model goes (safetensors)")->required();
  train_app->add_option("--seed", train.seed, "Instead of the plan's");
  train_app->add_option("--initial", train.initial,
                        "File of the model that the plan starts from (consilium model fetch)");
  add_threads(train_app, &train.threads);
  train_app->add_flag("--json", train.json, "Print JSON for scripts");

  EvaluateCommand evaluate;
  CLI::App* evaluate_app = app.add_subcommand(
      "evaluate", "How well a model does here: by groups, and against another one");
  AddEvaluateOptions(*evaluate_app, evaluate);

  DriftCommand drift;
  CLI::App* drift_app = app.add_subcommand(
      "drift", "Are new patients like those before, or is a continual round due?");
  AddDriftOptions(*drift_app, drift);

  PredictCommand predict;
  CLI::App* predict_app = app.add_subcommand(
      "predict", "Use a published model on new studies; results as DICOM, back to the archive");
  AddPredictOptions(*predict_app, predict);

  FollowCommand follow;
  CLI::App* follow_app = app.add_subcommand(
      "follow", "A patient's lesions over time: registered, tracked, measured; a report as DICOM");
  AddFollowOptions(*follow_app, follow);

  ListenCommand listen;
  CLI::App* listen_app =
      app.add_subcommand("listen", "Take images that archives and scanners send (C-STORE)");
  AddListenOptions(*listen_app, listen);

  NetworkCommand network;
  CLI::App* network_app =
      app.add_subcommand("network", "The consortium's own networks that may be trained here");
  AddNetworkOptions(*network_app, network);

  ModelMapCommand map;
  CLI::App* map_app = app.add_subcommand("model", "Models from elsewhere")
                          ->require_subcommand(1)
                          ->add_subcommand("map", "Weights from elsewhere as a plan's first model");
  AddModelMapOptions(*map_app, map);

  PersonalCommand personal;
  CLI::App* personal_app =
      app.add_subcommand("personal", "This site's own models beside the global ones")
          ->require_subcommand(1)
          ->add_subcommand("show", "Which is better for this site's patients, with intervals");
  AddPersonalShowOptions(*personal_app, personal);

  LookCommand look;
  CLI::App* status_app = app.add_subcommand("status", "Runs and tasks this site knows");
  CLI::App* outbox_app = app.add_subcommand("outbox", "Everything that left the building");
  for (CLI::App* command : {status_app, outbox_app}) {
    add_state(command, &look.state);
    add_json(command, &look.json);
  }

  DecideCommand decide;
  CLI::App* approve_app = app.add_subcommand("approve", "Take part in a run that waits for you");
  CLI::App* refuse_app = app.add_subcommand("refuse", "Take no part, or no longer, in a run");
  for (CLI::App* command : {approve_app, refuse_app}) {
    add_state(command, &decide.state);
    command->add_option("run", decide.run, "As `status` names it")->required();
  }

  fs::path state;
  CLI::App* pause_app =
      app.add_subcommand("pause", "Stop all work and send nothing, within a second");
  CLI::App* resume_app = app.add_subcommand("resume", "Go on after a pause");
  CLI::App* accept_log_app = app.add_subcommand(
      "accept-log", "Believe the coordinator's audit log again, after a fork was cleared up");
  for (CLI::App* command : {pause_app, resume_app, accept_log_app}) add_state(command, &state);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  const auto dispatch = [&]() -> absl::Status {
    if (enrol_app->parsed()) return Run(enrol);
    if (run_app->parsed()) return WithNetworks(run.state, run);
    if (train_app->parsed()) return WithNetworks(train.state, train);
    if (evaluate_app->parsed()) return WithNetworks(evaluate.state, evaluate);
    if (drift_app->parsed()) return WithNetworks(drift.state, drift);
    if (predict_app->parsed()) return WithNetworks(predict.state, predict);
    if (network_app->parsed()) return Run(network);
    if (map_app->parsed()) return Run(map);
    if (personal_app->parsed()) return WithNetworks(personal.state, personal);
    if (follow_app->parsed()) return Run(follow);
    if (listen_app->parsed()) return Run(listen);
    if (fingerprint_app->parsed()) return ShowFingerprint(keys);
    if (check_app->parsed()) return Check(keys);
    if (approve_app->parsed() || refuse_app->parsed()) {
      decide.approve = approve_app->parsed();
      return Decide(decide);
    }
    if (pause_app->parsed()) return Pause(state);
    if (resume_app->parsed()) return Resume(state);
    if (accept_log_app->parsed()) return AcceptLog(state);
    return status_app->parsed() ? ShowStatus(look) : ShowOutbox(look);
  };
  return ReportAndExitCode(dispatch());
}

}  // namespace
}  // namespace consilium::site_agent

int main(int argc, char** argv) { return consilium::site_agent::Main(argc, argv); }

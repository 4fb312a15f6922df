// consilium-site enrol, run, status and outbox.

#include <poll.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/identity/identity.h"
#include "site_agent/agent.h"
#include "site_agent/catalog_data.h"
#include "site_agent/commands.h"
#include "site_agent/grpc_channel.h"
#include "site_agent/policy.h"
#include "site_agent/torch_learner.h"

namespace consilium::site_agent {
namespace {

// Requests the stop at the first interrupt.
class StopAtInterrupt {
 public:
  StopAtInterrupt()
      : watcher_([this](std::stop_token done) {
          pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
          while (!done.stop_requested() && poll(&interrupt, 1, /*timeout_ms=*/200) == 0) {
          }
          if (!done.stop_requested()) stop_.request_stop();
        }) {}
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread watcher_;
};

std::uint64_t SystemSeed() {
  std::uint8_t bytes[8];
  SystemRandom().Fill(bytes);
  return LoadLe64(bytes);
}

absl::StatusOr<identity::Identity> LoadSiteIdentity(const fs::path& state) {
  ASSIGN_OR_RETURN(identity::Identity identity, identity::LoadIdentity(state));
  if (identity.role != identity::Role::kSite) {
    return absl::InvalidArgumentError(StrCat("the identity in this state folder is \"",
                                             identity.name, "\", a ", Name(identity.role),
                                             " and not a site; give --state the site's folder"));
  }
  return identity;
}

}  // namespace

absl::Status Run(const EnrolCommand& command) {
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  ASSIGN_OR_RETURN(const crypto::Passphrase passphrase,
                   crypto::FindPassphrase({}, crypto::PassphraseFor::kNewKeys));
  ASSIGN_OR_RETURN(const identity::Identity identity,
                   identity::Enrol(command.token, identity::Role::kSite, command.state, passphrase,
                                   command.coordinator));
  std::printf("enrolled as site \"%s\" at %s\nnext: consilium-site run --state %s --data DIR\n",
              identity.name.c_str(), identity.coordinator.c_str(), command.state.c_str());
  return absl::OkStatus();
}

absl::Status Run(const RunCommand& command) {
  ASSIGN_OR_RETURN(const identity::Identity identity, LoadSiteIdentity(command.state));
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kOwn));
  RETURN_IF_ERROR(LoadPolicy(state->folder().Policy()).status());
  learning::ConfigureRuntime(command.threads);
  std::unique_ptr<CatalogData> data;
  {
    TerminalProgress progress;
    ASSIGN_OR_RETURN(
        data, CatalogData::Index(state->folder().Catalog(), state->folder().Cache(), command.data,
                                 command.labels, static_cast<unsigned>(command.threads), progress));
  }
  std::fprintf(stderr, "%s", Describe(data->report()).c_str());
  const StopAtInterrupt interrupt;
  GrpcChannel channel(identity);
  TorchLearner learner;
  const SystemClock clock;
  AgentOptions options;
  options.once = command.once;
  options.backoff_seed = SystemSeed();
  Agent agent(SiteId(identity.name), channel, *state, learner, *data, clock, options);
  RETURN_IF_ERROR(agent.Run(interrupt.token()));
  Log(LogLevel::kInfo, "stopped", {{"site", identity.name}});
  return absl::OkStatus();
}

absl::Status ShowStatus(const LookCommand& command) {
  ASSIGN_OR_RETURN(const identity::Identity identity, LoadSiteIdentity(command.state));
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kLook));
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(state->folder().Policy()));
  ASSIGN_OR_RETURN(const auto runs, state->Runs());
  ASSIGN_OR_RETURN(const auto tasks, state->Tasks());
  if (command.json) {
    nlohmann::ordered_json json = {{"site", identity.name},
                                   {"coordinator", identity.coordinator},
                                   {"enabled", policy.enabled},
                                   {"runs", nlohmann::json::array()},
                                   {"tasks", nlohmann::json::array()}};
    for (const RunRecord& run : runs) {
      json["runs"].push_back(
          {{"run", run.run.value},
           {"accepted", run.accepted},
           {"reason", run.reason},
           {"outcome", run.outcome},
           {"published_model", run.published_model ? run.published_model->Hex() : std::string()}});
    }
    for (const TaskRecord& task : tasks) {
      json["tasks"].push_back({{"run", task.header.key.run.value},
                               {"round", task.header.key.round},
                               {"attempt", task.header.key.attempt},
                               {"state", std::string(Name(task.state))},
                               {"reason", task.reason}});
    }
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  std::printf("site %s, enrolled at %s%s\n\n", identity.name.c_str(), identity.coordinator.c_str(),
              policy.enabled ? "" : "; switched off by policy.toml");
  TextTable run_table({"run", "seen", "answer", "outcome"});
  for (const RunRecord& run : runs) {
    run_table.AddRow({run.run.value, ToRfc3339(run.seen),
                      run.accepted ? "accepted" : StrCat("declined: ", run.reason), run.outcome});
  }
  TextTable task_table({"task", "began", "state", "reason"});
  for (const TaskRecord& task : tasks) {
    task_table.AddRow({task.header.key.ToString(), ToRfc3339(task.began),
                       std::string(Name(task.state)), task.reason});
  }
  std::printf("%s\n%s", run_table.ToString().c_str(), task_table.ToString().c_str());
  return absl::OkStatus();
}

absl::Status ShowOutbox(const LookCommand& command) {
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kLook));
  ASSIGN_OR_RETURN(const auto departures, state->Departures());
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  TextTable table({"when", "to", "what", "run/round/attempt", "bytes", "SHA-256"});
  for (const Departure& d : departures) {
    json.push_back({{"time", ToRfc3339(d.time)},
                    {"receiver", d.receiver},
                    {"what", d.what},
                    {"run", d.key.run.value},
                    {"round", d.key.round},
                    {"attempt", d.key.attempt},
                    {"bytes", d.bytes},
                    {"sha256", d.sha256.Hex()}});
    table.AddRow(
        {ToRfc3339(d.time), d.receiver, d.what, d.key.ToString(), StrCat(d.bytes), d.sha256.Hex()});
  }
  std::printf("%s\n", command.json ? json.dump().c_str() : table.ToString().c_str());
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

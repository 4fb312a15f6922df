// consilium-site enrol, fingerprint and run.

#include <poll.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/smooth_clock.h"
#include "common/base/status.h"
#include "common/identity/identity.h"
#include "datasets/worker/sandboxed_reader.h"
#include "site_agent/agent.h"
#include "site_agent/agent_loop.h"
#include "site_agent/catalog_data.h"
#include "site_agent/commands.h"
#include "site_agent/grpc_channel.h"
#include "site_agent/learning/modules.h"
#include "site_agent/policy.h"
#include "site_agent/site_identity.h"
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

}  // namespace

absl::Status Run(const EnrolCommand& command) {
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  ASSIGN_OR_RETURN(const crypto::Passphrase passphrase,
                   crypto::FindPassphrase(command.passphrase, crypto::PassphraseFor::kNewKeys));
  ASSIGN_OR_RETURN(const identity::Identity identity,
                   identity::Enrol(command.token, identity::Role::kSite, command.state, passphrase,
                                   command.coordinator));
  const std::string fingerprint = FingerprintOf(identity);
  if (command.json) {
    const nlohmann::ordered_json json = {{"name", identity.name},
                                         {"federation", identity.federation},
                                         {"coordinator", identity.coordinator},
                                         {"fingerprint", fingerprint}};
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  std::printf(
      "enrolled as site \"%s\" of federation \"%s\" at %s\n"
      "fingerprint  %s\n"
      "next: read the fingerprint to the federation's operator, who admits this site with\n"
      "  consilium federation admit %s --fingerprint %s\n"
      "then, or already now: consilium-site run --state %s --data DIR\n",
      identity.name.c_str(), identity.federation.c_str(), identity.coordinator.c_str(),
      fingerprint.c_str(), identity.name.c_str(), fingerprint.c_str(), command.state.c_str());
  return absl::OkStatus();
}

absl::Status ShowFingerprint(const KeysCommand& command) {
  ASSIGN_OR_RETURN(const identity::Identity identity,
                   LoadSiteIdentity(command.state, command.passphrase));
  const std::string fingerprint = FingerprintOf(identity);
  if (command.json) {
    const nlohmann::ordered_json json = {{"name", identity.name}, {"fingerprint", fingerprint}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("%s\n", fingerprint.c_str());
  }
  return absl::OkStatus();
}

absl::Status Run(const RunCommand& command) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   LoadSiteIdentity(command.state, command.passphrase));
  ASSIGN_OR_RETURN(identity::PinnedRoster roster,
                   identity::PinnedRoster::Load(command.state, identity.root));
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kOwn));
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(state->folder().Policy()));
  learning::ConfigureRuntime(command.threads);
  std::unique_ptr<CatalogData> data;
  {
    TerminalProgress progress;
    const auto threads = static_cast<unsigned>(command.threads);
    ASSIGN_OR_RETURN(auto reader, datasets::SandboxedReader::Create({.workers = threads}));
    ASSIGN_OR_RETURN(
        data, CatalogData::Index(state->folder().Catalog(), state->folder().Cache(), command.data,
                                 {command.labels, threads, policy.deidentification},
                                 std::move(reader), progress));
  }
  // A network that the operator has not approved, or that does not fit the plan, is declined.
  data->OfferOnlyWhere([](const plan::Plan& plan) {
    return plan.model.architecture == plan::Architecture::kTorchScript
               ? learning::CheckModule(plan)
               : absl::OkStatus();
  });
  std::fprintf(stderr, "%s", Describe(data->report()).c_str());
  const StopAtInterrupt interrupt;
  GrpcChannel channel(identity);
  TorchLearner learner;
  const SystemClock clock;
  AgentOptions options;
  options.once = command.once;
  options.backoff_seed = SystemSeed();
  options.threads =
      command.threads > 0 ? command.threads : static_cast<int>(std::thread::hardware_concurrency());
  SystemRandom random;
  const SteadyClock steady;
  const SmoothClock smooth(clock, steady);
  Agent agent(identity, std::move(roster), channel, *state, learner, *data, smooth, random,
              options);
  const CertificateKeeper keeper(identity, command.state, clock, [&] {
    channel.Use(identity);
    agent.ReconnectWhenIdle();
  });
  RETURN_IF_ERROR(RunAgent(agent, channel, smooth, options, interrupt.token()));
  Log(LogLevel::kInfo, "stopped", {{"site", identity.name}});
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

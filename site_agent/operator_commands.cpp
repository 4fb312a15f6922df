// consilium-site status, outbox, approve, refuse, pause, resume and accept-log: none needs a key.

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/crypto/certificates.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"
#include "site_agent/approvals.h"
#include "site_agent/commands.h"
#include "site_agent/policy.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {
namespace {

// What of the site's identity is no secret.
struct NameAndAddress {
  std::string site, coordinator;
};

absl::StatusOr<NameAndAddress> ReadNames(const fs::path& state) {
  auto certificate = ReadTextFile(state / "keys" / "tls.crt", 1 << 20);
  if (absl::IsNotFound(certificate.status())) {
    return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                      "\" is not enrolled; run: consilium-site enrol TOKEN"));
  }
  RETURN_IF_ERROR(certificate.status());
  ASSIGN_OR_RETURN(const auto subject, crypto::ReadSubject(*certificate));
  ASSIGN_OR_RETURN(std::string address,
                   ReadTextFile(state / "keys" / "coordinator.address", 1 << 12));
  return NameAndAddress{subject.name, address.substr(0, address.find('\n'))};
}

nlohmann::ordered_json ToJson(const RunRecord& run) {
  return {{"run", run.run.value},
          {"researcher", run.researcher},
          {"answer", std::string(Name(run.consent))},
          {"accepted", run.consent == Consent::kAccepted},
          {"reason", run.reason},
          {"patients", run.train_patients},
          {"examples", run.train_examples},
          {"refused_files", run.refused_files},
          {"refusals", run.refusals},
          {"outcome", run.outcome},
          {"published_model", run.published_model ? run.published_model->Hex() : std::string()}};
}

nlohmann::ordered_json ToJson(const TaskRecord& task) {
  return {{"run", task.header.key.run.value},
          {"round", task.header.key.round},
          {"attempt", task.header.key.attempt},
          {"state", std::string(Name(task.state))},
          {"reason", task.reason}};
}

bool Waits(const RunRecord& run) { return run.consent == Consent::kWaiting && run.outcome.empty(); }

// For each run that waits: its plan in words, and what to type.
std::string WaitingText(const std::vector<RunRecord>& runs) {
  std::string text;
  for (const RunRecord& run : runs) {
    if (!Waits(run)) continue;
    const auto plan = plan::ParsePlan(run.plan_toml);
    StrAppend(&text, "run ", run.run.value, " of researcher \"", run.researcher,
              "\" waits for your decision (", run.train_patients, " patients, ", run.train_examples,
              " examples here):\n", plan.ok() ? plan::Describe(*plan) : run.plan_toml,
              "\nconsilium-site approve ", run.run.value, "   or   consilium-site refuse ",
              run.run.value, "\n\n");
  }
  return text;
}

std::string AnswerText(const RunRecord& run) {
  std::string text(Name(run.consent));
  return run.consent == Consent::kDeclined ? StrCat(text, ": ", run.reason) : text;
}

// "12 files: 9 burned-in-annotation, 3 missing-label"
std::string RefusedText(const RunRecord& run) {
  if (run.refused_files == 0) return "";
  std::string text = StrCat(run.refused_files, run.refused_files == 1 ? " file" : " files");
  std::string_view before = ": ";
  for (const auto& [reason, files] : run.refusals) {
    StrAppend(&text, before, files, " ", reason);
    before = ", ";
  }
  return text;
}

}  // namespace

absl::Status ShowStatus(const LookCommand& command) {
  ASSIGN_OR_RETURN(const NameAndAddress names, ReadNames(command.state));
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kLook));
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(state->folder().Policy()));
  ASSIGN_OR_RETURN(const auto runs, state->Runs());
  ASSIGN_OR_RETURN(const auto tasks, state->Tasks());
  ASSIGN_OR_RETURN(const std::string fork, state->LogFork());
  const bool paused = Exists(state->folder().Paused());
  if (command.json) {
    nlohmann::ordered_json json = {{"site", names.site},
                                   {"coordinator", names.coordinator},
                                   {"enabled", policy.enabled},
                                   {"paused", paused},
                                   {"log_fork", fork},
                                   {"runs", nlohmann::json::array()},
                                   {"tasks", nlohmann::json::array()}};
    for (const RunRecord& run : runs) json["runs"].push_back(ToJson(run));
    for (const TaskRecord& task : tasks) json["tasks"].push_back(ToJson(task));
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  std::printf("site %s, enrolled at %s%s%s\n\n", names.site.c_str(), names.coordinator.c_str(),
              policy.enabled ? "" : "; switched off by policy.toml",
              paused ? "; paused, go on with: consilium-site resume" : "");
  if (!fork.empty()) {
    std::printf(
        "the coordinator's audit log is not believed: %s\n"
        "clear that up with the federation, then: consilium-site accept-log\n\n",
        fork.c_str());
  }
  std::printf("%s", WaitingText(runs).c_str());
  TextTable run_table({"run", "seen", "answer", "not used", "outcome"});
  for (const RunRecord& run : runs) {
    run_table.AddRow(
        {run.run.value, ToRfc3339(run.seen), AnswerText(run), RefusedText(run), run.outcome});
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
    table.AddRow({ToRfc3339(d.time), d.receiver, d.what,
                  d.key.run.empty() ? std::string("-") : d.key.ToString(), StrCat(d.bytes),
                  d.sha256.Hex()});
  }
  std::printf("%s\n", command.json ? json.dump().c_str() : table.ToString().c_str());
  return absl::OkStatus();
}

absl::Status Decide(const DecideCommand& command) {
  ASSIGN_OR_RETURN(const auto state, SiteState::Open(command.state, SiteState::Access::kLook));
  ASSIGN_OR_RETURN(const auto run, state->FindRun(RunId(command.run)));
  if (!run) {
    return absl::NotFoundError(StrCat("this site knows no run \"", command.run,
                                      "\"; consilium-site status lists those it knows"));
  }
  RETURN_IF_ERROR(WriteApproval(state->folder().Approvals(), run->run,
                                crypto::Sha256(std::string_view(run->plan_toml)), command.approve));
  const auto plan = plan::ParsePlan(run->plan_toml);
  std::printf("%s run %s of researcher \"%s\"\n%s\n", command.approve ? "approved" : "refused",
              run->run.value.c_str(), run->researcher.c_str(),
              plan.ok() ? plan::Describe(*plan).c_str() : "");
  return absl::OkStatus();
}

absl::Status Pause(const fs::path& state) {
  RETURN_IF_ERROR(ReadNames(state).status());
  RETURN_IF_ERROR(WriteFileDurably(SiteFolder{state}.Paused(), "paused by the operator\n"));
  std::printf(
      "paused: the agent stops its work and closes its connection within a second\n"
      "go on with: consilium-site resume --state %s\n",
      state.c_str());
  return absl::OkStatus();
}

absl::Status Resume(const fs::path& state) {
  RETURN_IF_ERROR(ReadNames(state).status());
  const bool was_paused = Exists(SiteFolder{state}.Paused());
  RETURN_IF_ERROR(Remove(SiteFolder{state}.Paused()));
  std::printf("%s\n", was_paused ? "resumed" : "it was not paused");
  return absl::OkStatus();
}

absl::Status AcceptLog(const fs::path& state) {
  ASSIGN_OR_RETURN(const auto own, SiteState::Open(state, SiteState::Access::kOwn));
  ASSIGN_OR_RETURN(const auto head, own->FindLogHead());
  RETURN_IF_ERROR(own->ForgetLog());
  if (head) {
    std::printf(
        "this site had countersigned the log up to entry %llu, head %s; it follows the "
        "coordinator's log anew from what it shows next\n",
        static_cast<unsigned long long>(head->number), head->head.Hex().c_str());
  } else {
    std::printf("this site has not countersigned a log yet\n");
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

#include "experiments/federation.h"

#include <signal.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/numbers.h"
#include "common/base/progress.h"
#include "common/base/random.h"

namespace consilium::experiments {
namespace {

constexpr int kTailLines = 12;

// The kind of error that a program's exit code tells (ExitCodeFor in base/status.h).
absl::StatusCode CodeFrom(const ExitState& state) {
  switch (state.code) {
    case 2:
      return absl::StatusCode::kInvalidArgument;
    case 3:
      return absl::StatusCode::kUnavailable;
    case 4:
      return absl::StatusCode::kPermissionDenied;
    case 130:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string Quoted(const fs::path& log) {
  const std::string tail = Tail(log, kTailLines);
  return tail.empty() ? StrCat("; it said nothing (", log.string(), ")")
                      : StrCat("; the end of ", log.string(), ":\n", tail);
}

absl::Status Ended(std::string_view who, const ExitState& state, const fs::path& log) {
  return absl::InternalError(
      StrCat(who, " ", state.ToString(), " in the middle of its work", Quoted(log)));
}

// What is in a folder, but not the folder: a disk may be mounted there.
absl::Status Empty(const fs::path& folder) {
  const auto entries = ListFolder(folder);
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  RETURN_IF_ERROR(entries.status());
  for (const FolderEntry& entry : *entries) RETURN_IF_ERROR(RemoveTree(entry.path));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> RunProgram(const ProgramRun& run, std::optional<Duration> limit) {
  RETURN_IF_ERROR(EnsureFolder(run.logs));
  Command command{
      .program = run.program.string(), .arguments = run.arguments, .environment = run.environment};
  command.output = run.logs / (run.name + ".out");
  if (!run.show_errors) command.errors = run.logs / (run.name + ".log");
  std::error_code ignored;
  fs::remove(command.output, ignored);
  const absl::StatusOr<ExitState> state = Run(command, limit);
  const std::string program = run.program.filename();
  if (!state.ok()) return WithContext(state.status(), program);
  if (!state->ok()) {
    const std::string words = run.show_errors ? "; see above" : Quoted(command.errors);
    return absl::Status(CodeFrom(*state),
                        StrCat(program, " ", run.arguments.empty() ? "" : run.arguments.front(),
                               " ", state->ToString(), words));
  }
  return ReadTextFile(command.output, 1ull << 30);
}

absl::StatusOr<Federation> Federation::Create(const fs::path& programs, const fs::path& folder,
                                              Keys keys) {
  Federation federation(programs, folder);
  federation.keys_ = keys;
  RETURN_IF_ERROR(Remove(folder / "port"));
  for (const char* name : {"members", "root", "coordinator", "researcher"}) {
    RETURN_IF_ERROR(Empty(folder / name));
  }
  RETURN_IF_ERROR(EnsureFolder(federation.logs()));
  RETURN_IF_ERROR(EnsureFolder(folder / "members"));
  ASSIGN_OR_RETURN(const int port, FreePort());
  std::vector<std::string> found = {"federation", "init",
                                    "--name",     "one-machine",
                                    "--host",     StrCat("127.0.0.1:", port),
                                    "--root",     federation.Root(),
                                    "--state",    federation.CoordinatorState()};
  if (keys == Keys::kWrapped) {
    Bytes passphrase(24);
    SystemRandom().Fill(passphrase);
    RETURN_IF_ERROR(WriteFileDurably(folder / "passphrase", ToBase64Url(passphrase) + "\n"));
  } else {
    found.push_back("--unprotected-keys");
  }
  RETURN_IF_ERROR(federation.Call("consilium", std::move(found), "federation-init").status());
  RETURN_IF_ERROR(federation.KeepPort(port));
  return federation;
}

absl::StatusOr<Federation> Federation::Open(const fs::path& programs, const fs::path& folder) {
  Federation federation(programs, folder);
  federation.keys_ = Exists(folder / "passphrase") ? Keys::kWrapped : Keys::kBare;
  ASSIGN_OR_RETURN(const std::string port, ReadTextFile(folder / "port", 64));
  if (!absl::SimpleAtoi(port, &federation.port_) || !Exists(federation.Root()) ||
      !Exists(federation.CoordinatorState())) {
    return absl::DataLossError(
        StrCat("the federation in ", folder.string(), " is not whole any more; found another"));
  }
  return federation;
}

absl::Status Federation::KeepPort(int port) {
  port_ = port;
  return WriteFileDurably(folder_ / "port", StrCat(port, "\n"));
}

bool Federation::HasMembers() const {
  const auto members = ListFolder(folder_ / "members");
  return members.ok() && !members->empty();
}

std::map<std::string, std::string> Federation::Environment() const {
  if (keys_ == Keys::kBare) return {};
  return {{"CONSILIUM_PASSPHRASE_FILE", (folder_ / "passphrase").string()}};
}

std::map<std::string, std::string> Federation::EnvironmentOf(const std::string& who) const {
  std::map<std::string, std::string> all = Environment();
  const auto own = own_environment_.find(who);
  if (own != own_environment_.end()) all.insert(own->second.begin(), own->second.end());
  return all;
}

absl::StatusOr<std::string> Federation::Call(const std::string& program,
                                             std::vector<std::string> arguments,
                                             const std::string& log_name) {
  return RunProgram({.program = programs_ / program,
                     .arguments = std::move(arguments),
                     .logs = logs(),
                     .name = log_name,
                     .environment = Environment()});
}

absl::Status Federation::StartCoordinator() {
  absl::Status status;
  for (int attempt = 0; attempt < 3; ++attempt) {
    status = StartCoordinatorOnItsPort();
    if (status.ok() || absl::IsCancelled(status)) return status;
    if (HasMembers()) {  // what was killed a moment ago may still hold the port or the folder
      std::this_thread::sleep_for(std::chrono::seconds(1));
      continue;
    }
    ASSIGN_OR_RETURN(const int port, FreePort());  // another program may have taken it
    RETURN_IF_ERROR(KeepPort(port));
  }
  if (HasMembers() && PortAnswers(port_)) {
    return absl::UnavailableError(
        StrCat("another program holds port ", port_,
               ", on which the sites of this federation call its coordinator; end it "
               "(`ss -ltnp sport = :",
               port_, "` names it) and start again"));
  }
  return status;
}

absl::Status Federation::StartCoordinatorOnItsPort() {
  std::error_code ignored;
  fs::remove(logs() / "coordinator.out", ignored);  // where it says that it listens
  ASSIGN_OR_RETURN(Process process,
                   Process::Start({.program = programs_ / "consilium-coordinator",
                                   .arguments = {"serve", "--state", CoordinatorState(), "--listen",
                                                 StrCat("127.0.0.1:", port_)},
                                   .environment = EnvironmentOf("coordinator"),
                                   .output = logs() / "coordinator.out",
                                   .errors = logs() / "coordinator.log"}));
  coordinator_ = std::move(process);
  const absl::Status status = AwaitCoordinator();
  if (!status.ok()) coordinator_.reset();
  return status;
}

absl::Status Federation::AwaitCoordinator() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < until) {
    if (const auto state = coordinator_->Poll())
      return Ended("the coordinator", *state, logs() / "coordinator.log");
    if (Interrupted()) return absl::CancelledError("interrupted");
    if (Tail(logs() / "coordinator.out", 1).starts_with("listening on")) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return absl::DeadlineExceededError(StrCat("the coordinator took no connections within 30 s",
                                            Quoted(logs() / "coordinator.log")));
}

void Federation::KillCoordinator() {
  coordinator_->Signal(SIGKILL);
  coordinator_->End();
  coordinator_.reset();
}

absl::StatusOr<std::string> Federation::Invite(const std::string& name, const std::string& role) {
  ASSIGN_OR_RETURN(const std::string answer, Call("consilium",
                                                  {"federation", "invite", name, "--role", role,
                                                   "--state", CoordinatorState(), "--json"},
                                                  "invite-" + name));
  const auto json = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  std::error_code ignored;
  fs::remove(logs() / ("invite-" + name + ".out"), ignored);  // a token has no business in a log
  if (!json.is_object() || !json.contains("token")) {
    return absl::InternalError(StrCat("consilium federation invite printed no token for ", name));
  }
  return json["token"].get<std::string>();
}

// What two people do on the telephone: the member reads its fingerprint, the operator types it.
absl::Status Federation::Admit(const std::string& name, const std::string& program,
                               const fs::path& state) {
  ASSIGN_OR_RETURN(std::string fingerprint,
                   Call(program, {"fingerprint", "--state", state}, "fingerprint-" + name));
  fingerprint.erase(fingerprint.find_last_not_of(" \n") + 1);
  return Call("consilium",
              {"federation", "admit", name, "--fingerprint", fingerprint, "--root", Root(),
               "--state", CoordinatorState()},
              "admit-" + name)
      .status();
}

absl::Status Federation::Enrol(const std::string& name, const std::string& role,
                               const std::string& program, const fs::path& state, int port) {
  if (IsMember(name)) return absl::OkStatus();
  RETURN_IF_ERROR(Empty(state));  // of a try that was cut off: its token is spent
  ASSIGN_OR_RETURN(const std::string token, Invite(name, role));
  std::vector<std::string> enrol = {"enrol",   token, "--coordinator", StrCat("127.0.0.1:", port),
                                    "--state", state};
  if (keys_ == Keys::kBare) enrol.push_back("--unprotected-keys");
  RETURN_IF_ERROR(Call(program, std::move(enrol), "enrol-" + name).status());
  RETURN_IF_ERROR(Admit(name, program, state));
  return WriteFileDurably(folder_ / "members" / name, role + "\n");
}

absl::Status Federation::EnrolSite(const std::string& name) {
  return Enrol(name, "site", "consilium-site", SiteState(name), site_port_.value_or(port_));
}

absl::Status Federation::EnrolResearcher(const std::string& name) {
  return Enrol(name, "researcher", "consilium", ResearcherState(), port_);
}

absl::Status Federation::ConsentToSealedUpdates(const std::string& name) {
  return WriteFileDurably(SiteState(name) / "policy.toml",
                          "sealed_updates = true\nminimum_cohort = 2\n");
}

absl::Status Federation::StartSite(const std::string& name, const std::vector<std::string>& options,
                                   const std::string& program) {
  Command command{.program = programs_ / program, .arguments = {"run", "--state", SiteState(name)}};
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.environment = EnvironmentOf(name);
  command.output = logs() / ("site-" + name + ".out");
  command.errors = logs() / ("site-" + name + ".log");
  logged_before_[name] = FileSize(command.errors).value_or(0);
  ASSIGN_OR_RETURN(Process process, Process::Start(command));
  sites_.insert_or_assign(name, std::move(process));
  return absl::OkStatus();
}

absl::Status Federation::AwaitSite(const std::string& name) {
  const fs::path log = logs() / ("site-" + name + ".log");
  while (true) {
    RETURN_IF_ERROR(CheckAllRun());
    if (Interrupted()) return absl::CancelledError("interrupted");
    const absl::StatusOr<std::string> text = ReadTextFile(log);
    if (text.ok() && text->find("event=connected", logged_before_[name]) != std::string::npos) {
      return absl::OkStatus();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Federation::StopSites() {
  for (auto& [name, site] : sites_) site.Signal(SIGTERM);
  for (auto& [name, site] : sites_) site.End(std::chrono::seconds(10));
  sites_.clear();
}

Command Federation::ResearcherCommand(std::vector<std::string> arguments) const {
  arguments.insert(arguments.end(), {"--state", ResearcherState().string()});
  return {.program = programs_ / "consilium",
          .arguments = std::move(arguments),
          .environment = Environment()};
}

absl::StatusOr<std::string> Federation::Researcher(std::vector<std::string> arguments,
                                                   const std::string& log_name) {
  return Call("consilium", ResearcherCommand(std::move(arguments)).arguments, log_name);
}

absl::StatusOr<std::string> Federation::SubmitRun(const fs::path& plan) {
  ASSIGN_OR_RETURN(const std::string answer,
                   Researcher({"run", "submit", plan, "--json"}, "submit"));
  const auto json = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  const std::string run = json.is_object() ? json.value("run", "") : "";
  if (run.empty()) return absl::InternalError("consilium run submit named no run");
  return run;
}

absl::StatusOr<ExitState> Federation::WatchRun(const std::string& run, const fs::path& output) {
  Command watch = ResearcherCommand({"run", "watch", run});
  watch.output = output;
  ASSIGN_OR_RETURN(Process process, Process::Start(watch));
  return WaitFor(process);
}

absl::StatusOr<std::string> Federation::ShowRun(const std::string& run) {
  return Researcher({"run", "show", run, "--json"}, "show");
}

absl::Status Federation::CheckAllRun() {
  for (auto& [name, site] : sites_) {
    if (const auto state = site.Poll())
      return Ended(StrCat("the agent of ", name), *state, logs() / ("site-" + name + ".log"));
  }
  if (coordinator_) {
    if (const auto state = coordinator_->Poll())
      return Ended("the coordinator", *state, logs() / "coordinator.log");
  }
  return absl::OkStatus();
}

absl::StatusOr<ExitState> Federation::WaitFor(Process& process) {
  while (true) {
    const absl::StatusOr<ExitState> state = process.Wait(std::chrono::milliseconds(300));
    if (!absl::IsDeadlineExceeded(state.status())) return state;
    RETURN_IF_ERROR(CheckAllRun());
  }
}

}  // namespace consilium::experiments

#pragma once

// A whole federation on this machine: a real coordinator, real site agents and a researcher, as
// processes that talk over mutual TLS on loopback, all their state and logs in one folder:
//
//   FOLDER/root   FOLDER/coordinator   FOLDER/sites/NAME   FOLDER/researcher
//   FOLDER/passphrase   wraps all their keys: drawn for this federation
//   FOLDER/port         the coordinator's; written when the founding is done
//   FOLDER/members/NAME written when that member is admitted
//   FOLDER/logs/*.log (what each said), *.out (its output)
//
// The founding and each enrolment are done whole or done again: a process that was killed in the
// middle is followed by another that opens the folder and goes on.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "experiments/process.h"

namespace consilium::experiments {

// Runs one of our programs to its end, with its output and errors kept under `logs`/NAME.*.
struct ProgramRun {
  fs::path program;
  std::vector<std::string> arguments;
  fs::path logs;
  std::string name;  // of the log files
  std::map<std::string, std::string> environment;
  // What it says (progress) goes to our standard error instead of the log.
  bool show_errors = false;
};
// What it printed. An error holds the last lines of what it said, and keeps the kind its exit code
// tells.
absl::StatusOr<std::string> RunProgram(const ProgramRun& run,
                                       std::optional<Duration> limit = std::nullopt);

// One thread only (see process.h). Everything it started ends with it.
class Federation {
 public:
  enum class Keys { kWrapped, kBare };  // bare ones make programs start sooner, for tests
  // `programs`: the folder with our programs. Makes the root, the coordinator's state and the first
  // roster, and removes what a founding that was cut off left; nothing runs yet.
  static absl::StatusOr<Federation> Create(const fs::path& programs, const fs::path& folder,
                                           Keys keys = Keys::kWrapped);
  // Goes on with a founded one. kDataLoss when what it needs is not there.
  static absl::StatusOr<Federation> Open(const fs::path& programs, const fs::path& folder);
  static bool IsFounded(const fs::path& folder) { return Exists(folder / "port"); }

  // Starts the coordinator and returns when it takes connections. Always on the port that its
  // members know; before the first has enrolled another one is found when that one is taken.
  absl::Status StartCoordinator();
  // Ends it as a power cut would.
  void KillCoordinator();

  // A one-time token; `role` is "site" or "researcher".
  absl::StatusOr<std::string> Invite(const std::string& name, const std::string& role);
  // Sites that enrol from now on call the coordinator at this port: of a proxy, in tests.
  void CallThrough(int port) { site_port_ = port; }
  // Invited, enrolled, fingerprints compared, admitted to the roster. Nothing, when it was before.
  absl::Status EnrolSite(const std::string& name);
  absl::Status EnrolResearcher(const std::string& name);
  bool IsMember(const std::string& name) const { return Exists(folder_ / "members" / name); }
  // Consents, in the site's policy, to plans that let the coordinator see its updates.
  absl::Status ConsentToSealedUpdates(const std::string& name);
  // `program`: "consilium-site", or one that takes the same options.
  absl::Status StartSite(const std::string& name, const std::vector<std::string>& options,
                         const std::string& program = "consilium-site");
  // Returns when the agent that was started last has indexed its images and the coordinator has
  // welcomed it.
  absl::Status AwaitSite(const std::string& name);
  // Ends the agents as Ctrl-C would, and waits for them.
  void StopSites();

  // The researcher's program with its state folder.
  absl::StatusOr<std::string> Researcher(std::vector<std::string> arguments,
                                         const std::string& log_name);
  Command ResearcherCommand(std::vector<std::string> arguments) const;

  // Submits the plan as the researcher; the run's name.
  absl::StatusOr<std::string> SubmitRun(const fs::path& plan);
  // Shows the run until it ends, on our own output or in `output` instead; well when the run ended
  // well. Fails as WaitFor does.
  absl::StatusOr<ExitState> WatchRun(const std::string& run, const fs::path& output = {});
  // All that the ledger has of it, as JSON (EventsOfRun in results.h reads its events).
  absl::StatusOr<std::string> ShowRun(const std::string& run);

  // Waits for `process`, and fails at once when the coordinator or an agent ends in the meantime.
  absl::StatusOr<ExitState> WaitFor(Process& process);
  // An error with the last lines of its log when the coordinator or an agent has ended.
  absl::Status CheckAllRun();

  // What every program of this federation needs in its environment.
  std::map<std::string, std::string> Environment() const;
  // More of it, from its next start on, for "coordinator" or a site.
  void SetEnvironment(const std::string& who, std::map<std::string, std::string> variables) {
    own_environment_[who] = std::move(variables);
  }
  const fs::path& programs() const { return programs_; }
  const fs::path& folder() const { return folder_; }
  fs::path logs() const { return folder_ / "logs"; }
  fs::path SiteState(const std::string& name) const { return folder_ / "sites" / name; }
  fs::path ResearcherState() const { return folder_ / "researcher"; }
  fs::path Root() const { return folder_ / "root"; }
  fs::path CoordinatorState() const { return folder_ / "coordinator"; }
  std::string address() const { return StrCat("127.0.0.1:", port_); }
  Process& coordinator() { return *coordinator_; }
  Process& site(const std::string& name) { return sites_.at(name); }
  int port() const { return port_; }

 private:
  Federation(fs::path programs, fs::path folder)
      : programs_(std::move(programs)), folder_(std::move(folder)) {}
  // One program of ours to its end, in this federation's environment.
  absl::StatusOr<std::string> Call(const std::string& program, std::vector<std::string> arguments,
                                   const std::string& log_name);
  absl::Status Enrol(const std::string& name, const std::string& role, const std::string& program,
                     const fs::path& state, int port);
  absl::Status Admit(const std::string& name, const std::string& program, const fs::path& state);
  absl::Status StartCoordinatorOnItsPort();
  absl::Status AwaitCoordinator();
  absl::Status KeepPort(int port);
  bool HasMembers() const;
  std::map<std::string, std::string> EnvironmentOf(const std::string& who) const;

  fs::path programs_, folder_;
  Keys keys_ = Keys::kWrapped;
  int port_ = 0;
  std::optional<int> site_port_;
  std::map<std::string, std::uint64_t> logged_before_;  // site -> bytes of its log at its start
  std::map<std::string, std::map<std::string, std::string>> own_environment_;
  // Agents end before the coordinator: members are destroyed from the last to the first.
  std::optional<Process> coordinator_;
  std::map<std::string, Process> sites_;
};

}  // namespace consilium::experiments

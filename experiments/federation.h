#pragma once

// A whole federation on this machine: a real coordinator, real site agents and a researcher, as
// processes that talk over mutual TLS on loopback, all their state and logs in one folder:
//
//   FOLDER/root   FOLDER/coordinator   FOLDER/sites/NAME   FOLDER/researcher
//   FOLDER/passphrase   wraps all their keys: drawn for this federation
//   FOLDER/logs/*.log (what each said), *.out (its output)

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
  // `programs`: the folder with our programs. Makes the root, the coordinator's state and the first
  // roster; nothing runs yet.
  static absl::StatusOr<Federation> Create(const fs::path& programs, const fs::path& folder);

  // Starts the coordinator and returns when it takes connections. The first time on a free port;
  // later on the same one.
  absl::Status StartCoordinator();
  // Ends it as a power cut would.
  void KillCoordinator();

  // A one-time token; `role` is "site" or "researcher".
  absl::StatusOr<std::string> Invite(const std::string& name, const std::string& role);
  // Sites that enrol from now on call the coordinator at this port: of a proxy, in tests.
  void CallThrough(int port) { site_port_ = port; }
  // Invited, enrolled, fingerprints compared, admitted to the roster.
  absl::Status EnrolSite(const std::string& name);
  absl::Status EnrolResearcher(const std::string& name);
  // Consents, in the site's policy, to plans that let the coordinator see its updates.
  absl::Status ConsentToSealedUpdates(const std::string& name);
  // `program`: "consilium-site", or one that takes the same options.
  absl::Status StartSite(const std::string& name, const std::vector<std::string>& options,
                         const std::string& program = "consilium-site");
  // Returns when the agent has indexed its images and the coordinator has welcomed it.
  absl::Status AwaitSite(const std::string& name);
  // Ends the agents as Ctrl-C would, and waits for them.
  void StopSites();

  // The researcher's program with its state folder.
  absl::StatusOr<std::string> Researcher(std::vector<std::string> arguments,
                                         const std::string& log_name);
  Command ResearcherCommand(std::vector<std::string> arguments) const;

  // Waits for `process`, and fails at once when the coordinator or an agent ends in the meantime.
  absl::StatusOr<ExitState> WaitFor(Process& process);
  // An error with the last lines of its log when the coordinator or an agent has ended.
  absl::Status CheckAllRun();

  // What every program of this federation needs in its environment.
  std::map<std::string, std::string> Environment() const;
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

 private:
  Federation(fs::path programs, fs::path folder)
      : programs_(std::move(programs)), folder_(std::move(folder)) {}
  // One program of ours to its end, in this federation's environment.
  absl::StatusOr<std::string> Call(const std::string& program, std::vector<std::string> arguments,
                                   const std::string& log_name);
  absl::Status Admit(const std::string& name, const std::string& program, const fs::path& state);
  absl::Status StartCoordinatorOn(int port);
  absl::Status AwaitCoordinator();

  fs::path programs_, folder_;
  int port_ = 0;
  std::optional<int> site_port_;
  // Agents end before the coordinator: members are destroyed from the last to the first.
  std::optional<Process> coordinator_;
  std::map<std::string, Process> sites_;
};

}  // namespace consilium::experiments

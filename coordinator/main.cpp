#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/core_dumps.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "coordinator/commands.h"

namespace consilium::coordinator {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  consilium-coordinator init --federation lung-network --host fl.example.org\n"
    "  consilium-coordinator invite north-hospital\n"
    "  consilium-coordinator invite ada --role researcher --hours 2\n"
    "  consilium-coordinator serve --listen 0.0.0.0:443\n"
    "  consilium-coordinator revoke north-hospital";

std::string DefaultState() {
  if (const char* state = std::getenv("CONSILIUM_STATE")) return state;
  const char* home = std::getenv("HOME");
  return StrCat(home != nullptr ? home : ".", "/.consilium/coordinator");
}

int Main(int argc, char** argv) {
  ForbidCoreDumps();
  CLI::App app("consilium-coordinator: the consortium's neutral host", "consilium-coordinator");
  app.footer(kExamples);
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  CommandOptions options;
  std::string state = DefaultState();
  app.add_option("--state", state, "Folder with keys, ledger and models (CONSILIUM_STATE)")
      ->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON for scripts");

  std::string federation, name, role = "site", address = "0.0.0.0:50051";
  std::vector<std::string> hosts;
  double hours = 24;
  auto* init = app.add_subcommand("init", "Make a new coordinator's keys and ledger, once");
  init->add_option("--federation", federation, "Name: lower-case letters, digits and -")
      ->required();
  init->add_option("--host", hosts, "DNS name or IP address members will use; may be repeated")
      ->required();
  auto* invite = app.add_subcommand(
      "invite", "Print a one-time token for a new member; also while the coordinator serves");
  invite->add_option("name", name, "Lower-case letters, digits and -")->required();
  invite->add_option("--role", role, "What the member will be")
      ->check(CLI::IsMember({"site", "researcher"}))
      ->capture_default_str();
  invite->add_option("--hours", hours, "How long the token is good for")
      ->check(CLI::Range(0.01, 720.0))
      ->capture_default_str();
  auto* serve = app.add_subcommand("serve", "Run the coordinator until Ctrl-C or SIGTERM");
  serve->add_option("--listen", address, "host:port; port 0 takes any that is free")
      ->capture_default_str();
  auto* members = app.add_subcommand("members", "Who is enrolled");
  auto* revoke = app.add_subcommand("revoke", "Shut a member out, within a second");
  revoke->add_option("name", name)->required();
  auto* status = app.add_subcommand("status", "What this coordinator is, and what it does now");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.state = state;

  if (*init) return ReportAndExitCode(InitCommand(options, federation, hosts));
  if (*invite) {
    const Role as = role == "site" ? Role::kSite : Role::kResearcher;
    return ReportAndExitCode(InviteCommand(options, name, as, hours));
  }
  if (*serve) {
    CatchInterrupts();
    return ReportAndExitCode(ServeCommand(options, address));
  }
  if (*members) return ReportAndExitCode(MembersCommand(options));
  if (*revoke) return ReportAndExitCode(RevokeCommand(options, name));
  if (*status) return ReportAndExitCode(StatusCommand(options));
  return 2;
}

}  // namespace
}  // namespace consilium::coordinator

int main(int argc, char** argv) { return consilium::coordinator::Main(argc, argv); }

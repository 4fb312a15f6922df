#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>

#include "common/base/core_dumps.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "coordinator/commands.h"

namespace consilium::coordinator {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  consilium-coordinator check --state coordinator\n"
    "  consilium-coordinator serve --state coordinator\n"
    "  consilium-coordinator members --state coordinator\n"
    "  consilium-coordinator verify-log --state coordinator\n"
    "\n"
    "`consilium federation` founds a federation, invites, admits and revokes members.\n"
    "\n"
    "Exit codes: 0 done or stopped, 1 failed, 2 wrong input, 3 not reachable, 4 refused.";

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
  std::string state = DefaultState(), passphrase, address;
  app.add_option("--state", state, "Folder with keys, ledger and models (CONSILIUM_STATE)")
      ->capture_default_str();
  app.add_option(
      "--passphrase-file", passphrase,
      "File with the passphrase of the keys (CONSILIUM_PASSPHRASE_FILE; else asked for)");
  app.add_flag("--json", options.json, "Print JSON for scripts");

  const auto add_listen = [&](CLI::App* command) {
    command->add_option("--listen", address,
                        "host:port; port 0 takes any that is free; else all addresses, at the port "
                        "that members are told");
  };
  auto* serve = app.add_subcommand("serve", "Run the coordinator until Ctrl-C or SIGTERM");
  auto* check = app.add_subcommand("check", "Whether it can serve, and what to do if not");
  add_listen(serve);
  add_listen(check);
  auto* status = app.add_subcommand("status", "What this coordinator is, and what it does now");
  auto* members = app.add_subcommand("members", "Who is enrolled, admitted, revoked");
  auto* verify_log = app.add_subcommand(
      "verify-log", "Recompute the audit log's chain and verify the sites' signatures under it");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.state = state;
  options.passphrase.file = passphrase;

  if (*serve) {
    CatchInterrupts();
    return ReportAndExitCode(ServeCommand(options, address));
  }
  if (*check) return ReportAndExitCode(CheckCommand(options, address));
  if (*status) return ReportAndExitCode(StatusCommand(options));
  if (*members) return ReportAndExitCode(MembersCommand(options));
  if (*verify_log) return ReportAndExitCode(VerifyLogCommand(options));
  return 2;
}

}  // namespace
}  // namespace consilium::coordinator

int main(int argc, char** argv) { return consilium::coordinator::Main(argc, argv); }

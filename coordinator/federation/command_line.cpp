#include "coordinator/federation/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "coordinator/federation/commands.h"

namespace consilium::federation {
namespace {

constexpr char kExamples[] = R"(Examples:
  consilium federation init --name lung-network --host fl.example.org --root /media/safe --state coordinator
  consilium federation invite north-hospital --state coordinator
  consilium federation pending --state coordinator
  consilium federation admit north-hospital --root /media/safe --state coordinator
  consilium federation revoke north-hospital --root /media/safe --state coordinator
  consilium federation roster --state coordinator

They run on the coordinator's machine, also while it serves. The root's folder is needed only to admit and to take
somebody off the roster.)";

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string DefaultState() {
  const std::string state = FromEnvironment("CONSILIUM_STATE");
  if (!state.empty()) return state;
  const std::string home = FromEnvironment("HOME");
  return StrCat(home.empty() ? "." : home, "/.consilium/coordinator");
}

}  // namespace

struct CommandLine::Impl {
  Impl(CLI::App& app, const bool& asked_json) : json(asked_json) {
    federation = app.add_subcommand(
        "federation", "Found a federation, invite and admit members, revoke them: its operator's");
    federation->require_subcommand(1);
    federation->footer(kExamples);
    federation->add_option("--state", state, "The coordinator's folder (CONSILIUM_STATE)")
        ->capture_default_str();
    federation->add_option("--passphrase-file", passphrase,
                           "File with the passphrase of the coordinator's keys "
                           "(CONSILIUM_PASSPHRASE_FILE; else asked for)");
    federation->add_option("--root-passphrase-file", root_passphrase,
                           "File with the passphrase of the root key "
                           "(CONSILIUM_ROOT_PASSPHRASE_FILE; else as the coordinator's)");
    AddInit();
    AddInvite();
    AddOthers();
  }

  CLI::Option* AddRoot(CLI::App* command, const char* text) {
    return command->add_option("--root", root, text);
  }

  void AddInit() {
    init = federation->add_subcommand(
        "init", "Make the offline root, the coordinator's keys and ledger, and the first roster");
    init->add_option("--name", name, "Of the federation: lower-case letters, digits and -")
        ->required();
    init->add_option("--host", hosts,
                     "DNS name or IP address, with :port when it is not 8443; the first is what "
                     "members are told; may be repeated")
        ->required()
        ->allow_extra_args(false);
    AddRoot(init, "Folder for the root key; it belongs on a medium in a safe")->required();
    init->add_option("--certificate-days", certificate_days, "How long certificates last")
        ->check(CLI::Range(0.0001, 3650.0))
        ->capture_default_str();
    init->add_flag("--unprotected-keys", unprotected, "Do not wrap keys with a passphrase");
  }

  void AddInvite() {
    invite = federation->add_subcommand("invite", "Print a one-time token for a new member");
    invite->add_option("name", name, "Lower-case letters, digits and -")->required();
    invite->add_option("--role", role, "What the member will be")
        ->check(CLI::IsMember({"site", "researcher", "auditor"}))
        ->capture_default_str();
    invite->add_option("--hours", hours, "How long the token is good for")
        ->check(CLI::Range(0.01, 720.0))
        ->capture_default_str();
    invite
        ->add_option("--weight-cap", weight_cap,
                     "A site counts with at most this weight (examples) in a mean; 0: no cap")
        ->check(CLI::NonNegativeNumber);
  }

  void AddOthers() {
    pending = federation->add_subcommand("pending", "Who enrolled and waits, with fingerprints");
    admit = federation->add_subcommand("admit", "Sign the next roster with members that wait");
    admit->add_option("names", names, "Who")->required();
    admit
        ->add_option("--fingerprint", fingerprints,
                     "What the member's operator read out; once for each name; else asked")
        ->allow_extra_args(false);
    AddRoot(admit, "The root's folder")->required();
    revoke = federation->add_subcommand("revoke", "Shut a member out, within a second");
    revoke->add_option("name", name, "Who")->required();
    AddRoot(revoke, "The root's folder, to sign the next roster too");
    roster = federation->add_subcommand("roster", "The roster in force");
  }

  CommandOptions Options() const {
    CommandOptions options{.root = root, .state = state, .json = json};
    options.passphrase = {passphrase, unprotected};
    options.root_passphrase = {root_passphrase, unprotected};
    if (root_passphrase.empty()) {
      options.root_passphrase.file = FromEnvironment("CONSILIUM_ROOT_PASSPHRASE_FILE");
    }
    if (options.root_passphrase.file.empty()) options.root_passphrase.file = passphrase;
    return options;
  }

  const bool& json;
  std::string state = DefaultState(), root, passphrase, root_passphrase, name, role = "site";
  std::vector<std::string> hosts, names, fingerprints;
  double certificate_days = 90, hours = 24, weight_cap = 0;
  bool unprotected = false;
  CLI::App *federation = nullptr, *init = nullptr, *invite = nullptr, *pending = nullptr,
           *admit = nullptr, *revoke = nullptr, *roster = nullptr;
};

CommandLine::CommandLine(CLI::App& app, const bool& json)
    : impl_(std::make_unique<Impl>(app, json)) {}

CommandLine::~CommandLine() = default;

bool CommandLine::chosen() const { return impl_->federation->parsed(); }

absl::Status CommandLine::Run() const {
  const Impl& chosen = *impl_;
  const CommandOptions options = chosen.Options();
  if (chosen.init->parsed()) {
    return InitCommand(options, chosen.name, chosen.hosts, chosen.certificate_days);
  }
  if (chosen.invite->parsed()) {
    return InviteCommand(options, chosen.name, *identity::RoleNamed(chosen.role), chosen.hours,
                         chosen.weight_cap);
  }
  if (chosen.pending->parsed()) return PendingCommand(options);
  if (chosen.admit->parsed()) return AdmitCommand(options, chosen.names, chosen.fingerprints);
  if (chosen.revoke->parsed()) return RevokeCommand(options, chosen.name);
  return RosterCommand(options);
}

}  // namespace consilium::federation

#include "site_agent/network_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/crypto/sha256.h"
#include "site_agent/approved_networks.h"
#include "site_agent/learning/modules.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;

absl::Status Show(const NetworkCommand& command) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(command.file, std::size_t{2} << 30));
  ASSIGN_OR_RETURN(const learning::ModuleDescription module, learning::DescribeModule(bytes));
  const std::string sha256 = crypto::Sha256(AsBytes(bytes)).Hex();
  if (command.json) {
    const ordered_json json = {{"sha256", sha256},          {"parameters", module.parameters},
                               {"frozen", module.frozen},   {"buffers", module.buffers},
                               {"tensors", module.tensors}, {"code", module.code}};
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  std::string text;
  for (const std::string& tensor : module.tensors) StrAppend(&text, "  ", tensor, "\n");
  std::printf(
      "sha256      %s\nparameters  %llu that are trained, %llu frozen, %llu in buffers\n%s"
      "code, as it would run here:\n%s\n",
      sha256.c_str(), static_cast<unsigned long long>(module.parameters),
      static_cast<unsigned long long>(module.frozen),
      static_cast<unsigned long long>(module.buffers), text.c_str(), module.code.c_str());
  return absl::OkStatus();
}

absl::Status Approve(const NetworkCommand& command) {
  ASSIGN_OR_RETURN(const std::string sha256, ApproveNetwork(command.state, command.file));
  if (command.json) {
    std::printf("%s\n", ordered_json{{"sha256", sha256}}.dump().c_str());
  } else {
    std::printf(
        "approved, from the agent's next start on. A plan names it by\n  [model]\n"
        "  architecture = \"torchscript\"\n  module = \"%s\"\n",
        sha256.c_str());
  }
  return absl::OkStatus();
}

absl::Status List(const NetworkCommand& command) {
  ASSIGN_OR_RETURN(const auto networks, ApprovedNetworks(command.state));
  if (command.json) {
    ordered_json json = ordered_json::array();
    for (const ApprovedNetwork& network : networks) {
      json.push_back({{"sha256", network.sha256}, {"bytes", network.bytes}});
    }
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  if (networks.empty()) {
    std::printf("no approved networks: see consilium-site network approve --help\n");
    return absl::OkStatus();
  }
  TextTable table({"sha256", "bytes"});
  for (const ApprovedNetwork& network : networks) {
    table.AddRow({network.sha256, StrCat(network.bytes)});
  }
  std::printf("%s", table.ToString().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddNetworkOptions(CLI::App& app, NetworkCommand& command) {
  app.require_subcommand(1);
  command.show =
      app.add_subcommand("show", "A module's tensors and code, to read before approving");
  command.approve = app.add_subcommand("approve", "Let plans train this module here");
  command.list = app.add_subcommand("list", "The approved modules");
  command.withdraw = app.add_subcommand("withdraw", "No plan may train this module here any more");
  for (CLI::App* one : {command.show, command.approve}) {
    one->add_option("file", command.file, "TorchScript module (torch.jit.save)")->required();
  }
  command.withdraw->add_option("sha256", command.sha256, "Its hash, or a unique beginning of it")
      ->required();
  for (CLI::App* one : {command.approve, command.list, command.withdraw}) {
    one->add_option("--state", command.state, "The agent's state folder (CONSILIUM_STATE)")
        ->envname("CONSILIUM_STATE")
        ->required();
  }
  for (CLI::App* one : {command.show, command.approve, command.list}) {
    one->add_flag("--json", command.json, "Print JSON for scripts");
  }
}

absl::Status Run(const NetworkCommand& command) {
  if (command.show->parsed()) return Show(command);
  if (command.approve->parsed()) return Approve(command);
  if (command.list->parsed()) return List(command);
  return WithdrawNetwork(command.state, command.sha256);
}

}  // namespace consilium::site_agent

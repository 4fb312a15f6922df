// A network of the consortium's own, from PyTorch to the published model and back: exported by
// Debian's python3-torch, approved by the operators, trained by real processes.

#include <nlohmann/json.hpp>

#include "experiments/federation.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

const std::vector<std::string> kSites = {"north", "south", "east", "west"};

std::string Run(const fs::path& program, std::vector<std::string> arguments, const fs::path& logs,
                const std::string& name) {
  const auto printed = RunProgram(
      {.program = program, .arguments = std::move(arguments), .logs = logs, .name = name});
  RequireOk(printed.status());
  return *printed;
}

fs::path Source() {
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  return source;
}

std::string PlanOf(const std::string& sha256) {
  return StrCat(R"(
[plan]
name = "own-network"
[model]
architecture = "torchscript"
module = ")",
                sha256, R"("
[target]
name = "opacity"
[data]
modalities = ["DX", "CR"]
minimum_patients = 5
[preprocessing]
image_size = 32
[training]
batch_size = 8
augmentation = "none"
[cohort]
minimum_sites = 3
[gate]
minimum_auroc = 0.0
[stop]
rounds = 2
)");
}

// Absent where Debian's python3-torch is.
bool HasPyTorch(const fs::path& logs) {
  return RunProgram({.program = "/usr/bin/python3",
                     .arguments = {"-c", "import torch"},
                     .logs = logs,
                     .name = "torch"})
      .ok();
}

TEST_CASE("a network of the consortium's own is trained where it is approved, and only there") {
  const TemporaryFolder folder;
  const fs::path logs = folder / "logs";
  RequireOk(EnsureFolder(logs));
  if (!HasPyTorch(logs)) {
    WARN("skipped: there is no python3-torch to export a network with");
    return;
  }
  const fs::path here = Source() / "tests/experiments/own_network.py";
  const fs::path module = folder / "net.pt";
  Run("/usr/bin/python3", {here, "export", module}, logs, "export");

  auto created = Federation::Create(Programs(), folder / "federation", Federation::Keys::kBare);
  RequireOk(created.status());
  Federation federation = *std::move(created);
  RequireOk(federation.StartCoordinator());
  RequireOk(federation.EnrolResearcher("ada"));
  std::string sha256;
  for (const std::string& site : kSites) {
    Run(Programs() / "consilium-dataset",
        {"synthesize", "--hospital", site == "west" ? "north" : site, "--patients", "40", "--out",
         folder / site},
        logs, "synthesize-" + site);
    RequireOk(federation.EnrolSite(site));
    if (site != "west") {
      const json approved = json::parse(Run(
          Programs() / "consilium-site",
          {"network", "approve", module, "--state", federation.SiteState(site).string(), "--json"},
          logs, "approve-" + site));
      sha256 = approved.at("sha256");
    }
    RequireOk(federation.StartSite(site, {"--data", folder / site, "--threads", "1"}));
  }
  for (const std::string& site : kSites) RequireOk(federation.AwaitSite(site));
  RequireOk(WriteFileDurably(folder / "plan.toml", PlanOf(sha256)));
  const auto watched =
      federation.Researcher({"run", "submit", folder / "plan.toml", "--watch"}, "run");
  RequireOk(watched.status());
  INFO(*watched);

  const auto shown = federation.Researcher({"run", "show", "own-network-0001", "--json"}, "show");
  RequireOk(shown.status());
  const json run = json::parse(*shown);
  for (const json& participant : run.at("participants")) {
    const bool west = participant.at("site") == "west";
    CHECK(participant.at("invite") == (west ? "declined" : "accepted"));
    if (west) CHECK_THAT(participant.at("reason").get<std::string>(), ContainsText("approved"));
  }
  REQUIRE(run.at("published").is_string());
  const std::string model = run.at("published");
  const fs::path published = folder / "own.safetensors";
  RequireOk(federation.Researcher({"model", "fetch", model, "--out", published}, "fetch").status());
  RequireOk(federation
                .Researcher({"model", "card", published, "--plan", folder / "plan.toml", "--out",
                             folder / "card.html"},
                            "card")
                .status());
  CHECK_THAT(*ReadTextFile(folder / "card.html"), ContainsText("Who took part in which round"));
  const std::string loaded =
      Run("/usr/bin/python3",
          {here, "load", module, published, Source() / "site_agent/learning/python"}, logs, "load");
  // All but the count of batches is moved by training; that, too, as batches went by.
  CHECK_THAT(loaded, ContainsText("12 tensors, 12 moved"));
}

}  // namespace
}  // namespace consilium::experiments

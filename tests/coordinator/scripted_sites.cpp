// consilium-scripted-sites: many sites without images in one process, for measurements of the
// coordinator, until it is told to end. What each says is in scripted_site.h.

#include "tests/coordinator/scripted_site.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "coordinator/service_listener.h"
#include "experiments/bench/sites/made_federation.h"

namespace consilium::coordinator {
namespace {

absl::Status Live(const fs::path& members, std::uint64_t parameters) {
  RaiseFileLimit();
  ASSIGN_OR_RETURN(std::vector<identity::Identity> identities,
                   experiments::ReadIdentities(members));
  ScriptedSite::Script script;
  script.parameters = parameters;
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (identity::Identity& identity : identities) {
    if (Interrupted()) break;
    sites.push_back(std::make_unique<ScriptedSite>(std::move(identity), script));
  }
  while (!Interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::_Exit(0);  // without farewell: hundreds of threads wait for the coordinator
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-scripted-sites: many sites without images", "consilium-scripted-sites");
  fs::path members;
  std::uint64_t parameters = 1;
  app.add_option("--members", members, "Identities, as MadeFederation writes them")->required();
  app.add_option("--parameters", parameters, "Of the model: 4 bytes each")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  return ReportAndExitCode(Live(members, parameters));
}

}  // namespace
}  // namespace consilium::coordinator

int main(int argc, char** argv) { return consilium::coordinator::Main(argc, argv); }

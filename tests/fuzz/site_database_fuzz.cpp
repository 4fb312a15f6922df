#include "site_agent/site_state.h"
#include "tests/fuzz/database_files.h"

namespace consilium::site_agent {
namespace {

using fuzz::ReadThrough;

void ReadAll(SiteState& state) {
  const RunId run("chest-0001");
  const AttemptKey key{run, 1, 1};
  ReadThrough(state.Runs());
  ReadThrough(state.FindRun(run));
  ReadThrough(state.Tasks());
  ReadThrough(state.FindTask(key));
  ReadThrough(state.TrainedElsewhere(key, ModelId{}, 1));
  ReadThrough(state.FindEvaluation({.run = run, .round = 1}));
  ReadThrough(state.FindSession({key}));
  ReadThrough(state.FindRelease({key}, ModelId{}, Time{}));
  ReadThrough(state.FindRelease({key, secagg::Purpose::kDescription}, ModelId{}, Time{}));
  ReadThrough(state.Descriptions(Time{}));
  ReadThrough(state.FindLogHead());
  ReadThrough(state.LogFork());
  ReadThrough(state.Departures());
  state.RecordRunEnded({.run = run, .outcome = "ended"}, Time{}).IgnoreError();
}

}  // namespace
}  // namespace consilium::site_agent

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const fs::path folder = [] {
    fs::create_directory(fuzz::ScratchFolder() / "site");
    return fuzz::ScratchFolder() / "site";
  }();
  fuzz::Scratch("site/site.db", fuzz::Input(data, size));
  const fuzz::AllocationLimit limit(fuzz::JustifiedByDatabase(size));
  const auto state = site_agent::SiteState::Open(folder, site_agent::SiteState::Access::kOwn);
  if (state.ok()) site_agent::ReadAll(**state);
  fs::remove(folder / "site.db-journal");
  return 0;
}

#include "coordinator/ledger.h"

#include "tests/fuzz/database_files.h"

namespace consilium::coordinator {
namespace {

using fuzz::ReadThrough;

void ReadRun(Ledger& ledger, const RunId& run) {
  ReadThrough(ledger.PlanOf(run));
  ReadThrough(ledger.LoadRunState(run));
  ReadThrough(ledger.Events(run, 0));
  ReadThrough(ledger.Evaluations(run));
  ReadThrough(ledger.PooledEvaluations(run));
  ReadThrough(ledger.SurvivorSignatures({run, 1, 1}));
  ReadThrough(ledger.RunJson(run));
}

void ReadAll(Ledger& ledger) {
  ReadThrough(ledger.FederationName());
  ReadThrough(ledger.Members());
  ReadThrough(ledger.CertificateLife());
  ReadThrough(ledger.RosterFile());
  ReadThrough(ledger.RosterVersion());
  ReadThrough(ledger.LastPublishedOf("chest"));
  ReadThrough(ledger.ListModels());
  ReadThrough(ledger.ModelsJson());
  ReadThrough(ledger.RunsJson());
  ReadThrough(ledger.LogEntries(1));
  ReadThrough(ledger.Head());
  ReadThrough(ledger.Countersignatures());
  const bool log_fits = ledger.VerifyLog().ok();
  for (const auto& runs : {ledger.QueuedRuns(), ledger.ActiveRuns()}) {
    if (!runs.ok()) continue;
    for (const RunId& run : *runs) ReadRun(ledger, run);
  }
  ReadRun(ledger, RunId("chest-0001"));
  // And a write on top of it.
  const bool added = ledger.AddLogEntry(Time{}, "operator", "look", "ledger").ok();
  FUZZ_EXPECT(!added || !log_fits || ledger.VerifyLog().ok());
}

}  // namespace
}  // namespace consilium::coordinator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fs::path file = fuzz::Scratch("ledger.db", fuzz::Input(data, size));
  const fuzz::AllocationLimit limit(fuzz::JustifiedByDatabase(size));
  auto ledger = coordinator::Ledger::Open(file);
  if (ledger.ok()) coordinator::ReadAll(*ledger);
  fs::remove(fs::path(file).concat("-journal"));
  return 0;
}

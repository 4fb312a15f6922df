// The models that training begins from, and what the engine is told of them.

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/adapters.h"
#include "common/model/prepared_model.h"
#include "common/model/safetensors.h"
#include "common/model/travelling.h"
#include "coordinator/conductor.h"

namespace consilium::coordinator {
namespace {

// Into the folder under its hash; the entry as the registry has one that a run begins with.
absl::StatusOr<ModelEntry> Keep(const ModelStore& models, const ModelState& model, const RunId& run,
                                const ModelId& parent, Time now) {
  const fs::path temporary = models.folder() / StrCat("base-", run.value, ".tmp");
  RETURN_IF_ERROR(SaveSafetensors(temporary, model));
  ModelEntry entry;
  ASSIGN_OR_RETURN(entry.id, crypto::Sha256OfFile(temporary));
  RETURN_IF_ERROR(RenameDurably(temporary, models.PathOf(entry.id)));
  entry.stage = ModelStage::kInitial;
  entry.run = run;
  entry.parent = parent;
  entry.parameters = model.values().size();
  entry.created = now;
  ASSIGN_OR_RETURN(entry.file_size, FileSize(models.PathOf(entry.id)));
  return entry;
}

// One that an earlier run made has its adapters already.
absl::StatusOr<Layout> Adapted(const Layout& layout, std::uint32_t rank) {
  ASSIGN_OR_RETURN(const std::vector<Adapter> adapters, AdaptersOf(layout));
  if (adapters.empty()) return WithAdapters(layout, rank);
  for (const Adapter& adapter : adapters) {
    if (adapter.rank == rank) continue;
    return absl::InvalidArgumentError(
        StrCat("its adapters are of rank ", adapter.rank, ", the plan's of ", rank,
               ": say that, or merge them first (consilium model merge)"));
  }
  return layout;
}

}  // namespace

absl::StatusOr<Conductor::ModelShape> Conductor::ShapeOf(
    const ModelId& model, const std::vector<std::string>& frozen) const {
  ASSIGN_OR_RETURN(const BaseModel base, parts_.models.LoadBase(model));
  ASSIGN_OR_RETURN(const Travelling travelling, Travelling::Of(base.header.layout, frozen));
  ModelShape shape{TotalElements(base.header.layout), travelling.frozen()};
  if (!travelling.all()) {
    shape.layout = crypto::Sha256(WriteSafetensorsHeader(travelling.layout()));
    return shape;
  }
  ASSIGN_OR_RETURN(const File file, parts_.models.OpenForReading(model));
  Bytes header(base.header.data_offset);
  RETURN_IF_ERROR(file.ReadAt(0, header));
  shape.layout = crypto::Sha256(header);
  return shape;
}

absl::Status Conductor::CheckInitial(const plan::Model& model) const {
  const auto check = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const BaseModel base, parts_.models.LoadBase(*model.initial));
    Layout layout = base.header.layout;
    if (model.adapter_rank > 0) {
      ASSIGN_OR_RETURN(layout, Adapted(layout, model.adapter_rank));
    }
    return Travelling::Of(layout, model.frozen).status();
  };
  return WithContext(check(), "the plan's model.initial");
}

// Again after a restart it comes out the same, to the byte, as the next one does.
absl::StatusOr<ModelId> Conductor::MakeAdapted(Ledger& ledger, const RunId& run,
                                               const plan::Plan& plan) {
  const ModelId parent = *plan.model.initial;
  ASSIGN_OR_RETURN(const ModelState base, LoadSafetensors(parts_.models.PathOf(parent)));
  if (!FrozenByAdapters(base.layout()).empty()) return parent;
  ASSIGN_OR_RETURN(const ModelState adapted,
                   WithAdapters(base, plan.model.adapter_rank, plan.seed));
  ASSIGN_OR_RETURN(const ModelEntry entry,
                   Keep(parts_.models, adapted, run, parent, parts_.clock.Now()));
  RETURN_IF_ERROR(ledger.AddModel(entry));
  return entry.id;
}

absl::StatusOr<ModelId> Conductor::MakePrepared(const coordinator::Prepare& action) {
  ASSIGN_OR_RETURN(const ModelState base, LoadSafetensors(parts_.models.PathOf(action.base)));
  std::vector<double> means, deviations;
  for (const metrics::Scale& scale : action.scales) {
    means.push_back(scale.mean);
    deviations.push_back(scale.deviation);
  }
  ASSIGN_OR_RETURN(const ModelState prepared, WithPreparation(base, means, deviations));
  ASSIGN_OR_RETURN(const ModelEntry entry,
                   Keep(parts_.models, prepared, action.key.run, action.base, parts_.clock.Now()));
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& ledger) { return ledger.AddModel(entry); }));
  return entry.id;
}

}  // namespace consilium::coordinator

#pragma once

// The models a site has downloaded, as safetensors files named by their SHA-256, in a folder that
// is kept small. A file is used only after its hash was checked by this process. Downloads go on
// where a broken one stopped. The model loaded last also stays in memory. Not thread-safe.

#include <cstddef>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/progress.h"
#include "common/model/model_state.h"
#include "site_agent/coordinator_channel.h"

namespace consilium::site_agent {

class ArrivingModel;

class ModelStore {
 public:
  // All but the `keep` newest models are removed when another one comes.
  ModelStore(fs::path folder, std::size_t keep) : folder_(std::move(folder)), keep_(keep) {}

  // Where the model lies, downloaded first unless it is there. kDataLoss when what the coordinator
  // sends is not the model (asked for twice); else the channel's errors, and the call may be
  // repeated.
  absl::StatusOr<fs::path> Fetch(CoordinatorChannel& channel, const ModelId& model,
                                 Progress& progress, std::stop_token stop);
  // The model itself, fetched as above. kInvalidArgument when it is not a model file.
  absl::StatusOr<ModelState> Load(CoordinatorChannel& channel, const ModelId& model,
                                  Progress& progress, std::stop_token stop);

 private:
  struct Loaded {
    ModelId id;
    ModelState state;
  };
  fs::path PathOf(const ModelId& model) const;
  // Whether the file is there and is the model; one that is not is removed.
  bool Holds(const ModelId& model);
  // With `arriving`, also gathers the model in memory.
  absl::StatusOr<fs::path> Fetch(CoordinatorChannel& channel, const ModelId& model,
                                 ArrivingModel* arriving, Progress& progress, std::stop_token stop);
  absl::Status Download(CoordinatorChannel& channel, const ModelId& model, ArrivingModel* arriving,
                        Progress& progress, std::stop_token stop);
  void Prune(const ModelId& newest);
  // Before another model comes: the oldest file makes room, as the one to be written over.
  void SpareTheOldest();
  fs::path Spare() const { return folder_ / "spare"; }
  std::vector<fs::path> OldestFirst() const;
  void Forget(const fs::path& file);

  const fs::path folder_;
  const std::size_t keep_;
  std::set<ModelId> checked_;
  std::optional<Loaded> loaded_;
};

}  // namespace consilium::site_agent

#pragma once

// The models a site has downloaded, as safetensors files named by their SHA-256, in a folder that
// is kept small. A file is used only after its hash was checked by this process. Downloads go on
// where a broken one stopped. The model loaded last also stays in memory. Not thread-safe.

#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/progress.h"
#include "common/model/model_state.h"
#include "common/model/travelling.h"
#include "site_agent/coordinator_channel.h"

namespace consilium::site_agent {

class ArrivingModel;
class PartialFile;

class ModelStore {
 public:
  // All but the `keep` newest models are removed when another one comes.
  ModelStore(fs::path folder, std::size_t keep) : folder_(std::move(folder)), keep_(keep) {}

  // Where the model lies, downloaded first unless it is there. kDataLoss when what the coordinator
  // sends is not the model (asked for twice); else the channel's errors, and the call may be
  // repeated.
  absl::StatusOr<fs::path> Fetch(CoordinatorChannel& channel, const ModelId& model,
                                 Progress& progress, std::stop_token stop);
  // Takes the model from another store on this disk, where it is there and not here. Errors are the
  // disk's.
  absl::Status CopyFrom(ModelStore& other, const ModelId& model);
  // The model itself, fetched as above. kInvalidArgument when it is not a model file.
  absl::StatusOr<ModelState> Load(CoordinatorChannel& channel, const ModelId& model,
                                  Progress& progress, std::stop_token stop);
  // The same, for a model that may differ from the one loaded last only in what travels of a plan
  // with these frozen tensors (model/travelling.h): then only that is downloaded, the rest is what
  // is there. The hash says whether it is so; where not, or where all travels, as Load.
  absl::StatusOr<ModelState> LoadNext(CoordinatorChannel& channel, const ModelId& model,
                                      std::span<const std::string> frozen, Progress& progress,
                                      std::stop_token stop);

 private:
  struct Loaded {
    ModelId id;
    ModelState state;
  };
  // What has come of a model of which the rest is here.
  struct TravellingPart {
    ModelId model;
    Bytes bytes;
  };
  // Makes `model` of the one loaded last. kDataLoss: it cannot be made of that. Errors of the
  // channel leave what has come for the next call.
  absl::Status MakeOfLoaded(CoordinatorChannel& channel, const ModelId& model,
                            const Travelling& travelling, Progress& progress, std::stop_token stop);
  // All `size` bytes of the ranges into part_, after those that are there.
  absl::Status DownloadPart(CoordinatorChannel& channel, const ModelId& model,
                            std::span<const wire::ByteRange> ranges, std::uint64_t size,
                            Progress& progress, std::stop_token stop);
  // Its file, and in memory; kDataLoss: it is not that model.
  absl::Status KeepMade(const ModelId& model, ModelState made);
  absl::Status Keep(PartialFile written, const ModelId& model);
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
  std::optional<TravellingPart> part_;
};

}  // namespace consilium::site_agent

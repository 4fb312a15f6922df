#pragma once

// What a researcher can ask the coordinator, over gRPC and mutual TLS. Blocking; thread-safe.
// Errors carry the coordinator's own words; kUnavailable when it cannot be reached.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/identity/identity.h"
#include "common/wire/protocol.h"

namespace consilium::researcher {

struct FetchedRecord {
  ModelId model;
  std::string record_json;  // signed: see crypto/model_record.h
};

class ResearchChannel {
 public:
  explicit ResearchChannel(identity::Identity identity);
  ~ResearchChannel();

  // Signs the plan with the researcher's key, under a fresh nonce: one signature is one run.
  absl::StatusOr<RunId> Submit(const std::string& plan_toml);
  absl::Status Stop(const RunId& run);
  // Calls `on_event` with every event after `after`, and those that come, until the run has ended
  // (OK), `on_event` returns false (kCancelled) or the connection breaks (kUnavailable: call again
  // with the last sequence seen).
  absl::Status Watch(const RunId& run, std::uint64_t after,
                     const std::function<bool(const wire::RunEvent&)>& on_event);
  // JSON documents as the ledger writes them.
  absl::StatusOr<std::string> ListRuns();
  absl::StatusOr<std::string> ShowRun(const RunId& run);
  absl::StatusOr<std::string> ListModels();
  // `model`: the hexadecimal id or a unique beginning of it.
  absl::StatusOr<FetchedRecord> Record(const std::string& model);
  // The audit log from its first entry to entry `up_to` (0: to its head), with the sites'
  // countersignatures, as one JSON document (verify_model.h).
  absl::StatusOr<std::string> Log(std::uint64_t up_to);
  // Writes the model's safetensors to `path` (through a temporary file, renamed when its hash is
  // `model`).
  absl::Status Download(const ModelId& model, const fs::path& path, Progress& progress);
  // Sends a model file in its canonical form, for plans to begin from; returns its id.
  // kInvalidArgument: the coordinator does not take it, and says why.
  absl::StatusOr<ModelId> ImportModel(const fs::path& path, Progress& progress);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::researcher

#include "coordinator/researcher/model_files.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/adapters.h"
#include "common/model/safetensors.h"
#include "coordinator/researcher/research_channel.h"

namespace consilium::researcher {
namespace {

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

absl::Status ImportCommand(const CommandOptions& options, const fs::path& model) {
  ASSIGN_OR_RETURN(const ModelState state, LoadSafetensors(model));
  ASSIGN_OR_RETURN(const auto channel, Channel(options));
  // Without the metadata that others write; the values are the same.
  fs::path canonical = model;
  canonical += ".import";
  RETURN_IF_ERROR(SaveSafetensors(canonical, state));
  TerminalProgress progress;
  const absl::StatusOr<ModelId> id = channel->ImportModel(canonical, progress);
  RETURN_IF_ERROR(Remove(canonical));
  RETURN_IF_ERROR(id.status());
  Print(options.json
            ? nlohmann::json{{"model", id->Hex()}, {"parameters", state.values().size()}}.dump() +
                  "\n"
            : StrCat("model       ", id->Hex(), "\nparameters  ", state.values().size(),
                     "\nplan        [model] initial = \"", id->Hex(), "\"\n"));
  return absl::OkStatus();
}

absl::Status MergeCommand(const CommandOptions& options, const fs::path& model,
                          const fs::path& out) {
  ASSIGN_OR_RETURN(const ModelState state, LoadSafetensors(model));
  ASSIGN_OR_RETURN(const ModelState merged, MergeAdapters(state));
  RETURN_IF_ERROR(SaveSafetensors(out, merged));
  ASSIGN_OR_RETURN(const Digest id, crypto::Sha256OfFile(out));
  const std::size_t adapters = (state.layout().size() - merged.layout().size()) / 2;
  Print(options.json ? nlohmann::json{{"file", out.string()},
                                      {"model", id.Hex()},
                                      {"adapters", adapters},
                                      {"parameters", merged.values().size()}}
                               .dump() +
                           "\n"
                     : StrCat(adapters, " adapters folded into their weights\n", out.string(), "  ",
                              id.Hex(),
                              "\nThe record is of the model with its adapters: this file "
                              "has none of its own.\n"));
  return absl::OkStatus();
}

}  // namespace consilium::researcher

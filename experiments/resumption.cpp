#include "experiments/resumption.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace consilium::experiments {
namespace {

// How far a site had come with its update of a round, as it remembers it itself; empty: not begun.
std::string Did(const Federation& federation, const SiteData& site, std::size_t round) {
  const auto shown = RunProgram({.program = federation.programs() / "consilium-site",
                                 .arguments = {"status", "--state", site.state, "--json"},
                                 .logs = federation.logs(),
                                 .name = StrCat("status-", site.name),
                                 .environment = federation.Environment()});
  if (!shown.ok()) return "";
  const auto json = nlohmann::json::parse(*shown, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return "";
  std::string state;
  for (const auto& task : json.value("tasks", nlohmann::json::array())) {
    if (task.value("round", std::size_t{0}) == round) state = task.value("state", "");
  }
  if (state == "training") return "was training";
  if (state == "sealed") return "had trained, its update waits to be sent";
  if (state == "acknowledged") return "had delivered";
  if (state == "counted") return "was counted";
  return state.empty() ? "" : StrCat("(", state, ")");
}

}  // namespace

std::string WhatIsThere(const fs::path& out, const Checkpoint& checkpoint,
                        const std::vector<SiteData>& sites) {
  const auto whole = [&](const fs::path& folder) {
    return std::count_if(sites.begin(), sites.end(),
                         [&](const SiteData& site) { return Exists(folder / site.name); });
  };
  std::string text = StrCat("Resuming ", out.string(), ", begun ", ToRfc3339(checkpoint.begun),
                            " and cut off in \"", checkpoint.doing, "\": ");
  if (checkpoint.request.data.empty()) {
    StrAppend(&text, "images of ", whole(out / "data"), " of ", sites.size(), " hospitals, ");
  }
  StrAppend(&text,
            Federation::IsFounded(out / "federation") ? "a federation of " : "no federation, ",
            whole(out / "federation" / "members"), " of ", sites.size(), " sites");
  if (!checkpoint.run.empty()) {
    StrAppend(&text, ", run ", checkpoint.run, checkpoint.Done("federation") ? " to its end" : "");
  }
  if (checkpoint.Done("fetch, verify")) StrAppend(&text, ", its model");
  if (const auto files = ListFolder(out / "models"); files.ok()) {
    const auto models = std::count_if(files->begin(), files->end(), [](const FolderEntry& file) {
      return file.path.extension() == ".safetensors";
    });
    if (models > 0) StrAppend(&text, ", ", models, " models to compare with");
  }
  return text;
}

std::string WhereTheRunIs(const Federation& federation, const RunHistory& history,
                          const plan::Stop& stop, const std::vector<SiteData>& sites) {
  const std::size_t round = history.rounds.size();
  std::string text = StrCat("round ", round, " of at most ", stop.rounds);
  for (const SiteData& site : sites) {
    const std::string did = Did(federation, site, round);
    if (!did.empty()) StrAppend(&text, "; ", site.name, " ", did);
  }
  return text;
}

}  // namespace consilium::experiments

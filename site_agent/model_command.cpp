#include "site_agent/model_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/model/external_model.h"
#include "common/model/safetensors.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/local_sites.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;

constexpr char kExamples[] = R"(Examples:
  consilium-site model map resnet18.safetensors --plan opacity.toml --skip-head --out start.safetensors
  consilium-site model map theirs.safetensors --plan opacity.toml --map features.=  --out start.safetensors
  consilium model import start.safetensors      (the researcher's program: gives the id for the plan)

A PyTorch file becomes safetensors with safetensors.torch.save_file(model.state_dict(), FILE).)";

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) StrAppend(&text, text.empty() ? "" : "x", size);
  return text.empty() ? "scalar" : text;
}

absl::StatusOr<MappingOptions> OptionsOf(const ModelMapCommand& command) {
  MappingOptions options{{}, command.skip_head};
  for (const std::string& rename : command.renames) {
    const std::size_t equals = rename.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          StrCat("--map ", rename, " is not OLD=NEW, two beginnings of tensors' names"));
    }
    options.renames.emplace_back(rename.substr(0, equals), rename.substr(equals + 1));
  }
  return options;
}

std::string InWords(const MappedModel& mapped) {
  TextTable table({"tensor", "shape", "from", ""});
  for (const MappedModel::Row& row : mapped.rows) {
    table.AddRow({row.tensor.name, ShapeText(row.tensor.shape), row.from.empty() ? "-" : row.from,
                  row.refused ? StrCat("DOES NOT FIT: ", row.remark) : row.remark});
  }
  std::string text = table.ToString();
  if (!mapped.prefix.empty()) {
    StrAppend(&text, "\"", mapped.prefix, "\" was taken from the names in the file\n");
  }
  for (const std::string& name : mapped.unused) StrAppend(&text, "not used: ", name, "\n");
  return text;
}

ordered_json ToJson(const MappedModel& mapped) {
  ordered_json rows = ordered_json::array();
  for (const MappedModel::Row& row : mapped.rows) {
    rows.push_back({{"tensor", row.tensor.name},
                    {"shape", row.tensor.shape},
                    {"from", row.from.empty() ? ordered_json() : ordered_json(row.from)},
                    {"remark", row.remark},
                    {"fits", !row.refused}});
  }
  return {{"tensors", std::move(rows)}, {"unused", mapped.unused}, {"prefix", mapped.prefix}};
}

}  // namespace

void AddModelMapOptions(CLI::App& app, ModelMapCommand& command) {
  app.footer(kExamples);
  app.add_option("file", command.file, "A state dict (safetensors) from elsewhere")->required();
  app.add_option("--plan", command.plan, "The plan whose network it is for (TOML)")->required();
  app.add_option("--out", command.out, "Where the model goes (safetensors)")->required();
  app.add_option("--map", command.renames,
                 "OLD=NEW: names that begin with OLD begin with NEW instead; may be repeated");
  app.add_flag("--skip-head", command.skip_head,
               "The last layer keeps the plan's start where the file's does not fit");
  app.add_flag("--json", command.json, "Print JSON for scripts");
}

absl::Status Run(const ModelMapCommand& command) {
  ASSIGN_OR_RETURN(const MappingOptions options, OptionsOf(command));
  ASSIGN_OR_RETURN(plan::Plan plan, ReadPlan(command.plan));
  // The coordinator adds the adapters.
  plan.model.adapter_rank = 0;
  plan.model.frozen.clear();
  ASSIGN_OR_RETURN(const ModelState start, learning::InitialModel(plan));
  ASSIGN_OR_RETURN(const ExternalModel external, ExternalModel::Open(command.file));
  ASSIGN_OR_RETURN(MappedModel mapped, MapModel(external, start, options));
  const std::string shown = command.json ? ToJson(mapped).dump(2) + "\n" : InWords(mapped);
  std::fputs(shown.c_str(), stdout);
  std::fflush(stdout);
  if (mapped.refused > 0) {
    return absl::InvalidArgumentError(
        StrCat(mapped.refused, " of ", mapped.rows.size(),
               " tensors do not fit, and nothing was written: rename with --map, leave the last "
               "layer with --skip-head, or change the plan's network (its norm, or channel = "
               "\"rgb\" for weights of colour images)"));
  }
  ASSIGN_OR_RETURN(const ModelState model,
                   ModelState::Create(start.layout(), std::move(mapped.values)));
  return SaveSafetensors(command.out, model);
}

}  // namespace consilium::site_agent

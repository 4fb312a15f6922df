// consilium-dataset describe: one site's own table, for its own operator.

#include "datasets/description/command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/str_join.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/metrics/shown_description.h"
#include "common/report/description_page.h"
#include "datasets/description/description.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::datasets::description {
namespace {

struct Arguments {
  fs::path state, catalog, html;
  Options options;
  bool json = false;
};

absl::StatusOr<Catalog> OpenCatalog(const Arguments& arguments) {
  const fs::path file =
      arguments.catalog.empty() ? arguments.state / "catalog.db" : arguments.catalog;
  if (!Exists(file)) {
    return absl::NotFoundError(StrCat("there is no catalog ", file.string(),
                                      ": make it with `consilium-dataset index FOLDER --catalog ",
                                      file.string(), "`"));
  }
  return Catalog::Open(file);
}

absl::Status CheckTarget(Catalog& catalog, const std::string& target) {
  if (target.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> targets, catalog.Targets());
  if (std::find(targets.begin(), targets.end(), target) != targets.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("labels.csv has no column \"", target, "\"; it has ",
             targets.empty() ? std::string("none") : absl::StrJoin(targets, ", ")));
}

absl::Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(Catalog catalog, OpenCatalog(arguments));
  RETURN_IF_ERROR(CheckTarget(catalog, arguments.options.target));
  ASSIGN_OR_RETURN(const auto reader,
                   SandboxedReader::Create({.workers = arguments.options.threads}));
  absl::StatusOr<metrics::Description> description;
  {
    TerminalProgress progress;
    description = Describe(catalog, *reader, arguments.options, progress);
  }
  RETURN_IF_ERROR(description.status());
  const metrics::ShownDescription shown = metrics::ShowAll(*description, arguments.options.target);
  if (!arguments.html.empty()) {
    RETURN_IF_ERROR(WriteFileDurably(
        arguments.html,
        report::DescriptionPage(shown, "What this site's images are",
                                {"For this site only: small counts are not suppressed."}),
        0644));
  }
  const std::string text = arguments.json ? metrics::ToJson(shown) + "\n"
                                          : metrics::ToText(shown, isatty(STDOUT_FILENO) != 0);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

}  // namespace

std::function<absl::Status()> AddDescribeCommand(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();  // shared: with the function that is given
  CLI::App* command = app.add_subcommand(
      "describe", "What the indexed images are: patients, sex, age, scanners, labels, intensities");
  auto* state =
      command->add_option("--state", arguments->state, "The site's state folder: its catalog.db");
  auto* catalog = command->add_option("--catalog", arguments->catalog, "The catalog file itself");
  state->excludes(catalog);
  command->add_option("--target", arguments->options.target,
                      "A column of labels.csv, whose balance to show");
  command->add_option("--images", arguments->options.images_per_modality,
                      "Images to read for each modality's histogram (default: 100; 0: none)");
  command->add_option("--html", arguments->html, "Write a page with plots, too");
  command->add_option("--threads", arguments->options.threads, "Default: one for each processor");
  command->add_flag("--json", arguments->json, "The counts as JSON");
  command->callback([arguments] {
    if (arguments->state.empty() && arguments->catalog.empty()) {
      throw CLI::ValidationError("one of --state and --catalog is needed");
    }
  });
  return [arguments] { return Run(*arguments); };
}

}  // namespace consilium::datasets::description

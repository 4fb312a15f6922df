// consilium-dataset: indexes a site's images, imports research sets, draws phantoms.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/version.h"
#include "datasets/audio/command.h"
#include "datasets/deidentification/command.h"
#include "datasets/description/command.h"
#include "datasets/explain/command.h"
#include "datasets/import.h"
#include "datasets/index_report.h"
#include "datasets/pacs/commands.h"
#include "datasets/parallel.h"
#include "datasets/synthetic/command.h"
#include "datasets/tables/command.h"
#include "datasets/volumes/command.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::datasets {
namespace {

constexpr char kExamples[] = R"(Examples:
  Phantoms of a hospital, then the index of them:
    consilium-dataset synthesize --out north --hospital north --patients 320 --seed 1
    consilium-dataset index north --state state/north
  A research set in PNG, one hospital's share of it, second channel (FLAIR):
    consilium-dataset import --from lgg --labels lgg/index.csv --image-column image --label-column has_tumour \
      --patient-column patient --filter site=CS --channel 1 --modality MR --target tumour --out cs
  NIfTI volumes, the middle slice of each; a measurement above 50 counts as positive:
    consilium-dataset import --from volumes --labels table.csv --image-column file --label-column volume_ml \
      --label-threshold 50 --modality MR --target large --out volumes-dicom
  The first set in colour, its channels being three sequences, with the tumours drawn on it as SEG objects:
    consilium-dataset import --from lgg --labels lgg/index.csv --image-column image --label-column has_tumour \
      --patient-column patient --filter site=CS --colour --modality MR --target has_tumour \
      --mask-column mask --segment tumour --out cs-masks
Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 cannot be reached, 4 refused, 130 interrupted)";

struct IndexArguments {
  fs::path folder, state, catalog, policy;
  IndexOptions options;
  bool json = false, all = false;
};

// The one that is named, else the site's, else the default.
absl::StatusOr<IndexPolicy> PolicyFor(const IndexArguments& arguments) {
  if (!arguments.policy.empty()) return LoadIndexPolicy(arguments.policy);
  const fs::path of_site = arguments.state / "policy.toml";
  if (!arguments.state.empty() && Exists(of_site)) return LoadIndexPolicy(of_site);
  return IndexPolicy{};
}

absl::Status RunIndex(const IndexArguments& arguments) {
  fs::path file = arguments.catalog;
  if (file.empty()) {
    RETURN_IF_ERROR(EnsureFolder(arguments.state));
    file = arguments.state / "catalog.db";
  }
  IndexOptions options = arguments.options;
  ASSIGN_OR_RETURN(options.policy, PolicyFor(arguments));
  ASSIGN_OR_RETURN(const auto reader, SandboxedReader::Create({.workers = options.threads}));
  ASSIGN_OR_RETURN(Catalog catalog, Catalog::Open(file));
  absl::StatusOr<IndexReport> report;
  {
    TerminalProgress progress;
    report = catalog.Index(arguments.folder, options, *reader, progress);
  }
  RETURN_IF_ERROR(report.status());
  const std::string text = arguments.json ? ToJson(*report) + "\n" : ToText(*report, arguments.all);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status RunImport(const ImportOptions& options, bool json) {
  absl::StatusOr<ImportReport> report;
  {
    TerminalProgress progress;
    report = ImportImages(options, progress);
  }
  RETURN_IF_ERROR(report.status());
  if (json) {
    const nlohmann::json out = {{"images", report->images},
                                {"patients", report->patients},
                                {"positives", report->positives},
                                {"masks", report->masks},
                                {"without_label", report->without_label},
                                {"without_image", report->without_image},
                                {"without_mask", report->without_mask}};
    std::puts(out.dump(2).c_str());
  } else {
    std::puts(StrCat(report->images, " images of ", report->patients, " patients imported, ",
                     report->positives, " positive, ", report->masks, " with a mask; ",
                     report->without_label, " rows without a label left out",
                     options.volumes
                         ? StrCat("; ", report->without_image, " without their image left out, ",
                                  report->without_mask, " without their mask")
                         : "")
                  .c_str());
  }
  return absl::OkStatus();
}

void AddIndex(CLI::App& app, IndexArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "index",
      "Read a folder tree of DICOM into a site's catalog; only what changed is read again");
  command->add_option("folder", arguments.folder, "Folder with DICOM files")->required();
  auto* state =
      command->add_option("--state", arguments.state, "The site's state folder: its catalog.db");
  auto* catalog = command->add_option("--catalog", arguments.catalog, "The catalog file itself");
  state->excludes(catalog);
  command->add_option("--labels", arguments.options.labels, "Labels (default: FOLDER/labels.csv)");
  command->add_option("--policy", arguments.policy,
                      "What may enter: [deidentification] of this file (default: "
                      "STATE/policy.toml)");
  command->add_option("--threads", arguments.options.threads, "Default: one for each processor");
  command->add_flag("--all", arguments.all, "List every refused file");
  command->add_flag("--json", arguments.json, "The report as JSON");
  command->callback([&arguments] {
    if (arguments.state.empty() && arguments.catalog.empty()) {
      throw CLI::ValidationError("one of --state and --catalog is needed");
    }
  });
}

struct ImportArguments {
  ImportOptions options;
  std::vector<std::string> filters;
  bool json = false;
  double threshold = 0;
};

void AddImport(CLI::App& app, ImportArguments& arguments) {
  ImportOptions& options = arguments.options;
  CLI::App* command =
      app.add_subcommand("import", "Make DICOM and labels.csv of PNG, JPEG or NIfTI and a table");
  command->add_option("--from", options.from, "Folder that the image paths start from")->required();
  command->add_option("--labels", options.table, "The table (CSV), one row an image")->required();
  command->add_option("--image-column", options.image_column, "Column with the image's path")
      ->required();
  command->add_option("--label-column", options.label_column,
                      "Column with 0 and 1, or words (volumes may have none)");
  command->add_option("--patient-column", options.patient_column,
                      "Column with the patient (default: each image its own)");
  command->add_option("--filter", arguments.filters,
                      "COLUMN=VALUE: only such rows; may be repeated");
  auto* threshold = command->add_option("--label-threshold", arguments.threshold,
                                        "The label is 1 where the column is above this");
  command->add_flag("--label-words", options.label_words, "The labels are words, kept as they are")
      ->excludes(threshold);
  command->add_option("--modality", options.modality, "MR, CT, CR, DX, MG, US or OP")->required();
  command->add_option("--target", options.target, "Name of the target (default: label)");
  auto* channel = command->add_option("--channel", options.plane.channel,
                                      "Of colour images, from 0 (default: luminance)");
  command->add_flag("--colour", options.plane.colour, "Keep all three channels of colour images")
      ->excludes(channel);
  command->add_option("--mask-column", options.mask_column,
                      "Column with the path of each image's mask (PNG or NIfTI)");
  command->add_option("--segment", options.segments,
                      "What the masks show; repeated, for masks of values 1, 2 ...");
  command->add_option("--spacing-mm", options.spacing_mm,
                      "Of pixels, where the image's file does not say it");
  command->add_option("--slice", options.plane.slice, "Of volumes, from 0 (default: the middle)");
  command->add_flag("--volumes", options.volumes, "Whole NIfTI volumes: each becomes a series");
  command
      ->add_option("--slices", options.slices,
                   "Of volumes, the slices' plane: axial, coronal, sagittal (default: the file's)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, SlicePlane>{{"axial", SlicePlane::kAxial},
                                            {"coronal", SlicePlane::kCoronal},
                                            {"sagittal", SlicePlane::kSagittal}}));
  command->add_option("--out", options.out, "New folder")->required();
  command->add_option("--threads", options.threads, "Default: one for each processor");
  command->add_flag("--json", arguments.json, "The counts as JSON");
  command->callback([&arguments, threshold] {
    arguments.options.has_threshold = threshold->count() > 0;
    arguments.options.label_threshold = arguments.threshold;
    for (const std::string& filter : arguments.filters) {
      const auto equals = filter.find('=');
      if (equals == 0 || equals == std::string::npos) {
        throw CLI::ValidationError("--filter", "\"" + filter + "\" is not COLUMN=VALUE");
      }
      arguments.options.filters.push_back({filter.substr(0, equals), filter.substr(equals + 1)});
    }
  });
}

int Main(int argc, char** argv) {
  CLI::App app("Datasets of DICOM images: fetched, indexed, de-identified, imported or drawn");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(kVersion));
  app.footer(kExamples);
  IndexArguments index;
  ImportArguments import;
  deidentification::Command deidentify;
  AddIndex(app, index);
  AddImport(app, import);
  synthetic::Command synthesize;
  synthesize.AddTo(app);
  const auto run_volumes = volumes::AddVolumesCommand(app);
  const auto run_table = tables::AddTableCommand(app);
  const auto run_audio = audio::AddAudioCommand(app);
  deidentify.AddTo(app);
  const auto run_describe = description::AddDescribeCommand(app);
  explain::Command explain;
  explain.AddTo(app);
  pacs::Commands pacs_commands;
  pacs_commands.AddTo(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  if (const auto done = pacs_commands.Run(app)) return ReportAndExitCode(*done);
  if (app.got_subcommand("table")) return ReportAndExitCode(run_table());
  if (app.got_subcommand("audio")) return ReportAndExitCode(run_audio());
  if (app.got_subcommand("volumes")) return ReportAndExitCode(run_volumes());
  if (app.got_subcommand("index")) return ReportAndExitCode(RunIndex(index));
  if (app.got_subcommand("describe")) return ReportAndExitCode(run_describe());
  if (app.got_subcommand("explain")) return ReportAndExitCode(explain.Run());
  if (app.got_subcommand("deidentify")) return ReportAndExitCode(deidentify.Run());
  if (app.got_subcommand("import"))
    return ReportAndExitCode(RunImport(import.options, import.json));
  return ReportAndExitCode(synthesize.Run());
}

}  // namespace
}  // namespace consilium::datasets

int main(int argc, char** argv) {
  consilium::datasets::KeepFreedMemory();
  return consilium::datasets::Main(argc, argv);
}

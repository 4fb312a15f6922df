#include "datasets/explain/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "datasets/explain/contact_sheet.h"
#include "datasets/explain/explanation.h"
#include "datasets/explain/operation.h"
#include "datasets/explain/reasons.h"
#include "datasets/explain/volume_explanation.h"
#include "datasets/requirements.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::datasets::explain {

struct Command::Arguments {
  fs::path file, plan, out;
  std::string preset;
  std::uint32_t image_size = 0;
  std::vector<fs::path> masks;
  bool json = false;
};

namespace {

// All that is told of one file.
struct Account {
  OrRefused<dicom::Header> header = Refused{};
  plan::Preprocessing preprocessing;
  std::string chosen_by;  // "the modality MG"
  Explanation explanation;
  std::optional<Refused> refused;  // by the reader of headers, the plan or the pipeline
  std::size_t files = 1;           // of a series
  // The plan's structures at the pixels of the last step; empty where none were asked for.
  Bytes structures;
};

std::string Words(const Refused& refused) {
  std::string words(Phrase(refused.reason));
  if (!refused.detail.empty()) StrAppend(&words, ": ", refused.detail);
  return words;
}

std::string Verdict(const Account& account) {
  if (account.refused) return StrCat("refused: ", Words(*account.refused));
  std::string verdict = "accepted";
  if (account.preprocessing.standardize) {
    verdict += "; on reading, each input's mean is subtracted and it is divided by its deviation";
  }
  if (account.header.ok() && account.header->burned_in) {
    verdict +=
        "; the file declares burned-in text, which a site refuses unless its policy "
        "accepts it";
  }
  return verdict;
}

// Modalities are code strings that the reader has checked; all else in this line is ours.
std::string FileLine(const dicom::Header& header, std::size_t files) {
  std::string line = StrCat(header.modality, ", ", header.columns, " x ", header.rows, " pixels");
  if (header.frames > 1) StrAppend(&line, ", ", header.frames, " frames");
  if (files > 1) StrAppend(&line, ", ", files, " files");
  StrAppend(&line, ", ", dicom::Name(header.photometric), ", ",
            dicom::Name(header.transfer_syntax));
  return line;
}

std::string ToText(const Account& account) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& what) {
    if (!what.empty()) absl::StrAppendFormat(&text, "%-18s %s\n", std::string(name), what);
  };
  if (account.header.ok()) line("file", FileLine(*account.header, account.files));
  line("preset", StrCat(plan::Name(account.preprocessing.preset), ", by ", account.chosen_by));
  int number = 0;
  for (const Step& step : account.explanation.steps) {
    line(StrCat(++number, " ", step.name), step.what);
    line("", absl::StrFormat("%d x %d; %.5g to %.5g, mean %.5g", step.columns, step.rows,
                             step.least, step.most, step.mean));
    const std::string reason = Reason(step.name, account.preprocessing);
    if (!reason.empty()) line("", StrCat("why: ", reason));
  }
  line("result", Verdict(account));
  return text;
}

std::string ToJson(const Account& account) {
  nlohmann::ordered_json out;
  if (account.header.ok()) {
    const dicom::Header& header = *account.header;
    out["file"] = {{"modality", header.modality},
                   {"columns", header.columns},
                   {"rows", header.rows},
                   {"frames", header.frames},
                   {"files", account.files},
                   {"photometric", dicom::Name(header.photometric)},
                   {"transfer_syntax", dicom::Name(header.transfer_syntax)}};
  }
  out["preset"] = plan::Name(account.preprocessing.preset);
  out["steps"] = nlohmann::json::array();
  for (const Step& step : account.explanation.steps) {
    out["steps"].push_back({{"name", step.name},
                            {"what", step.what},
                            {"why", Reason(step.name, account.preprocessing)},
                            {"columns", step.columns},
                            {"rows", step.rows},
                            {"least", step.least},
                            {"most", step.most},
                            {"mean", step.mean},
                            {"shown_black", step.low},
                            {"shown_white", step.high},
                            {"histogram", step.histogram}});
  }
  out["accepted"] = !account.refused.has_value();
  if (account.refused) {
    out["refused"] = {{"reason", Name(account.refused->reason)},
                      {"detail", account.refused->detail}};
  }
  return out.dump(2);
}

// The worker's account of the pipeline, or why there is none.
OrRefused<Explanation> AskWorker(worker::WorkerPool& pool, const fs::path& file,
                                 const plan::Preprocessing& preprocessing) {
  const auto result =
      pool.Call(kExplain, worker::Encode(preprocessing), {&file, 1}, kLargestMessage);
  if (!result.ok()) return result.refused();
  auto explanation = Decode(*result);
  if (!explanation) return Refused{Refusal::kCrashedReader, "it said what cannot be of any image"};
  return *std::move(explanation);
}

// Looks at the file as training would: its header, what the plan asks of it, the pipeline. What
// comes after a refusal is shown as far as it goes.
Account Examine(worker::WorkerPool& pool, const fs::path& file,
                const std::optional<plan::Plan>& plan, plan::Preprocessing preprocessing,
                std::string chosen_by) {
  Account account;
  SandboxedReader reader(pool);
  account.header = std::move(reader.ReadHeaders({&file, 1}).front());
  if (!account.header.ok()) account.refused = account.header.refused();
  if (chosen_by.empty()) {
    const std::string modality = account.header.ok() ? account.header->modality : "";
    preprocessing = plan::DefaultsOf(PresetFor(modality), preprocessing.image_size);
    chosen_by = account.header.ok() ? StrCat("the modality ", modality) : "default";
  }
  account.preprocessing = preprocessing;
  account.chosen_by = std::move(chosen_by);
  if (account.header.ok() && plan) {
    account.refused = Unwanted(*account.header, plan->data, preprocessing);
  }
  auto explanation = AskWorker(pool, file, preprocessing);
  const std::optional<Refused> late =
      explanation.ok() ? explanation->refused : std::optional(explanation.refused());
  if (explanation.ok()) account.explanation = *std::move(explanation);
  if (!account.refused) account.refused = late;
  return account;
}

// The structures of the plan on the input.
absl::StatusOr<PlacedMask> ReadMask(worker::WorkerPool& pool, const fs::path& file,
                                    const std::vector<fs::path>& masks, const plan::Plan& plan,
                                    const plan::Preprocessing& preprocessing) {
  if (!TaughtByMasks(plan.target.task)) {
    return absl::InvalidArgumentError(StrCat("--mask has no effect: the plan's target is ",
                                             Name(plan.target.task), ", which has no structures"));
  }
  std::vector<fs::path> files = {file};
  files.insert(files.end(), masks.begin(), masks.end());
  SandboxedReader reader(pool);
  auto mask = reader.ReadMask(files, plan.target.classes, preprocessing);
  if (!mask.ok()) {
    return absl::FailedPreconditionError(
        StrCat("the segmentation cannot be used: ", Words(mask.refused())));
  }
  return *std::move(mask);
}

// The same of a series, which is the plan's example.
absl::StatusOr<Account> ExamineSeries(worker::WorkerPool& pool, const fs::path& path,
                                      const std::vector<fs::path>& masks, const plan::Plan& plan) {
  ASSIGN_OR_RETURN(const SeriesFiles series, FindSeries(pool, path, plan));
  VolumeExplanation made = ExplainVolume(pool, series.files, masks, plan);
  Account account;
  account.header = series.header;
  account.files = series.files.size();
  account.preprocessing = plan.preprocessing;
  account.chosen_by = StrCat("the plan ", plan.name);
  account.refused = made.explanation.refused;
  account.explanation = std::move(made.explanation);
  account.structures = std::move(made.structures);
  return account;
}

const std::map<std::string, plan::Preset>& Presets() {
  static const auto* const presets = [] {
    auto* map = new std::map<std::string, plan::Preset>();
    for (int i = 0; i <= static_cast<int>(plan::Preset::kPet); ++i) {
      const auto preset = static_cast<plan::Preset>(i);
      map->emplace(plan::Name(preset), preset);
    }
    return map;
  }();
  return *presets;
}

}  // namespace

Command::Command() : arguments_(std::make_unique<Arguments>()) {}
Command::~Command() = default;

void Command::AddTo(CLI::App& app) {
  Arguments& arguments = *arguments_;
  CLI::App* command = app.add_subcommand(
      "explain", "Say step by step what the pipeline does with one image or series, and show it");
  command
      ->add_option("file", arguments.file,
                   "A DICOM file; with a plan of volumes the folder of a series")
      ->required();
  auto* plan = command->add_option("--plan", arguments.plan,
                                   "The plan that says how (default: the modality's preset)");
  std::vector<std::string> names;
  for (const auto& [name, preset] : Presets()) names.push_back(name);
  command->add_option("--preset", arguments.preset, "A preset of plans instead")
      ->check(CLI::IsMember(names))
      ->excludes(plan);
  command
      ->add_option("--image-size", arguments.image_size,
                   "Of the input (default: the plan's, or 128)")
      ->check(CLI::Range(16, 1024));
  command
      ->add_option(
          "--mask", arguments.masks,
          "DICOM segmentations of the image or series: outline the plan's structures on the input")
      ->needs(plan);
  command->add_option("--out", arguments.out, "Write a contact sheet of the steps: a PNG file");
  command->add_flag("--json", arguments.json, "The steps as JSON");
}

absl::Status Command::Run() {
  const Arguments& arguments = *arguments_;
  if (!Exists(arguments.file)) {
    return absl::NotFoundError("there is no such file; name a DICOM file");
  }
  constexpr std::uint32_t kDefaultSize = 128;
  std::optional<plan::Plan> plan;
  plan::Preprocessing preprocessing;
  preprocessing.image_size = kDefaultSize;
  std::string chosen_by;
  if (!arguments.plan.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(arguments.plan));
    ASSIGN_OR_RETURN(plan, plan::ParsePlan(text));
    preprocessing = plan->preprocessing;
    chosen_by = StrCat("the plan ", plan->name);
  } else if (!arguments.preset.empty()) {
    preprocessing = plan::DefaultsOf(Presets().at(arguments.preset), kDefaultSize);
    chosen_by = "--preset";
  }
  if (arguments.image_size > 0) preprocessing.image_size = arguments.image_size;
  worker::PoolOptions options;
  options.workers = 1;
  ASSIGN_OR_RETURN(const auto pool, worker::WorkerPool::Create(options));
  Account account;
  if (plan && plan->preprocessing.slices > 0) {
    plan->preprocessing = preprocessing;
    ASSIGN_OR_RETURN(account, ExamineSeries(*pool, arguments.file, arguments.masks, *plan));
  } else {
    if (ListFolder(arguments.file).ok()) {
      return absl::InvalidArgumentError(
          "a folder is explained as a series by a plan of volumes: give --plan, or name a file");
    }
    account = Examine(*pool, arguments.file, plan, preprocessing, std::move(chosen_by));
    if (!arguments.masks.empty()) {
      ASSIGN_OR_RETURN(PlacedMask mask,
                       ReadMask(*pool, arguments.file, arguments.masks, *plan, preprocessing));
      account.structures = std::move(mask.structures);
    }
  }
  const std::string text = arguments.json ? ToJson(account) + "\n" : ToText(account);
  std::fputs(text.c_str(), stdout);
  if (!arguments.out.empty()) {
    const std::string title =
        StrCat("preset ", plan::Name(account.preprocessing.preset), ", input ",
               account.preprocessing.image_size, " x ", account.preprocessing.image_size);
    const Outlines outlines{account.structures,
                            plan ? plan->target.classes : std::vector<std::string>()};
    const bool drawn = !account.structures.empty() && !account.explanation.refused &&
                       !account.explanation.steps.empty();
    ASSIGN_OR_RETURN(const Bytes png,
                     ToPng(MakeContactSheet(title, account.explanation.steps, Verdict(account),
                                            drawn ? &outlines : nullptr)));
    RETURN_IF_ERROR(WriteFileDurably(arguments.out, AsText(png), 0644));
  }
  if (!account.refused) return absl::OkStatus();
  return absl::PermissionDeniedError(
      StrCat("the image would not be used: ", Words(*account.refused)));
}

}  // namespace consilium::datasets::explain

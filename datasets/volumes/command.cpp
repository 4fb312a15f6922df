#include "datasets/volumes/command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "datasets/volumes/sandboxed_instances.h"

namespace consilium::datasets::volumes {
namespace {

struct Arguments {
  fs::path folder;
  unsigned threads = 0;
  bool json = false, decode = false, refuse_tilt = false;
};

// A series' volume, or the whole series when it has none.
struct Line {
  std::size_t number = 0;  // of the series, from 1
  const Series* series = nullptr;
  std::optional<Stack> stack;
  std::optional<float> least, most;  // with --decode
  std::optional<Refused> refused;
};

std::string Rounded(double value, const char* format = "%.4g") {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// "axial", "coronal 12 degrees oblique".
std::string OrientationWords(const Grid& grid) {
  static constexpr std::string_view kPlanes[3] = {"sagittal", "coronal", "axial"};
  const Vec3 normal = grid.Normal();
  std::size_t axis = 0;
  for (std::size_t i = 1; i < 3; ++i) {
    if (std::abs(normal[i]) > std::abs(normal[axis])) axis = i;
  }
  Vec3 along{};
  along[axis] = normal[axis] < 0 ? -1 : 1;
  const double angle = AngleDegrees(normal, along);
  std::string words(kPlanes[axis]);
  if (angle > 0.5) StrAppend(&words, " ", Rounded(angle, "%.0f"), " degrees oblique");
  return words;
}

std::vector<Line> Examine(const FolderOfSeries& folder, const Arguments& arguments) {
  StackOptions options;
  if (arguments.refuse_tilt) options.tilt = StackOptions::Tilt::kRefuse;
  std::vector<Line> lines;
  for (std::size_t i = 0; i < folder.series.size(); ++i) {
    const Series& series = folder.series[i];
    auto stacks = FindStacks(series, options);
    if (!stacks.ok()) {
      lines.push_back({i + 1, &series, {}, {}, {}, stacks.refused()});
      continue;
    }
    for (Stack& stack : *stacks) {
      Line line{i + 1, &series, std::move(stack), {}, {}, {}};
      if (arguments.decode) {
        StackOptions as_it_lies = options;
        as_it_lies.tilt = StackOptions::Tilt::kKeep;
        const OrRefused<Volume> volume = LoadVolume(*line.stack, as_it_lies, 0);
        if (volume.ok()) {
          const auto [least, most] =
              std::minmax_element(volume->voxels.begin(), volume->voxels.end());
          line.least = *least;
          line.most = *most;
        } else {
          line.refused = volume.refused();
        }
      }
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

std::string SizeWords(const Grid& grid) {
  return StrCat(grid.size[0], "x", grid.size[1], "x", grid.size[2]);
}

std::string SpacingWords(const Grid& grid) {
  return StrCat(Rounded(grid.spacing_mm[0]), "x", Rounded(grid.spacing_mm[1]), "x",
                Rounded(grid.spacing_mm[2]));
}

std::string Remark(const Line& line) {
  if (line.refused) {
    return StrCat(Phrase(line.refused->reason), line.refused->detail.empty() ? "" : ": ",
                  line.refused->detail);
  }
  std::string remark = line.stack->what;
  const auto add = [&](const std::string& words) {
    StrAppend(&remark, remark.empty() ? "" : "; ", words);
  };
  if (line.stack->tilted) {
    add(StrCat("tilted by ", Rounded(line.stack->grid.TiltDegrees()),
               " degrees, to be straightened"));
  }
  if (line.least) add(StrCat("values ", Rounded(*line.least), " to ", Rounded(*line.most)));
  if (line.series->pet) {
    const auto factor = SuvBodyWeightFactor(*line.series->pet);
    add(factor.ok() ? StrCat("SUV factor ", Rounded(*factor))
                    : StrCat("no SUV: ", factor.refused().detail));
  }
  return remark;
}

std::string ToText(const FolderOfSeries& folder, const std::vector<Line>& lines) {
  TextTable table(
      {"series", "modality", "slices", "volume", "spacing mm", "orientation", "remark", "file"});
  std::size_t accepted = 0;
  for (const Line& line : lines) {
    const bool has_grid = line.stack && !line.refused;
    accepted += has_grid;
    const std::size_t slices = line.stack ? line.stack->slices.size() : line.series->slices.size();
    table.AddRow({StrCat(line.number), line.series->modality, StrCat(slices),
                  has_grid ? SizeWords(line.stack->grid) : "refused",
                  has_grid ? SpacingWords(line.stack->grid) : "-",
                  has_grid ? OrientationWords(line.stack->grid) : "-", Remark(line),
                  line.series->first_file});
  }
  std::string text = StrCat(folder.files, " files: ", folder.series.size(), " series, ", accepted,
                            " volumes accepted, ", lines.size() - accepted, " refused\n");
  if (!lines.empty()) StrAppend(&text, "\n", table.ToString());
  if (!folder.refused.empty()) {
    TextTable refused({"files in no series, because", "files"});
    for (const auto& [reason, count] : folder.refused) {
      refused.AddRow({std::string(Phrase(reason)), StrCat(count)});
    }
    StrAppend(&text, "\n", refused.ToString());
  }
  return text;
}

// File names need not be UTF-8.
std::string Dumped(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json ToJson(const Line& line) {
  nlohmann::json json = {{"series", line.number},
                         {"modality", line.series->modality},
                         {"file", line.series->first_file},
                         {"accepted", !line.refused.has_value()}};
  if (line.refused) {
    json["reason"] = Name(line.refused->reason);
    json["detail"] = line.refused->detail;
    json["slices"] = line.series->slices.size();
    return json;
  }
  const Grid& grid = line.stack->grid;
  json["slices"] = line.stack->slices.size();
  json["size"] = grid.size;
  json["spacing_mm"] = grid.spacing_mm;
  json["orientation"] = OrientationWords(grid);
  json["directions"] = grid.directions;
  json["origin_mm"] = grid.origin;
  json["tilt_degrees"] = line.stack->tilted ? grid.TiltDegrees() : 0.0;
  if (!line.stack->what.empty()) json["stack"] = line.stack->what;
  if (line.least) json["values"] = {*line.least, *line.most};
  if (line.series->pet) {
    const auto factor = SuvBodyWeightFactor(*line.series->pet);
    if (factor.ok()) {
      json["suv_factor"] = *factor;
    } else {
      json["no_suv_because"] = factor.refused().detail;
    }
  }
  return json;
}

std::string ToJson(const FolderOfSeries& folder, const std::vector<Line>& lines) {
  nlohmann::json refused = nlohmann::json::object();
  for (const auto& [reason, count] : folder.refused) refused[std::string(Name(reason))] = count;
  nlohmann::json volumes = nlohmann::json::array();
  for (const Line& line : lines) volumes.push_back(ToJson(line));
  return Dumped({{"files", folder.files},
                 {"series", folder.series.size()},
                 {"files_in_no_series", std::move(refused)},
                 {"volumes", std::move(volumes)}}) +
         "\n";
}

absl::Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto pool, worker::WorkerPool::Create({.workers = arguments.threads}));
  SandboxedInstances reader(*pool);
  absl::StatusOr<FolderOfSeries> folder;
  {
    TerminalProgress progress;
    folder = ReadFolder(arguments.folder, reader, arguments.threads, progress);
  }
  RETURN_IF_ERROR(folder.status());
  const std::vector<Line> lines = Examine(*folder, arguments);
  const std::string text = arguments.json ? ToJson(*folder, lines) : ToText(*folder, lines);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

std::function<absl::Status()> AddVolumesCommand(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();  // the options write to it, the runner reads it
  CLI::App* command = app.add_subcommand(
      "volumes", "List each series of a folder: the volume it makes, or why it makes none");
  command->add_option("folder", arguments->folder, "Folder with DICOM files")->required();
  command->add_flag("--decode", arguments->decode, "Decode the pixels too, and say their range");
  command->add_flag("--refuse-tilt", arguments->refuse_tilt, "Refuse tilted stacks");
  command->add_option("--threads", arguments->threads, "Default: one for each processor");
  command->add_flag("--json", arguments->json, "The list as JSON");
  return [arguments] { return Run(*arguments); };
}

}  // namespace consilium::datasets::volumes

#include "datasets/synthetic/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/status.h"
#include "datasets/synthetic/hospital.h"
#include "datasets/synthetic/phantom_hospital.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr char kChest[] = "chest";

}  // namespace

struct Command::Arguments {
  std::string kind = kChest, hospital, name;
  fs::path out;
  std::uint32_t patients = 320;
  std::uint64_t seed = 1;
  unsigned threads = 0;
  bool json = false, burned_in = false;
  Scanner scanner;
  std::optional<double> positive_fraction;
  const CLI::App* command = nullptr;

  absl::StatusOr<SynthesisReport> DrawChests(Progress& progress) const;
  absl::StatusOr<SynthesisReport> DrawPhantoms(Progress& progress) const;
  void AddScanner(CLI::App& app);
};

absl::StatusOr<SynthesisReport> Command::Arguments::DrawChests(Progress& progress) const {
  if (burned_in) {
    return absl::InvalidArgumentError("--burned-in is of ultrasound; add --kind us");
  }
  Hospital drawn{name, scanner};
  if (!hospital.empty()) {
    ASSIGN_OR_RETURN(drawn, Preset(hospital));
    if (!name.empty()) drawn.name = name;
  }
  if (drawn.name.empty()) drawn.name = "phantom";
  drawn.positive_fraction = positive_fraction.value_or(drawn.positive_fraction);
  return Synthesize(drawn, patients, seed, out, threads, progress);
}

absl::StatusOr<SynthesisReport> Command::Arguments::DrawPhantoms(Progress& progress) const {
  ASSIGN_OR_RETURN(const PhantomKind phantom, PhantomKindNamed(kind));
  if (burned_in && phantom != PhantomKind::kUltrasound) {
    return absl::InvalidArgumentError("--burned-in is of ultrasound; add --kind us");
  }
  for (const CLI::Option* option : command->get_options()) {
    if (option->get_group() == "Scanner of chests" && option->count() > 0) {
      return absl::InvalidArgumentError(
          StrCat(option->get_name(), " describes a scanner of chests; choose a --hospital"));
    }
  }
  ASSIGN_OR_RETURN(PhantomHospital drawn,
                   PhantomPreset(phantom, hospital.empty() ? "north" : hospital));
  if (!name.empty()) drawn.name = name;
  drawn.positive_fraction = positive_fraction.value_or(drawn.positive_fraction);
  drawn.burned_in = burned_in;
  return SynthesizePhantoms(drawn, patients, seed, out, threads, progress);
}

void Command::Arguments::AddScanner(CLI::App& app) {
  using dicom::TransferSyntax;
  static const std::map<std::string, TransferSyntax> kSyntaxes = {
      {"implicit", TransferSyntax::kImplicitLittleEndian},
      {"explicit", TransferSyntax::kExplicitLittleEndian},
      {"big-endian", TransferSyntax::kExplicitBigEndian},
      {"deflated", TransferSyntax::kDeflated},
      {"rle", TransferSyntax::kRle},
      {"jpeg-lossless", TransferSyntax::kJpegLosslessSv1},
      {"jpeg-ls", TransferSyntax::kJpegLsLossless}};
  CLI::Option* const preset = app.get_option("--hospital");
  const auto own = [&](CLI::Option* option) {
    option->excludes(preset)->group("Scanner of chests");
  };
  own(app.add_option("--modality", scanner.modality, "DX or CR")
          ->check(CLI::IsMember({"DX", "CR"})));
  own(app.add_option("--rows", scanner.rows)->check(CLI::Range(32, 8192)));
  own(app.add_option("--columns", scanner.columns)->check(CLI::Range(32, 8192)));
  own(app.add_option("--spacing-mm", scanner.spacing_mm)->check(CLI::PositiveNumber));
  own(app.add_option("--bits", scanner.bits_stored)->check(CLI::Range(8, 16)));
  own(app.add_flag("--signed", scanner.is_signed));
  own(app.add_flag("--monochrome1", scanner.monochrome1));
  own(app.add_option("--transfer-syntax", scanner.transfer_syntax)
          ->transform(CLI::CheckedTransformer(kSyntaxes)));
  own(app.add_option("--gamma", scanner.gamma)->check(CLI::PositiveNumber));
  own(app.add_option("--contrast", scanner.contrast)->check(CLI::Range(0.0, 1.0)));
  own(app.add_option("--exposure", scanner.exposure)->check(CLI::PositiveNumber));
  own(app.add_option("--noise", scanner.noise)->check(CLI::Range(0.0, 1.0)));
  own(app.add_option("--blur-mm", scanner.blur_mm)->check(CLI::Range(0.0, 50.0)));
  own(app.add_option("--collimation-mm", scanner.collimation_mm)->check(CLI::Range(0.0, 100.0)));
}

Command::Command() : arguments_(std::make_unique<Arguments>()) {}
Command::~Command() = default;

void Command::AddTo(CLI::App& app) {
  Arguments& arguments = *arguments_;
  CLI::App* command =
      app.add_subcommand("synthesize", "Draw a hospital of phantoms, with and without a finding");
  arguments.command = command;
  std::vector<std::string> kinds = PhantomKindNames();
  kinds.insert(kinds.begin(), kChest);
  command->add_option("--out", arguments.out, "New folder")->required();
  command
      ->add_option("--kind", arguments.kind,
                   "What of: chest radiographs (default), CT, MR, ultrasound loops, mammograms, "
                   "retinas, PET, PET with CT")
      ->check(CLI::IsMember(kinds));
  command->add_option("--hospital", arguments.hospital,
                      "north, south or east, each with a machine of its own (default: north; of "
                      "chests, a scanner that you describe)");
  command->add_option("--name", arguments.name, "Begins the patient IDs");
  command->add_option("--patients", arguments.patients, "Default: 320")
      ->check(CLI::Range(1, 1'000'000));
  command
      ->add_option("--positive-fraction", arguments.positive_fraction,
                   "The share of patients with the finding")
      ->check(CLI::Range(0.0, 1.0));
  command->add_flag("--burned-in", arguments.burned_in,
                    "The patient's ID stands in the pixels of ultrasound");
  command->add_option("--seed", arguments.seed, "The same seed gives the same bytes (default: 1)");
  command->add_option("--threads", arguments.threads, "Default: one for each processor");
  command->add_flag("--json", arguments.json, "The counts as JSON");
  arguments.AddScanner(*command);
}

absl::Status Command::Run() {
  const Arguments& arguments = *arguments_;
  absl::StatusOr<SynthesisReport> report;
  {
    TerminalProgress progress;
    report = arguments.kind == kChest ? arguments.DrawChests(progress)
                                      : arguments.DrawPhantoms(progress);
  }
  RETURN_IF_ERROR(report.status());
  if (arguments.json) {
    const nlohmann::json out = {{"patients", report->patients},
                                {"positives", report->positives},
                                {"images", report->images}};
    std::puts(out.dump(2).c_str());
    return absl::OkStatus();
  }
  const std::string finding = arguments.kind == kChest
                                  ? "opacity"
                                  : std::string(Finding(*PhantomKindNamed(arguments.kind)));
  std::puts(StrCat(report->images, " images of ", report->patients, " patients, ",
                   report->positives, " patients with the finding \"", finding, "\"")
                .c_str());
  return absl::OkStatus();
}

}  // namespace consilium::datasets::synthetic

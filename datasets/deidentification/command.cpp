#include "datasets/deidentification/command.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <map>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "datasets/deidentification/folder.h"
#include "datasets/deidentification/sandboxed_cleaner.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr char kExamples[] = R"(Examples:
  For research within the hospital: dates moved, ages and sex kept, descriptions cleaned:
    consilium-dataset deidentify scans scans-deidentified --key state/pseudonym.key \
      --retain-modified-dates --retain-patient-characteristics --clean-descriptors
  Head CT and MR with the face removed; ultrasound with the screen around it blanked:
    consilium-dataset deidentify scans out --key state/pseudonym.key --faces clean --burned-in clean
  What would be quarantined, and why, by file name:
    consilium-dataset deidentify scans out --key state/pseudonym.key --all
The same key gives the same pseudonyms, UIDs and dates again: keep it as you keep the patients' data.
An interrupted run goes on when it is started again; nothing that is there is overwritten.
Exit codes: 0 done (also with files quarantined: see the summary), 1 failed, 2 the input is wrong,
4 refused, 130 interrupted)";

// "X,Y,WIDTH,HEIGHT"
bool ParseRectangle(const std::string& text, Rectangle* rectangle) {
  std::uint32_t* const parts[] = {&rectangle->x, &rectangle->y, &rectangle->width,
                                  &rectangle->height};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at == end || *at++ != ',')) return false;
    const auto [next, error] = std::from_chars(at, end, *parts[i]);
    if (error != std::errc()) return false;
    at = next;
  }
  return at == end && rectangle->width > 0 && rectangle->height > 0;
}

}  // namespace

struct Command::Arguments {
  fs::path in, out, key;
  DeidentificationOptions options;
  std::vector<std::string> blank;
  bool keep_old_ages = false, json = false, all = false;
  unsigned threads = 0;
};

Command::Command() : arguments_(std::make_unique<Arguments>()) {}
Command::~Command() = default;

void Command::AddTo(CLI::App& app) {
  static const std::map<std::string, OnRisk> kChoices = {
      {"quarantine", OnRisk::kQuarantine}, {"clean", OnRisk::kClean}, {"accept", OnRisk::kAccept}};
  Arguments& a = *arguments_;
  ProfileOptions& profile = a.options.profile;
  CLI::App* command = app.add_subcommand(
      "deidentify",
      "Write de-identified copies of DICOM files (PS3.15 Annex E, Basic Profile and options)");
  command->footer(kExamples);
  command->add_option("in", a.in, "A DICOM file, or a folder of them")->required();
  command->add_option("out", a.out, "New folder, or that of an interrupted run")->required();
  command->add_option("--key", a.key, "The site's key for pseudonyms; made when it is not there")
      ->required();
  const auto option = [&](const char* name, bool& chosen, const char* help) {
    return command->add_flag(name, chosen, help)->group("Options of the profile");
  };
  option("--clean-graphics", profile.clean_graphics, "113103: keep annotations without their text");
  option("--clean-structured-content", profile.clean_structured_content,
         "113104: keep the content of reports, with texts cleaned and persons removed");
  option("--clean-descriptors", profile.clean_descriptors,
         "113105: keep descriptions, of known words only");
  auto* full = option("--retain-full-dates", profile.retain_full_dates, "113106");
  option("--retain-modified-dates", profile.retain_modified_dates,
         "113107: all dates of a patient moved by the same number of days")
      ->excludes(full);
  option("--retain-patient-characteristics", profile.retain_patient_characteristics,
         "113108: age, sex, size, weight ...");
  option("--retain-device-identity", profile.retain_device_identity, "113109");
  option("--retain-uids", profile.retain_uids, "113110");
  option("--retain-safe-private", profile.retain_safe_private,
         "113111: private attributes known to hold no identity (scaling, diffusion)");
  option("--retain-institution-identity", profile.retain_institution_identity, "113112");
  option("--keep-ages-over-89", a.keep_old_ages, "Do not write them as 90");
  const auto choice = [&](const char* name, OnRisk& chosen, const char* help) {
    command->add_option(name, chosen, help)
        ->transform(CLI::CheckedTransformer(kChoices))
        ->group("Pixels");
  };
  choice("--burned-in", a.options.pixels.burned_in,
         "Text in the pixels: quarantine (default), clean (113101), accept");
  command
      ->add_option("--blank", a.blank,
                   "X,Y,WIDTH,HEIGHT in pixels to blank when cleaning; may be repeated")
      ->group("Pixels");
  choice("--faces", a.options.pixels.faces,
         "Heads in CT, MR, PET: quarantine (default), clean (113102), accept");
  command->add_option("--threads", a.threads, "Default: one for each processor");
  command->add_flag("--all", a.all, "List every quarantined file by its name");
  command->add_flag("--json", a.json, "The summary as JSON");
  command->callback([&a] {
    a.options.profile.cap_ages = !a.keep_old_ages;
    for (const std::string& text : a.blank) {
      Rectangle rectangle;
      if (!ParseRectangle(text, &rectangle)) {
        throw CLI::ValidationError("--blank", "\"" + text + "\" is not X,Y,WIDTH,HEIGHT");
      }
      a.options.pixels.blank.push_back(rectangle);
    }
  });
}

absl::Status Command::Run() {
  const Arguments& a = *arguments_;
  bool made = false;
  ASSIGN_OR_RETURN(const crypto::Secret key, LoadOrMakeSiteKey(a.key, &made));
  if (made) {
    std::fputs(
        "A new key for pseudonyms was made. Whoever has it can link pseudonyms to patients; "
        "whoever loses it cannot map the same patients again.\n",
        stderr);
  }
  ASSIGN_OR_RETURN(Pseudonymiser pseudonymiser, Pseudonymiser::Create(key));
  ASSIGN_OR_RETURN(const Deidentifier deidentifier,
                   Deidentifier::Create(std::move(pseudonymiser), a.options));
  ASSIGN_OR_RETURN(
      const auto pool,
      worker::WorkerPool::Create({.workers = a.threads, .memory_bytes = kCleanerMemoryBytes}));
  SandboxedCleaner cleaner(*pool, key, a.options);
  absl::StatusOr<FolderReport> report;
  {
    TerminalProgress progress;
    report = DeidentifyFolder(deidentifier, cleaner, a.in, a.out, a.threads, progress);
  }
  RETURN_IF_ERROR(report.status());
  const std::string text = a.json ? ToJson(*report) + "\n" : ToText(*report, a.all);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace consilium::datasets::deidentification

#include "site_agent/follow_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/crypto/sha256.h"
#include "datasets/followup/measurement_report.h"
#include "datasets/pacs/send.h"
#include "site_agent/follow_page.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;
namespace followup = datasets::followup;
namespace pacs = datasets::pacs;

constexpr char kExamples[] = R"(Examples:
  One patient's studies in a folder (CT or MR, with DICOM segmentations of lesions):
    consilium-site follow 4711 --data images --html 4711.html
  All patients, and the reports to the archive:
    consilium-site follow all --data images --out follow-ups --send --archive pacs.example:11112 \
      --called PACS --calling CONSILIUM

For research use only: measurements and no diagnosis. What is written in --out and --html stays in
the hospital; nothing of it goes to a federation.)";

constexpr std::size_t kNameDigits = 16;

class FollowRun {
 public:
  explicit FollowRun(FollowCommand& command) : command_(command) {}

  absl::Status Run() {
    std::optional<std::string> id;
    if (command_.patient != "all") id = command_.patient;
    ASSIGN_OR_RETURN(const auto pool, datasets::worker::WorkerPool::Create(
                                          {.workers = static_cast<unsigned>(command_.threads)}));
    ASSIGN_OR_RETURN(folder_, followup::FindPatients(*pool, command_.data, id, progress_));
    if (folder_.patients.empty()) {
      return absl::NotFoundError(id ? "no CT or MR image in --data is of a patient with this ID"
                                    : "no CT or MR image in --data names its patient");
    }
    for (const followup::Patient& patient : folder_.patients) {
      RETURN_IF_ERROR(FollowOne(*pool, patient));
    }
    RETURN_IF_ERROR(WritePages(PageOf(followed_), command_.html, command_.markdown));
    if (command_.send) RETURN_IF_ERROR(Send());
    Show();
    if (id && !followed_.front().follow_up) {
      return absl::FailedPreconditionError(followed_.front().why_not);
    }
    return WhatTheArchiveRefused();
  }

 private:
  absl::Status FollowOne(datasets::worker::WorkerPool& pool, const followup::Patient& patient) {
    FollowedPatient followed;
    followed.number = static_cast<std::uint32_t>(followed_.size() + 1);
    auto result = followup::Follow(pool, patient, command_.options, progress_);
    if (absl::IsFailedPrecondition(result.status())) {
      followed.why_not = std::string(ToStd(result.status().message()));
    } else if (!result.ok()) {
      return result.status();
    } else {
      followed.follow_up = *std::move(result);
    }
    if (followed.follow_up && !command_.out.empty()) RETURN_IF_ERROR(Write(&followed));
    followed_.push_back(std::move(followed));
    return absl::OkStatus();
  }

  // The folder is named by an image, whose UID nobody guesses, and not by the patient's ID.
  absl::Status Write(FollowedPatient* followed) const {
    const auto& first = followed->follow_up->time_points.front().source.sop_instance_uid;
    const std::string name = crypto::Sha256(AsBytes(StrCat("follow-up ", first))).Hex();
    const fs::path folder = command_.out / name.substr(0, kNameDigits);
    followed->folder = folder.string();
    RETURN_IF_ERROR(EnsureFolder(folder));
    RETURN_IF_ERROR(datasets::results::WriteFollowUpReport(
        folder / "report.dcm", followup::ReportOf(*followed->follow_up), clock_.Now()));
    return WritePages(PageOf({*followed}), folder / "follow-up.html", folder / "follow-up.md");
  }

  static absl::Status WritePages(const report::Document& page, const fs::path& html,
                                 const fs::path& markdown) {
    if (!html.empty()) RETURN_IF_ERROR(WriteFileDurably(html, page.Html()));
    if (!markdown.empty()) RETURN_IF_ERROR(WriteFileDurably(markdown, page.Markdown()));
    return absl::OkStatus();
  }

  absl::Status Send() {
    sent_.emplace();
    if (!Exists(command_.out)) return absl::OkStatus();  // nobody could be followed
    const fs::path folder =
        command_.state.empty() ? command_.out / ".sent" : command_.state / "follow-ups";
    RETURN_IF_ERROR(EnsureFolder(folder));
    ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(folder));
    ASSIGN_OR_RETURN(pacs::SendJournal journal, pacs::SendJournal::Open(folder / "sent.db"));
    ASSIGN_OR_RETURN(const auto destination, pacs::OpenDestination(command_.archive, progress_));
    ASSIGN_OR_RETURN(*sent_, pacs::SendFiles(command_.out, *destination, journal, {}, progress_));
    return absl::OkStatus();
  }

  void Show() const {
    if (command_.json) {
      std::printf("%s\n", Json().dump(2).c_str());
      return;
    }
    for (const FollowedPatient& patient : followed_) {
      std::printf("%s\n", InWords(patient).c_str());
    }
    TextTable table({"files", "count"});
    table.AddRow({"read", StrCat(folder_.files)});
    if (folder_.other > 0) table.AddRow({"of other modalities", StrCat(folder_.other)});
    for (const auto& [reason, count] : folder_.refused) {
      table.AddRow({StrCat("refused: ", datasets::Phrase(reason)), StrCat(count)});
    }
    if (sent_) {
      table.AddRow({"reports sent", StrCat(sent_->sent)});
      for (const auto& [reason, count] : sent_->refused) {
        table.AddRow({StrCat("refused by the archive: ", reason), StrCat(count)});
      }
    }
    std::fputs(table.ToString().c_str(), stdout);
  }

  ordered_json Json() const {
    ordered_json json = {{"files", folder_.files},
                         {"other_modalities", folder_.other},
                         {"refused", ordered_json::object()},
                         {"patients", ordered_json::array()}};
    for (const auto& [reason, count] : folder_.refused) {
      json["refused"][std::string(datasets::Name(reason))] = count;
    }
    for (const FollowedPatient& patient : followed_) {
      json["patients"].push_back(ordered_json::parse(ToJsonText(patient)));
    }
    if (sent_) {
      json["sent"] = {
          {"sent", sent_->sent}, {"before", sent_->sent_before}, {"refused", sent_->refused}};
    }
    return json;
  }

  absl::Status WhatTheArchiveRefused() const {
    std::uint64_t refused = 0;
    if (sent_) {
      for (const auto& [reason, count] : sent_->refused) refused += count;
    }
    if (refused == 0) return absl::OkStatus();
    return absl::InternalError(
        StrCat("the archive refused ", refused, " reports; they are in --out"));
  }

  FollowCommand& command_;
  const SystemClock clock_;
  TerminalProgress progress_;
  followup::FolderOfPatients folder_;
  std::vector<FollowedPatient> followed_;
  std::optional<pacs::SendReport> sent_;
};

absl::Status Check(const FollowCommand& command) {
  if (command.patient.empty()) return absl::InvalidArgumentError("which patient? An ID, or all");
  if (command.send && command.archive.archive.empty()) {
    return absl::InvalidArgumentError("--send needs --archive: which one?");
  }
  if (command.send && command.out.empty()) {
    return absl::InvalidArgumentError("--send needs --out: reports are sent from there");
  }
  if (!command.send && !command.archive.archive.empty()) {
    return absl::InvalidArgumentError("--archive is for --send, which was not given");
  }
  return absl::OkStatus();
}

}  // namespace

void AddFollowOptions(CLI::App& command, FollowCommand& arguments) {
  command.footer(kExamples);
  command.add_option("patient", arguments.patient, "Patient ID as the images have it, or all")
      ->required();
  command
      .add_option("--data", arguments.data,
                  "Folder tree of DICOM files: CT or MR, and segmentations of lesions")
      ->required();
  command.add_option("--state", arguments.state,
                     "The site's folder, to remember what was sent; default: in --out");
  command.add_option("--out", arguments.out, "Folder for reports (DICOM SR) and pages");
  command.add_option("--html", arguments.html, "One page of all patients followed");
  command.add_option("--markdown", arguments.markdown, "The same as Markdown");
  command.add_option("--segment", arguments.options.segment,
                     "Label of the segments that are lesions; default: those that say so by code "
                     "or label");
  command
      .add_option("--smallest-ml", arguments.options.smallest_ml,
                  "Parts below this volume are specks and no lesions")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1000.0));
  command.add_flag("--send", arguments.send, "Send the reports to the archive");
  pacs::AddPeerOptions(command, arguments.archive, /*required=*/false);
  command.add_option("--threads", arguments.threads, "Workers that read files; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command.add_flag("--json", arguments.json, "Print JSON for scripts");
}

absl::Status Run(FollowCommand& command) {
  RETURN_IF_ERROR(Check(command));
  return FollowRun(command).Run();
}

}  // namespace consilium::site_agent

#include "datasets/pacs/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/status.h"
#include "datasets/pacs/archive_options.h"
#include "datasets/pacs/send.h"

namespace consilium::datasets::pacs {
namespace {

using Json = nlohmann::json;

constexpr char kPullExamples[] = R"(Examples:
  What would come, by C-FIND alone:
    consilium-dataset pull --archive pacs.example:11112 --called PACS --calling CONSILIUM \
      --modality CT --since 2024-01-01 --until 2024-12-31 --dry-run
  Fetch it with C-GET; the same command again goes on after any interruption:
    consilium-dataset pull --archive pacs.example:11112 --called PACS --calling CONSILIUM \
      --modality CT --since 2024-01-01 --until 2024-12-31 --out ct-2024
  With C-MOVE: the archive connects to this machine's port 11113, which its administrator registers
  with our AE title first:
    consilium-dataset pull --archive pacs.example:11112 --called PACS --calling CONSILIUM \
      --method move --listen-port 11113 --patients patients.txt --out cohort
  By DICOMweb:
    consilium-dataset pull --archive https://pacs.example/dicom-web --bearer-token token.txt \
      --accession A1234 --out one-study
Then: consilium-dataset index FOLDER --state STATE)";

constexpr char kSendExamples[] = R"(Examples:
    consilium-dataset send results --archive pacs.example:11112 --called PACS --calling CONSILIUM
    consilium-dataset send results --archive https://pacs.example/dicom-web --basic-auth login.txt
What the archive has acknowledged is not sent again (PATH/.sent.db, or --journal).)";

constexpr char kListenExamples[] = R"(Example:
    consilium-dataset listen --out incoming --ae-title CONSILIUM --port 11112 --allow-ae PACS \
      --allow-peer 10.1.2.3
Ends at Ctrl-C or SIGTERM, after the instances that are coming in.)";

struct SendArguments {
  PeerArguments peer;
  fs::path path, journal;
  bool json = false;
  SendOptions options;
};

Json ToJson(const PullReport& report, bool dry_run) {
  Json studies = Json::array();
  for (const PulledStudy& study : report.studies) {
    studies.push_back({{"date", study.date},
                       {"modalities", study.modalities},
                       {"series", study.series},
                       {"instances", study.instances},
                       {"present", study.present}});
  }
  return {{"dry_run", dry_run},        {"patients", report.patients},
          {"series", report.series},   {"instances", report.instances},
          {"present", report.present}, {"fetched", report.fetched},
          {"missing", report.missing}, {"missing_reason", report.missing_reason},
          {"bytes", report.bytes},     {"studies", studies}};
}

absl::Status RunPull(PullArguments& arguments) {
  absl::StatusOr<PullReport> report;
  {
    TerminalProgress progress;
    report = PullInto(arguments, progress);
  }
  RETURN_IF_ERROR(report.status());
  const bool dry_run = arguments.options.dry_run;
  const std::string text =
      arguments.json ? ToJson(*report, dry_run).dump(2) + "\n" : Describe(*report, dry_run);
  std::fputs(text.c_str(), stdout);
  return WhatIsMissing(*report);
}

absl::Status RunSend(const SendArguments& arguments) {
  fs::path file = arguments.journal;
  if (file.empty()) {
    const bool folder = ListFolder(arguments.path).ok();
    file = (folder ? arguments.path : arguments.path.parent_path()) / ".sent.db";
  }
  if (!Exists(arguments.path)) return absl::NotFoundError("there is nothing to send at that path");
  ASSIGN_OR_RETURN(SendJournal journal, SendJournal::Open(file));
  absl::StatusOr<SendReport> report;
  {
    TerminalProgress progress;
    ASSIGN_OR_RETURN(const std::unique_ptr<Destination> destination,
                     OpenDestination(arguments.peer, progress));
    report = SendFiles(arguments.path, *destination, journal, arguments.options, progress);
  }
  RETURN_IF_ERROR(report.status());
  std::uint64_t refused = 0;
  std::string reasons;
  for (const auto& [reason, count] : report->refused) {
    refused += count;
    StrAppend(&reasons, "\n  ", count, ": ", reason);
  }
  if (arguments.json) {
    const Json out = {{"files", report->files},     {"sent", report->sent},
                      {"bytes", report->bytes},     {"sent_before", report->sent_before},
                      {"refused", report->refused}, {"not_dicom", report->not_dicom}};
    std::puts(out.dump(2).c_str());
  } else {
    std::puts(StrCat(report->files, " DICOM files: ", report->sent, " sent (", report->bytes >> 20,
                     " MiB), ", report->sent_before, " sent before, ", refused, " refused; ",
                     report->not_dicom, " other files left out")
                  .c_str());
  }
  if (refused == 0) return absl::OkStatus();
  return absl::InternalError(StrCat("the archive refused ", refused, " files:", reasons));
}

void AddPull(CLI::App& app, PullArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "pull", "Fetch studies from a hospital's archive (PACS) into a folder; goes on where it was");
  command->footer(kPullExamples);
  AddPeerOptions(*command, arguments.peer, /*required=*/true);
  command->add_option("--out", arguments.out, "Folder that the images come into");
  command->add_option("--method", arguments.method, "DIMSE: get (C-GET, default) or move (C-MOVE)")
      ->check(CLI::IsMember({"get", "move"}));
  command->add_option("--listen-port", arguments.listen_port,
                      "C-MOVE: our port, as the archive knows it");
  command->add_option("--bind", arguments.listen_bind,
                      "C-MOVE: the address to listen on (default: all)");
  command->add_option("--allow-ae", arguments.allow_ae,
                      "C-MOVE: AE title that may send besides the archive's");
  AddQueryOptions(*command, arguments);
  command->add_flag("--dry-run", arguments.options.dry_run, "Say what would be fetched");
  command
      ->add_option("--attempts", arguments.options.attempts,
                   "At each study, when the archive fails (default: 4)")
      ->check(CLI::Range(1, 100));
  command->add_option("--max-instance-mb", arguments.max_instance_mb,
                      "Refuse instances over so many MiB (default: 4096)");
  command->add_flag("--json", arguments.json, "The report as JSON");
  command->callback([&arguments] {
    if (!arguments.peer.dicomweb() && arguments.method == "move" && arguments.listen_port == 0) {
      throw CLI::ValidationError("--method move needs --listen-port, which the archive must know");
    }
  });
}

void AddSend(CLI::App& app, SendArguments& arguments) {
  CLI::App* command =
      app.add_subcommand("send", "Send DICOM files to a hospital's archive (C-STORE or STOW-RS)");
  command->footer(kSendExamples);
  command->add_option("path", arguments.path, "A DICOM file, or a folder of them")->required();
  AddPeerOptions(*command, arguments.peer, /*required=*/true);
  command->add_option("--journal", arguments.journal, "Where it is kept what was acknowledged");
  command
      ->add_option("--attempts", arguments.options.attempts,
                   "At each file, when the archive fails (default: 5)")
      ->check(CLI::Range(1, 100));
  command->add_flag("--json", arguments.json, "The report as JSON");
}

}  // namespace

absl::Status RunListen(const ListenArguments& arguments, Progress& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<InstanceStore> store,
                   InstanceStore::Open(arguments.out, arguments.max_instance_bytes));
  ASSIGN_OR_RETURN(const std::unique_ptr<StorageListener> listener,
                   StorageListener::Start(arguments.options, *store));
  std::puts(StrCat("listening as ", arguments.options.ae_title, " on ", arguments.options.bind,
                   " port ", listener->port())
                .c_str());
  std::fflush(stdout);
  while (!progress.Cancelled()) {
    progress.Report("listening", store->arrived(), 0, "images arrived");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  listener->Stop();
  const ListenerCounts counts = listener->counts();
  if (arguments.json) {
    const Json out = {{"instances", store->arrived()},
                      {"bytes", store->arrived_bytes()},
                      {"associations", counts.associations},
                      {"refused", counts.refused},
                      {"broken", counts.broken},
                      {"failed", counts.failed}};
    std::puts(out.dump(2).c_str());
  } else {
    std::puts(StrCat(store->arrived(), " images arrived (", store->arrived_bytes() >> 20,
                     " MiB) in ", counts.associations, " associations; refused ", counts.refused,
                     ", broken off ", counts.broken, ", images not stored ", counts.failed)
                  .c_str());
  }
  return absl::OkStatus();
}

void AddListenOptions(CLI::App& command, ListenArguments& arguments) {
  ListenerOptions& options = arguments.options;
  command.footer(kListenExamples);
  command.add_option("--out", arguments.out, "Folder that the images come into")->required();
  command.add_option("--ae-title", options.ae_title, "Our AE title")->required();
  command.add_option("--port", options.port, "Port to listen on")->required();
  command.add_option("--bind", options.bind, "Address to listen on (default: all of IPv4)");
  command
      .add_option("--allow-ae", options.calling_ae_titles,
                  "AE title that may send; may be repeated")
      ->required();
  command.add_option("--allow-peer", options.peers,
                     "Address that may connect; may be repeated (default: any)");
  command.add_option("--max-associations", options.max_associations, "At a time (default: 8)")
      ->check(CLI::Range(1, 256));
  command
      .add_option_function<std::uint64_t>(
          "--max-instance-mb",
          [&arguments](std::uint64_t mb) { arguments.max_instance_bytes = mb << 20; },
          "Refuse instances over so many MiB (default: 4096)")
      ->check(CLI::Range(1, 1 << 20));
  command
      .add_option_function<double>(
          "--timeout",
          [&options](double seconds) { options.limits.message = FromSeconds(seconds); },
          "Seconds of silence that end an association (default: 60)")
      ->check(CLI::Range(1.0, 86400.0));
  const auto tls_file = [&](const char* name, fs::path TlsFiles::*file, const char* help) {
    command.add_option_function<std::string>(
        name,
        [&options, file](const std::string& path) {
          if (!options.tls) options.tls.emplace();
          *options.tls.*file = path;
        },
        help);
  };
  tls_file("--tls-certificate", &TlsFiles::certificate, "With TLS: PEM of our certificate");
  tls_file("--tls-key", &TlsFiles::private_key, "PEM of its private key");
  tls_file("--tls-authority", &TlsFiles::authority,
           "PEM of the authority that signed the senders' certificates");
  command.add_flag("--json", arguments.json, "The counts at the end as JSON");
}

struct Commands::Arguments {
  PullArguments pull;
  SendArguments send;
  ListenArguments listen;
};

Commands::Commands() : arguments_(std::make_unique<Arguments>()) {}
Commands::~Commands() = default;

void Commands::AddTo(CLI::App& app) {
  AddPull(app, arguments_->pull);
  AddSend(app, arguments_->send);
  CLI::App* listen = app.add_subcommand(
      "listen", "Take images that archives and scanners send (C-STORE) into a folder");
  AddListenOptions(*listen, arguments_->listen);
}

std::optional<absl::Status> Commands::Run(const CLI::App& app) {
  if (app.got_subcommand("pull")) return RunPull(arguments_->pull);
  if (app.got_subcommand("send")) return RunSend(arguments_->send);
  if (app.got_subcommand("listen")) {
    TerminalProgress progress;
    return RunListen(arguments_->listen, progress);
  }
  return std::nullopt;
}

}  // namespace consilium::datasets::pacs

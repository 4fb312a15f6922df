#include "datasets/pacs/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "datasets/pacs/dicomweb_archive.h"
#include "datasets/pacs/dimse_archive.h"
#include "datasets/pacs/pull.h"
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

struct PeerArguments {
  std::string archive, called, calling = "CONSILIUM";
  bool tls = false;
  TlsFiles tls_files;
  fs::path basic_auth, bearer_token;
  double timeout_s = 120;

  bool dicomweb() const { return archive.find("://") != std::string::npos; }
};

struct PullArguments {
  PeerArguments peer;
  std::string method = "get";
  std::uint16_t listen_port = 0;
  std::string listen_bind = "0.0.0.0";
  std::vector<std::string> allow_ae;
  Query query;
  fs::path patients, out;
  bool all = false, json = false;
  std::uint64_t max_instance_mb = kDefaultMaxInstanceBytes >> 20;
  PullOptions options;
};

struct SendArguments {
  PeerArguments peer;
  fs::path path, journal;
  bool json = false;
  SendOptions options;
};

Cancelled AskOf(const Progress& progress) {
  return [&progress] { return progress.Cancelled(); };
}

absl::StatusOr<DimsePeer> ToDimsePeer(const PeerArguments& arguments) {
  if (arguments.called.empty()) {
    return absl::InvalidArgumentError(
        "the archive's AE title is needed (--called): ask its administrator");
  }
  if (!arguments.basic_auth.empty() || !arguments.bearer_token.empty()) {
    return absl::InvalidArgumentError("passwords and tokens are for DICOMweb (https://...)");
  }
  DimsePeer peer;
  ASSIGN_OR_RETURN(peer.address, ParseHostPort(arguments.archive));
  peer.called = arguments.called;
  peer.calling = arguments.calling;
  peer.limits.message = FromSeconds(arguments.timeout_s);
  peer.limits.data_set = std::chrono::hours(1);
  if (arguments.tls) peer.tls = arguments.tls_files;
  return peer;
}

DicomwebPeer ToDicomwebPeer(const PeerArguments& arguments) {
  DicomwebPeer peer;
  peer.url = arguments.archive;
  peer.tls = arguments.tls_files;
  peer.basic_auth = arguments.basic_auth;
  peer.bearer_token = arguments.bearer_token;
  peer.idle = FromSeconds(arguments.timeout_s);
  return peer;
}

absl::StatusOr<std::unique_ptr<Archive>> OpenArchive(const PullArguments& arguments,
                                                     const Progress& progress) {
  if (arguments.peer.dicomweb()) {
    ASSIGN_OR_RETURN(std::unique_ptr<HttpClient> client,
                     HttpClient::Open(ToDicomwebPeer(arguments.peer), AskOf(progress)));
    return std::make_unique<DicomwebArchive>(std::move(client));
  }
  DimseArchiveOptions options;
  ASSIGN_OR_RETURN(options.peer, ToDimsePeer(arguments.peer));
  options.method = arguments.method == "move" ? RetrieveMethod::kMove : RetrieveMethod::kGet;
  options.listener.ae_title = arguments.peer.calling;
  options.listener.port = arguments.listen_port;
  options.listener.bind = arguments.listen_bind;
  options.listener.calling_ae_titles = arguments.allow_ae;
  options.listener.calling_ae_titles.push_back(arguments.peer.called);
  options.listener.limits = options.peer.limits;
  if (arguments.peer.tls) options.listener.tls = arguments.peer.tls_files;
  return std::make_unique<DimseArchive>(std::move(options), AskOf(progress));
}

// One ID a line; empty lines and lines that begin with # are passed over.
absl::StatusOr<std::vector<std::string>> ReadList(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file));
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    line.erase(line.find_last_not_of(" \t\r") + 1);
    line.erase(0, line.find_first_not_of(" \t"));
    if (!line.empty() && line.front() != '#') lines.push_back(std::move(line));
    at = end + 1;
  }
  if (lines.empty()) return absl::InvalidArgumentError("the list of patient IDs is empty");
  return lines;
}

// "2024-03-01" to "20240301", as DICOM has it.
std::string ToDicomDate(std::string date) {
  if (date.size() == 10 && date[4] == '-' && date[7] == '-') std::erase(date, '-');
  return date;
}

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

std::string ToText(const PullReport& report, bool dry_run) {
  std::string text;
  if (dry_run) {
    TextTable table({"study", "date", "modalities", "series", "images", "already here"});
    int number = 0;
    for (const PulledStudy& study : report.studies) {
      table.AddRow({StrCat(++number), study.date, study.modalities, StrCat(study.series),
                    StrCat(study.instances), StrCat(study.present)});
    }
    text = table.ToString();
  }
  StrAppend(&text, report.studies.size(), " studies of ", report.patients, " patients, ",
            report.series, " series, ", report.instances, " images: ", report.present,
            " were here already");
  if (dry_run) {
    StrAppend(&text, ", ", report.instances - report.present, " would be fetched\n");
  } else {
    StrAppend(&text, ", ", report.fetched, " fetched (", report.bytes >> 20, " MiB), ",
              report.missing, " missing\n");
  }
  return text;
}

absl::Status RunPull(PullArguments& arguments) {
  Query& query = arguments.query;
  query.since = ToDicomDate(query.since);
  query.until = ToDicomDate(query.until);
  if (!arguments.patients.empty()) {
    ASSIGN_OR_RETURN(query.patient_ids, ReadList(arguments.patients));
  }
  if (query.empty() && !arguments.all) {
    return absl::InvalidArgumentError(
        "the query names the whole archive: narrow it, or say --all if that is meant");
  }
  std::unique_ptr<InstanceStore> store;
  if (!arguments.out.empty()) {
    ASSIGN_OR_RETURN(store, InstanceStore::Open(arguments.out, arguments.max_instance_mb << 20));
  } else if (!arguments.options.dry_run) {
    return absl::InvalidArgumentError("a folder to fetch into is needed (--out)");
  }
  absl::StatusOr<PullReport> report;
  {
    TerminalProgress progress;
    ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, OpenArchive(arguments, progress));
    report = Pull(*archive, store.get(), query, arguments.options, progress);
  }
  RETURN_IF_ERROR(report.status());
  const bool dry_run = arguments.options.dry_run;
  const std::string text =
      arguments.json ? ToJson(*report, dry_run).dump(2) + "\n" : ToText(*report, dry_run);
  std::fputs(text.c_str(), stdout);
  if (report->missing == 0) return absl::OkStatus();
  return absl::InternalError(StrCat(
      report->missing, " images did not arrive",
      report->missing_reason.empty() ? "" : StrCat(" (", report->missing_reason, ")"),
      ". The same command again asks for them only; what keeps failing is for the archive's log"));
}

absl::StatusOr<std::unique_ptr<Destination>> OpenDestination(const PeerArguments& arguments,
                                                             const Progress& progress) {
  if (arguments.dicomweb()) {
    ASSIGN_OR_RETURN(std::unique_ptr<HttpClient> client,
                     HttpClient::Open(ToDicomwebPeer(arguments), AskOf(progress)));
    return std::make_unique<StowDestination>(arguments.archive, std::move(client));
  }
  ASSIGN_OR_RETURN(DimsePeer peer, ToDimsePeer(arguments));
  return std::make_unique<StoreScu>(std::move(peer), AskOf(progress));
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

void AddPeerOptions(CLI::App& command, PeerArguments& peer) {
  command
      .add_option("--archive", peer.archive,
                  "HOST:PORT for DICOM (DIMSE), http(s)://HOST[:PORT]/PATH for DICOMweb")
      ->required();
  command.add_option("--called", peer.called, "The archive's AE title (DIMSE)");
  command.add_option("--calling", peer.calling, "Our AE title (default: CONSILIUM)");
  command.add_flag("--tls", peer.tls, "DIMSE over TLS (of https it is a matter of course)");
  command.add_option("--tls-authority", peer.tls_files.authority,
                     "PEM of the authority that signed the archive's certificate");
  command.add_option("--tls-certificate", peer.tls_files.certificate, "PEM of our certificate");
  command.add_option("--tls-key", peer.tls_files.private_key, "PEM of its private key");
  command.add_option("--basic-auth", peer.basic_auth,
                     "DICOMweb: a file of mode 0600 with USER:PASSWORD");
  command.add_option("--bearer-token", peer.bearer_token,
                     "DICOMweb: a file of mode 0600 with a bearer token");
  command
      .add_option("--timeout", peer.timeout_s,
                  "Seconds to wait for a message of the archive (default: 120)")
      ->check(CLI::Range(1.0, 86400.0));
}

void AddQueryOptions(CLI::App& command, PullArguments& arguments) {
  Query& query = arguments.query;
  const auto own = [](CLI::Option* option) { option->group("Query"); };
  own(command.add_option("--modality", query.modalities, "CT, MR, ...; may be repeated"));
  own(command.add_option("--since", query.since, "First day of the study, YYYY-MM-DD"));
  own(command.add_option("--until", query.until, "Last day"));
  own(command.add_option("--patients", arguments.patients, "File of patient IDs, one a line"));
  own(command.add_option("--accession", query.accession_numbers, "May be repeated"));
  own(command.add_option("--study-uid", query.study_uids, "May be repeated"));
  own(command.add_option("--series-uid", query.series_uids,
                         "Of the studies found, only these series"));
  own(command.add_option("--study-description", query.study_description,
                         "With * and ?, upper and lower case alike"));
  own(command.add_option("--series-description", query.series_description, "The same of series"));
  own(command.add_option("--limit", query.limit, "At most so many studies"));
  own(command.add_flag("--all", arguments.all, "No key: the whole archive is meant"));
}

void AddPull(CLI::App& app, PullArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "pull", "Fetch studies from a hospital's archive (PACS) into a folder; goes on where it was");
  command->footer(kPullExamples);
  AddPeerOptions(*command, arguments.peer);
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
  AddPeerOptions(*command, arguments.peer);
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

#include "datasets/pacs/archive_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "datasets/pacs/dicomweb_archive.h"
#include "datasets/pacs/dimse_archive.h"

namespace consilium::datasets::pacs {
namespace {

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

}  // namespace

void AddPeerOptions(CLI::App& command, PeerArguments& peer, bool required) {
  command
      .add_option("--archive", peer.archive,
                  "HOST:PORT for DICOM (DIMSE), http(s)://HOST[:PORT]/PATH for DICOMweb")
      ->required(required);
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

absl::StatusOr<PullReport> PullInto(PullArguments& arguments, Progress& progress) {
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
  ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, OpenArchive(arguments, progress));
  return Pull(*archive, store.get(), query, arguments.options, progress);
}

std::string Describe(const PullReport& report, bool dry_run) {
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

absl::Status WhatIsMissing(const PullReport& report) {
  if (report.missing == 0) return absl::OkStatus();
  return absl::InternalError(StrCat(
      report.missing, " images did not arrive",
      report.missing_reason.empty() ? "" : StrCat(" (", report.missing_reason, ")"),
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

}  // namespace consilium::datasets::pacs

#pragma once

// What commands that talk to an archive ask for: which archive, as whom, which studies; and opening
// it. For consilium-dataset pull and send, and consilium-site predict.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "datasets/pacs/archive.h"
#include "datasets/pacs/destination.h"
#include "datasets/pacs/pull.h"

namespace CLI {
class App;
}

namespace consilium::datasets::pacs {

struct PeerArguments {
  std::string archive, called, calling = "CONSILIUM";
  bool tls = false;
  TlsFiles tls_files;
  fs::path basic_auth, bearer_token;
  double timeout_s = 120;

  bool dicomweb() const { return archive.find("://") != std::string::npos; }
};
// `peer` and the others below must outlive parsing.
void AddPeerOptions(CLI::App& command, PeerArguments& peer, bool required);

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
void AddQueryOptions(CLI::App& command, PullArguments& arguments);

// Into arguments.out. kInvalidArgument for a query that names the whole archive by mistake; else
// Pull's errors.
absl::StatusOr<PullReport> PullInto(PullArguments& arguments, Progress& progress);
// "12 studies of 9 patients ...": a line, and a table before it of a dry run.
std::string Describe(const PullReport& report, bool dry_run);
// OK when all arrived.
absl::Status WhatIsMissing(const PullReport& report);

// Where results go. `progress` must outlive it.
absl::StatusOr<std::unique_ptr<Destination>> OpenDestination(const PeerArguments& peer,
                                                             const Progress& progress);

}  // namespace consilium::datasets::pacs

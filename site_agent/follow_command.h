#pragma once

// consilium-site follow: a patient's lesions over time. Needs no model and no LibTorch.

#include <string>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "datasets/followup/follow.h"
#include "datasets/pacs/archive_options.h"

namespace CLI {
class App;
}

namespace consilium::site_agent {

struct FollowCommand {
  std::string patient;  // an ID, or "all"
  fs::path data, state, out, html, markdown;
  datasets::followup::FollowOptions options;
  datasets::pacs::PeerArguments archive;  // of --send
  bool send = false, json = false;
  int threads = 0;
};

// `arguments` must outlive parsing.
void AddFollowOptions(CLI::App& command, FollowCommand& arguments);

// Prints to standard output. Of each patient who can be followed, OUT/NAME/report.dcm (TID 1500),
// follow-up.html and follow-up.md, where NAME is made of the first image's UID. kNotFound when the
// folder or the patient is not there, kFailedPrecondition when the one patient asked for cannot be
// followed, with the reasons.
absl::Status Run(FollowCommand& command);

}  // namespace consilium::site_agent

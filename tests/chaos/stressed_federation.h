#pragma once

// A federation of real processes (experiments/federation.h), each of which may be killed and
// started again at any moment, each site behind a FlakyLink of its own.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "experiments/federation.h"
#include "tests/chaos/flaky_link.h"

namespace consilium::chaos {

struct Setting {
  fs::path programs, folder;
  int sites = 4;
  std::uint64_t parameters = 0;  // of the chaos learner's model; 0: LibTorch learns
  fs::path images;               // LibTorch: IMAGES/site-0 ... as consilium-dataset draws them
  std::map<std::string, std::map<std::string, std::string>> environment;  // by process
};

inline constexpr const char* kCoordinator = "coordinator";

// One thread only (experiments/process.h).
class StressedFederation {
 public:
  // Founded, enrolled, all processes running and connected.
  static absl::StatusOr<std::unique_ptr<StressedFederation>> Create(const Setting& setting);

  experiments::Federation& federation() { return *federation_; }
  // The coordinator's first.
  const std::vector<std::string>& names() const { return names_; }
  FlakyLink& link(const std::string& site) { return *links_.at(site); }
  fs::path StateOf(const std::string& name) const;
  fs::path TrainingsOf(const std::string& site) const;

  void Kill(const std::string& name);
  absl::Status Start(const std::string& name);
  // Nothing while it runs; else how it ended. A process that Kill() ended is gone.
  std::optional<experiments::ExitState> Ended(const std::string& name);
  bool IsDown(const std::string& name) const { return down_.at(name); }
  // The coordinator takes connections, or the site has been welcomed, since the last Start().
  bool IsBack(const std::string& name);
  // True for a chaos site between the beginning and the end of a training.
  bool IsTraining(const std::string& site) const;
  // All agents end as at Ctrl-C, then the coordinator.
  void StopAll();

 private:
  explicit StressedFederation(const Setting& setting) : setting_(setting) {}
  fs::path LogOf(const std::string& site) const;

  const Setting setting_;
  std::vector<std::string> names_;
  std::map<std::string, std::unique_ptr<FlakyLink>> links_;
  std::optional<experiments::Federation> federation_;  // after the links: ends first
  std::map<std::string, bool> down_, back_;
  std::map<std::string, std::uint64_t> log_read_;  // bytes of a site's log that are old
};

}  // namespace consilium::chaos

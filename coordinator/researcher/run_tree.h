#pragma once

// A run's events as a tree that grows downwards, for terminals and logs:
//
//   run chest-opacity-0001  plan chest-opacity
//   ├─ north accepted       214 patients, 331 images
//   ├─ round 1              3 sites, 98 401 parameters
//   │  ├─ keys advertised   3 of 3 sites (3 must stay to the end)
//   │  ├─ keys shared       3 of 3 sites
//   │  ├─ north             sent 0.4 MB masked in 0.02 s  weight 331
//   │  ├─ agreed            3 of 3 sites signed who delivered
//   │  ├─ unmasked          the sum of 3 updates, nobody's own
//   │  ├─ aggregated        3 contributions in 0.01 s -> 3fa9c1d20b77  mean loss 0.412
//   │  ├─ evaluated         3 of 3 sites; only their sum was opened
//   │  ├─ all sites         AUROC 0.904 (0.873 to 0.928)  best so far
//   │  └─ took 4.21 s       training and upload 3.4 s, aggregation 0.01 s, evaluation 0.8 s
//   └─ published            3fa9c1d20b77

#include <map>
#include <string>

#include "common/wire/protocol.h"

namespace consilium::researcher {

class RunTree {
 public:
  // What to print for this event: no line, or whole lines with their newline.
  std::string On(const wire::RunEvent& event);

  // One line for a terminal to show and overwrite while sites work; empty when none works.
  std::string StatusLine() const;

 private:
  struct SiteWork {
    std::string step;
    double done = 0, total = 0, loss = 0;
  };
  std::string Line(const wire::RunEvent& event, std::string_view label, std::string_view text,
                   bool last = false);
  std::string CloseRound(const wire::RunEvent& event);
  std::string SecureStep(const wire::RunEvent& event);
  std::string Protection(const wire::RunEvent& event);

  RunId run_;
  std::uint32_t open_round_ = 0;
  bool round_open_ = false;
  bool final_open_ = false;
  Time started_{}, opened_{}, last_update_{}, aggregated_{};
  std::map<SiteId, SiteWork> work_;
  // Of all sums that were opened: how many, over how few sites, and with which thresholds.
  double opened_sums_ = 0, fewest_survivors_ = 0, lowest_threshold_ = 0, recovered_ = 0;
  bool describes_ = false;
};

// "AUROC 0.912 (0.861 to 0.946)", or why there is none.
std::string MetricText(const std::map<std::string, double>& values);

}  // namespace consilium::researcher

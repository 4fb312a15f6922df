#pragma once

// What a ledger keeps of the work under way: the records since the last WorkOpened.

#include <vector>

#include "coordinator/round_engine.h"

namespace consilium::coordinator {

class WorkJournal {
 public:
  void Keep(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      const auto* keep = std::get_if<KeepWork>(&action);
      if (keep == nullptr) continue;
      if (std::holds_alternative<WorkOpened>(keep->record)) records_.clear();
      records_.push_back(keep->record);
    }
  }
  const std::vector<WorkRecord>& records() const { return records_; }

 private:
  std::vector<WorkRecord> records_;
};

}  // namespace consilium::coordinator

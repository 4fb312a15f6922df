#pragma once

#include <mutex>
#include <utility>

#include "coordinator/ledger.h"

namespace consilium::coordinator {

// The ledger among threads: every use is one call of With, which holds the lock.
class SharedLedger {
 public:
  explicit SharedLedger(Ledger ledger) : ledger_(std::move(ledger)) {}

  template <class Use>
  auto With(const Use& use) {
    std::lock_guard lock(mutex_);
    return use(ledger_);
  }

 private:
  std::mutex mutex_;
  Ledger ledger_;
};

}  // namespace consilium::coordinator

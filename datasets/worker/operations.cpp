#include "datasets/worker/operations.h"

#include "common/base/status.h"

namespace consilium::datasets::worker {

void Operations::Add(std::string name, Operation operation, std::function<void()> warm_up) {
  const bool added = operations_.emplace(std::move(name), std::move(operation)).second;
  CONSILIUM_CHECK(added);
  if (warm_up) warm_ups_.push_back(std::move(warm_up));
}

const Operation* Operations::Find(std::string_view name) const {
  const auto found = operations_.find(name);
  return found == operations_.end() ? nullptr : &found->second;
}

void Operations::WarmUp() const {
  for (const auto& warm_up : warm_ups_) warm_up();
}

}  // namespace consilium::datasets::worker

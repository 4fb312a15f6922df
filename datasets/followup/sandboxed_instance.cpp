// The pool's side of instance.h.

#include "datasets/followup/instance.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::followup {

std::vector<OrRefused<Instance>> ReadInstances(worker::WorkerPool& pool,
                                               std::span<const fs::path> paths) {
  constexpr std::uint64_t kLargestInstance = 512 << 10;
  std::vector<OrRefused<Instance>> instances;
  for (auto& result : pool.CallForEach(kReadInstance, {}, paths, kLargestInstance)) {
    if (!result.ok()) {
      instances.push_back(result.refused());
    } else if (auto instance = DecodeInstance(*result)) {
      instances.push_back(*std::move(instance));
    } else {
      instances.push_back(
          Refused{Refusal::kCrashedReader, "it said what cannot be of any instance"});
    }
  }
  return instances;
}

}  // namespace consilium::datasets::followup

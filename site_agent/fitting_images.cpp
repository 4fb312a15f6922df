#include "site_agent/fitting_images.h"

#include <algorithm>

#include "common/base/status.h"
#include "datasets/requirements.h"
#include "datasets/worker/sandboxed_reader.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kHeadersTogether = 256;

}  // namespace

absl::Status ForEachFitting(std::span<const fs::path> files, const plan::Plan& plan,
                            datasets::worker::WorkerPool& pool, PredictionReport* report,
                            Progress& progress, const TakeImage& take) {
  datasets::SandboxedReader reader(pool);
  const std::size_t total = files.size();
  for (std::size_t first = 0; first < total; first += kHeadersTogether) {
    const auto batch = files.subspan(first, std::min(kHeadersTogether, total - first));
    const auto headers = reader.ReadHeaders(batch);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (progress.Cancelled()) return absl::CancelledError("interrupted");
      ++report->files;
      progress.Report("scoring", first + i + 1, total);
      if (!headers[i].ok()) {
        ++report->refused[headers[i].refused().reason];
        continue;
      }
      if (const auto unwanted = datasets::Unwanted(*headers[i], plan.data, plan.preprocessing)) {
        ++report->refused[unwanted->reason];
        continue;
      }
      RETURN_IF_ERROR(take(batch[i], *headers[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

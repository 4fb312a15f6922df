#include "site_agent/task_progress.h"

#include <cmath>
#include <cstdlib>
#include <utility>

namespace consilium::site_agent {
namespace {

double LossIn(std::string_view detail) {
  const std::size_t word = detail.rfind("loss");
  if (word == std::string_view::npos) return 0;
  const std::size_t number = detail.find_first_of("0123456789", word);
  if (number == std::string_view::npos) return 0;
  const double loss = std::strtod(std::string(detail.substr(number)).c_str(), nullptr);
  return std::isfinite(loss) ? loss : 0;
}

}  // namespace

TaskProgress::TaskProgress(AttemptKey key, Tell tell, const Clock& clock, Duration interval,
                           std::stop_token stop)
    : key_(std::move(key)),
      tell_(std::move(tell)),
      clock_(clock),
      interval_(interval),
      stop_(std::move(stop)) {}

void TaskProgress::Report(std::string_view step, std::uint64_t done, std::uint64_t total,
                          std::string_view detail) {
  wire::TaskProgress message;
  {
    const std::lock_guard lock(mutex_);
    const Time now = clock_.Now();
    if (step == step_ && now - told_ < interval_) return;
    step_ = step;
    told_ = now;
    message = {key_, step_, done, total, LossIn(detail)};
  }
  tell_(message);
}

}  // namespace consilium::site_agent

#include "common/base/clock.h"

#include <cmath>
#include <ctime>

#include "absl/strings/str_format.h"

namespace consilium {

Time SystemClock::Now() const {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

std::string ToRfc3339(Time time) {
  const std::time_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string ToReadable(Duration d) {
  const double s = Seconds(d);
  if (s < 10) return absl::StrFormat("%.2f s", s);
  if (s < 60) return absl::StrFormat("%.1f s", s);
  const long whole = std::lround(s);
  if (whole < 3600) return absl::StrFormat("%d min %d s", whole / 60, whole % 60);
  return absl::StrFormat("%d h %d min", whole / 3600, whole % 3600 / 60);
}

}  // namespace consilium

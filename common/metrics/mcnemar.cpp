#include "common/metrics/mcnemar.h"

#include <algorithm>
#include <cmath>

namespace consilium::metrics {

McNemar McNemarTest(std::uint64_t only_first_right, std::uint64_t only_second_right) {
  McNemar test{only_first_right, only_second_right};
  const auto n = static_cast<double>(only_first_right + only_second_right);
  const std::uint64_t fewer = std::min(only_first_right, only_second_right);
  double tail = 0;
  for (std::uint64_t k = 0; k <= fewer; ++k) {
    const auto successes = static_cast<double>(k);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(successes + 1) -
                     std::lgamma(n - successes + 1) - n * std::log(2.0));
  }
  test.p = std::min(1.0, 2 * tail);
  return test;
}

}  // namespace consilium::metrics

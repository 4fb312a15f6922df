#pragma once

// Two classifiers' right and wrong answers on the same examples.

#include <cstdint>

namespace consilium::metrics {

// McNemar's test (1947): of the examples of which one of the two is right and the other wrong, is
// it as often the one as the other? Exact: two-sided by the binomial distribution.
struct McNemar {
  std::uint64_t only_first_right = 0, only_second_right = 0;
  double p = 1;
};
McNemar McNemarTest(std::uint64_t only_first_right, std::uint64_t only_second_right);

}  // namespace consilium::metrics

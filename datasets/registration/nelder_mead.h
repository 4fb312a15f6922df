#pragma once

#include <functional>
#include <vector>

namespace consilium::datasets::registration {

struct SimplexOptions {
  double first_step = 1;    // from the start to the simplex's other corners, along each axis
  double tolerance = 1e-3;  // the simplex's size at which it is done
  int most_evaluations = 1000;
};

struct Minimum {
  std::vector<double> at;
  double value = 0;
  int evaluations = 0;
};

// The downhill simplex of Nelder and Mead (1965), begun anew at its result until that no longer
// helps: a simplex that has gone flat does not end the search. Deterministic. The function's
// arguments should be of one scale.
Minimum Minimise(const std::function<double(const std::vector<double>&)>& function,
                 const std::vector<double>& start, const SimplexOptions& options);

}  // namespace consilium::datasets::registration

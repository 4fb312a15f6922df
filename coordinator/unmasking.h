#pragma once

#include <vector>

#include "common/secagg/masking.h"

namespace consilium::coordinator {

// What turns the sum of the survivors' masked updates into their mean.
struct Unmasking {
  std::vector<secagg::Mask> masks;  // to be added
  double scale = 1;                 // S of model/quantizer.h
  double survivors_share = 1;       // the survivors' weights / the cohort's
};

}  // namespace consilium::coordinator

#pragma once

// What a running process uses, from /proc.

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace consilium::experiments {

struct ProcessFigures {
  std::uint64_t resident = 0, peak = 0;  // bytes
  int threads = 0, files = 0;
  double cpu_s = 0;  // user and system, since its start
};
// kNotFound when there is no such process of this user.
absl::StatusOr<ProcessFigures> FiguresOf(pid_t process);

// The slope of a straight line through (x, y), by least squares; 0 for fewer than two points.
double Slope(const double* x, const double* y, std::size_t count);

}  // namespace consilium::experiments

#include "datasets/registration/nelder_mead.h"

#include <algorithm>
#include <cmath>

namespace consilium::datasets::registration {
namespace {

struct Corner {
  std::vector<double> at;
  double value = 0;
};

// One simplex, from its first corners to where it is smaller than the tolerance.
class Simplex {
 public:
  Simplex(const std::function<double(const std::vector<double>&)>& function,
          const std::vector<double>& start, double step, int* evaluations)
      : function_(function), evaluations_(*evaluations) {
    corners_.push_back(At(start));
    for (std::size_t axis = 0; axis < start.size(); ++axis) {
      std::vector<double> moved = start;
      moved[axis] += step;
      corners_.push_back(At(std::move(moved)));
    }
  }

  Corner Run(const SimplexOptions& options) {
    Sort();
    while (evaluations_ < options.most_evaluations && Size() > options.tolerance) {
      Step();
      Sort();
    }
    return corners_.front();
  }

 private:
  Corner At(std::vector<double> at) {
    ++evaluations_;
    const double value = function_(at);
    return {std::move(at), value};
  }

  // The corners by value; equal ones stay in their order, so that runs are the same everywhere.
  void Sort() {
    std::stable_sort(corners_.begin(), corners_.end(),
                     [](const Corner& a, const Corner& b) { return a.value < b.value; });
  }

  double Size() const {
    double largest = 0;
    for (const Corner& corner : corners_) {
      for (std::size_t axis = 0; axis < corner.at.size(); ++axis) {
        largest = std::max(largest, std::abs(corner.at[axis] - corners_.front().at[axis]));
      }
    }
    return largest;
  }

  // From the middle of all corners but the worst: `reach` times the way to the worst, away from it.
  Corner Moved(double reach) {
    const Corner& worst = corners_.back();
    std::vector<double> at(worst.at.size());
    const double share = 1.0 / static_cast<double>(corners_.size() - 1);
    for (std::size_t axis = 0; axis < at.size(); ++axis) {
      double middle = 0;
      for (std::size_t i = 0; i + 1 < corners_.size(); ++i) {
        middle += corners_[i].at[axis] * share;
      }
      at[axis] = middle + reach * (middle - worst.at[axis]);
    }
    return At(std::move(at));
  }

  void Step() {
    Corner& worst = corners_.back();
    Corner reflected = Moved(1);
    if (reflected.value < corners_.front().value) {
      Corner expanded = Moved(2);
      worst = expanded.value < reflected.value ? std::move(expanded) : std::move(reflected);
      return;
    }
    if (reflected.value < corners_[corners_.size() - 2].value) {
      worst = std::move(reflected);
      return;
    }
    const bool outside = reflected.value < worst.value;
    Corner contracted = Moved(outside ? 0.5 : -0.5);
    if (contracted.value < (outside ? reflected.value : worst.value)) {
      worst = std::move(contracted);
      return;
    }
    for (std::size_t i = 1; i < corners_.size(); ++i) {
      std::vector<double> halfway = corners_[i].at;
      for (std::size_t axis = 0; axis < halfway.size(); ++axis) {
        halfway[axis] = (halfway[axis] + corners_.front().at[axis]) / 2;
      }
      corners_[i] = At(std::move(halfway));
    }
  }

  const std::function<double(const std::vector<double>&)>& function_;
  int& evaluations_;
  std::vector<Corner> corners_;
};

}  // namespace

Minimum Minimise(const std::function<double(const std::vector<double>&)>& function,
                 const std::vector<double>& start, const SimplexOptions& options) {
  int evaluations = 0;
  double step = options.first_step;
  Corner best = Simplex(function, start, step, &evaluations).Run(options);
  while (evaluations < options.most_evaluations) {
    step = std::max(step / 2, 2 * options.tolerance);
    Corner next = Simplex(function, best.at, step, &evaluations).Run(options);
    double moved = 0;
    for (std::size_t axis = 0; axis < start.size(); ++axis) {
      moved = std::max(moved, std::abs(next.at[axis] - best.at[axis]));
    }
    best = std::move(next);
    if (moved <= 2 * options.tolerance) break;
  }
  return {std::move(best.at), best.value, evaluations};
}

}  // namespace consilium::datasets::registration

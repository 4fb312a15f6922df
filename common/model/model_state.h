#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace consilium {

// One tensor of a model: float32, row-major. Its values stand one after another in the flat vector.
struct TensorSpec {
  std::string name;                 // the state dict's name, e.g. "layer1.0.conv1.weight"
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::uint64_t Elements()
      const;  // product of the shape; UINT64_MAX when that does not fit or a dimension is negative
  bool operator==(const TensorSpec&) const = default;
};

using Layout = std::vector<TensorSpec>;             // in file order
std::uint64_t TotalElements(const Layout& layout);  // UINT64_MAX when it does not fit
// kInvalidArgument on a name that is empty, longer than 256, used twice, "__metadata__", or not
// printable ASCII without space, quote and backslash; on a negative dimension; and on more elements
// than fit in memory as floats.
absl::Status CheckLayout(const Layout& layout);
// SHA-256 would need crypto; this is a stable 64-bit hash of names and shapes, for quick
// comparison.
std::uint64_t LayoutHash(const Layout& layout);
// kInvalidArgument naming the first tensor that differs.
absl::Status CheckSameLayout(const Layout& expected, const Layout& actual);

// A model's weights: a layout and a flat float vector. Immutable; copies share the values.
// Thread-safe, as nothing changes.
class ModelState {
 public:
  // Refuses (kInvalidArgument) what CheckLayout refuses, a layout whose element count is not
  // values.size(), and values that are NaN or infinite (naming the tensor).
  static absl::StatusOr<ModelState> Create(Layout layout, std::vector<float> values);

  const Layout& layout() const { return *layout_; }
  std::span<const float> values() const { return *values_; }

 private:
  ModelState() = default;
  std::shared_ptr<const Layout> layout_;  // shared: copies of a state are cheap and immutable
  std::shared_ptr<const std::vector<float>> values_;
};

// What a site learned in one attempt: new minus base weights, in the base's layout, with its weight
// in the mean.
struct ModelUpdate {
  ModelId base;
  std::vector<float> delta;
  double weight = 0;  // > 0
};

}  // namespace consilium

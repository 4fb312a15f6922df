#include "common/model/model_state.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_set>

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium {
namespace {

constexpr std::uint64_t kTooMany = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kLongestName = 256;

// Floats that one vector can hold, and whose bytes can be counted in a signed file offset.
constexpr std::uint64_t kMostElements = std::numeric_limits<std::int64_t>::max() / 8;

bool IsNameCharacter(char c) { return c > ' ' && c <= '~' && c != '"' && c != '\\'; }

absl::Status CheckTensorName(const std::string& name) {
  if (name.empty()) return absl::InvalidArgumentError("a tensor has an empty name");
  if (name.size() > kLongestName) {
    return absl::InvalidArgumentError(StrCat("a tensor's name has ", name.size(),
                                             " characters, at most ", kLongestName,
                                             " are allowed"));
  }
  if (!std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return absl::InvalidArgumentError(
        "a tensor's name holds a character that is not printable ASCII, or a space, quote or "
        "backslash");
  }
  if (name == "__metadata__") {
    return absl::InvalidArgumentError("\"__metadata__\" is reserved and cannot name a tensor");
  }
  return absl::OkStatus();
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) StrAppend(&text, i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

// Infinity and NaN are the floats whose exponent bits are all set.
bool AllFinite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  bool finite = true;
  for (const float value : values) {
    finite &= (std::bit_cast<std::uint32_t>(value) & kExponent) != kExponent;
  }
  return finite;
}

}  // namespace

std::uint64_t TensorSpec::Elements() const {
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t d) { return d < 0; })) {
    return kTooMany;
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t product = 1;
  for (const std::int64_t dimension : shape) {
    if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(dimension), &product)) {
      return kTooMany;
    }
  }
  return product;
}

std::uint64_t TotalElements(const Layout& layout) {
  std::uint64_t total = 0;
  for (const TensorSpec& tensor : layout) {
    if (__builtin_add_overflow(total, tensor.Elements(), &total)) return kTooMany;
  }
  return total;
}

absl::Status CheckLayout(const Layout& layout) {
  std::unordered_set<std::string_view> names;
  for (const TensorSpec& tensor : layout) {
    RETURN_IF_ERROR(CheckTensorName(tensor.name));
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(StrCat("two tensors have the name ", tensor.name));
    }
    if (tensor.Elements() > kMostElements) {
      return absl::InvalidArgumentError(StrCat("tensor ", tensor.name, " has the shape ",
                                               ShapeText(tensor.shape),
                                               ", which is negative or too large"));
    }
  }
  if (TotalElements(layout) > kMostElements) {
    return absl::InvalidArgumentError("the tensors together have too many elements");
  }
  return absl::OkStatus();
}

std::uint64_t LayoutHash(const Layout& layout) {
  std::string text;
  for (const TensorSpec& tensor : layout) {
    StrAppend(&text, tensor.name.size(), ":", tensor.name, ShapeText(tensor.shape));
  }
  return StableHash(text);
}

absl::Status CheckSameLayout(const Layout& expected, const Layout& actual) {
  for (std::size_t i = 0; i < std::min(expected.size(), actual.size()); ++i) {
    if (expected[i].name != actual[i].name) {
      return absl::InvalidArgumentError(StrCat("tensor ", i + 1, " is ", actual[i].name, " where ",
                                               expected[i].name, " is expected"));
    }
    if (expected[i].shape != actual[i].shape) {
      return absl::InvalidArgumentError(StrCat("tensor ", expected[i].name, " has the shape ",
                                               ShapeText(actual[i].shape), " where ",
                                               ShapeText(expected[i].shape), " is expected"));
    }
  }
  if (actual.size() < expected.size()) {
    return absl::InvalidArgumentError(
        StrCat("tensor ", expected[actual.size()].name, " is missing"));
  }
  if (actual.size() > expected.size()) {
    return absl::InvalidArgumentError(
        StrCat("tensor ", actual[expected.size()].name, " is one too many"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelState> ModelState::Create(Layout layout, std::vector<float> values) {
  RETURN_IF_ERROR(CheckLayout(layout));
  if (const std::uint64_t elements = TotalElements(layout); elements != values.size()) {
    return absl::InvalidArgumentError(
        StrCat("the layout has ", elements, " elements, but ", values.size(), " values are given"));
  }
  std::span<const float> rest = values;
  for (const TensorSpec& tensor : layout) {
    if (!AllFinite(rest.first(tensor.Elements()))) {
      return absl::InvalidArgumentError(
          StrCat("tensor ", tensor.name, " holds a value that is NaN or infinite"));
    }
    rest = rest.subspan(tensor.Elements());
  }
  ModelState state;
  state.layout_ = std::make_shared<const Layout>(std::move(layout));
  state.values_ = std::make_shared<const std::vector<float>>(std::move(values));
  return state;
}

}  // namespace consilium

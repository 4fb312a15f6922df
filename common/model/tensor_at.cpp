#include "common/model/tensor_at.h"

namespace consilium {

std::string TensorAt(const Layout& layout, std::uint64_t index) {
  for (const TensorSpec& tensor : layout) {
    const std::uint64_t elements = tensor.Elements();
    if (index < elements) return tensor.name;
    index -= elements;
  }
  return "(beyond the layout)";
}

}  // namespace consilium

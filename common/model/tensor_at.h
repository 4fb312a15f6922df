#pragma once

#include <cstdint>
#include <string>

#include "common/model/model_state.h"

namespace consilium {

// The name of the tensor that holds value `index` of the flat vector, for messages.
std::string TensorAt(const Layout& layout, std::uint64_t index);

}  // namespace consilium

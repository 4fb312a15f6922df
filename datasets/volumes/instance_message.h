#pragma once

// The series of one instance as a message from a worker (worker/message.h), without its file's name
// and loaders.

#include <optional>

#include "common/base/bytes.h"
#include "datasets/volumes/series.h"

namespace consilium::datasets::volumes {

Bytes Encode(const Series& instance);
// Nothing when it is not sound.
std::optional<Series> DecodeInstance(ByteView message);

}  // namespace consilium::datasets::volumes

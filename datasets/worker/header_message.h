#pragma once

// dicom::Header and plan::Preprocessing as messages. Decoding what a worker says of a file checks
// every field: nothing where it is not sound.

#include <optional>

#include "common/base/bytes.h"
#include "common/plan/plan.h"
#include "datasets/dicom/header.h"

namespace consilium::datasets::worker {

Bytes Encode(const dicom::Header& header);
std::optional<dicom::Header> DecodeHeader(ByteView message);

Bytes Encode(const plan::Preprocessing& preprocessing);
std::optional<plan::Preprocessing> DecodePreprocessing(ByteView message);

}  // namespace consilium::datasets::worker
